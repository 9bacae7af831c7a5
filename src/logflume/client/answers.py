"""What a log server answers: the shapes of its objects, and its problems as our errors.

Holds: every answer that is not what was asked for becomes one error of the tree, whoever gave it: the server, a proxy,
       or a web page that happens to be there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypedDict

from logflume.errors import (
    BadCursor,
    BadPattern,
    CursorExpired,
    ForeignServer,
    IndexInvalid,
    LogflumeError,
    LogNotFound,
    NotAllowed,
    ServerRefused,
    ServerUnreachable,
    SignInNeeded,
    SourceFailed,
    UsageError,
)
from logflume.records import Gap, GapReason

if TYPE_CHECKING:
    from collections.abc import Mapping


TYPES = "urn:logflume:problem:"

MAX_PROBLEM_BYTES = 64 * 1024
"""So much of an answer is read to learn what went wrong."""

_MAX_SHOWN = 300
_MAX_DETAIL = 2000
_TRY_AGAIN = frozenset((429, 502, 503, 504))
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
_TOO_LONG = frozenset((414, 431))


class LogEntry(TypedDict):
    """One log of the list; a server may tell more of it."""

    id: str


class Lines(TypedDict):
    """How many lines; ``exact`` is false while they are still being counted."""

    count: int
    exact: bool


class SourceAnswer(TypedDict):
    """One source, and what it answered."""

    name: str
    state: str  # "ok" | "failed"
    bytes: int | None
    gaps: list[dict[str, Any]]


class Meta(TypedDict):
    """What a log is made of. Times are RFC 3339 with nanoseconds, UTC."""

    id: str
    bytes: int
    lines: Lines
    records: int
    first: str | None
    last: str | None
    levels: dict[str, int]
    sources: list[SourceAnswer]
    index: dict[str, Any]
    state: str
    version: str  # another one as soon as anything of this is


class Page(TypedDict):
    """Some lines; ``after`` is the place to go on from, ``end`` whether nothing more is there at the moment."""

    lines: list[dict[str, Any]]
    after: str
    end: bool
    gaps: list[dict[str, Any]]


class Rows(TypedDict):
    """Lines by their place; the key ``from`` (null while it is not known) is the ordinal of the first."""

    rows: list[dict[str, Any]]
    lines: Lines


class Place(TypedDict):
    """The ordinal of a line, null when there is none; and a cursor to read from there, where there is one."""

    seq: int | None
    after: str | None
    index: dict[str, Any]


class Summary(TypedDict):
    """Records by time and level: bucket n covers ``step_ns`` from ``first`` + n × ``step_ns``."""

    first: str | None
    step_ns: int | None
    levels: list[str]
    buckets: list[list[int]]
    index: dict[str, Any]


class Hit(TypedDict):
    """A record that was found: the ordinal of its first line in the whole log, and its lines."""

    seq: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that went wrong, and whether to try again.

    Attributes:
        error: what is raised when it is not tried again.
        again: whether it may be otherwise the next time.
        after_s: when the server wants to be asked again, if it said so.
        silent: no server of our kind listens; at a first try the address is wrong, most likely.
    """

    error: LogflumeError
    again: bool = False
    after_s: float | None = None
    silent: bool = False


def failure_of_answer(address: str, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Return what an answer other than 200 means."""
    after_s = _retry_after_s(headers.get("retry-after"))
    problem = _problem(headers, body)
    if problem is None:
        return Failure(_foreign(address, status, headers), status in _TRY_AGAIN, after_s)
    return failure_of_problem(problem, after_s)


def failure_of_problem(problem: Mapping[str, Any], after_s: float | None = None) -> Failure:
    """Return what a problem that a log server tells means."""
    status = problem.get("status")
    status = status if isinstance(status, int) else 500
    return Failure(_error(problem, status, after_s), status in _TRY_AGAIN, after_s)


def failure_of_kind(address: str, content_type: str, wanted: str) -> Failure | None:
    """Return what it means that an answer is of another kind; None if it is of the right one."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == wanted:
        return None
    what = "a web page" if kind == "text/html" else _shown(kind or "something without a type")
    return Failure(ForeignServer(address, f"there is no log server: it answers with {what}. Check the address"))


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    if not headers.get("content-type", "").startswith("application/problem+json"):
        return None
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(problem, dict) and str(problem.get("type", "")).startswith(TYPES)
    return problem if is_ours else None


def _error(problem: Mapping[str, Any], status: int, after_s: float | None) -> LogflumeError:
    type_ = str(problem["type"]).removeprefix(TYPES) if "type" in problem else ""
    detail = str(problem.get("detail", ""))[:_MAX_DETAIL].rstrip(".")
    text = _text_of(problem)
    if type_ == "no-such-log":
        near = problem.get("near")
        names = [str(name) for name in near[:5]] if isinstance(near, list) else []
        return LogNotFound(detail.removeprefix("There is no log ").strip("'\""), names)
    if type_ == "cursor-expired":
        lost = problem.get("lost_bytes")
        return CursorExpired(detail, oldest=text("oldest"), lost_bytes=lost if isinstance(lost, int) else None)
    if type_ == "bad-pattern":
        position = problem.get("position")
        reason = detail.removeprefix("The pattern cannot be used: ")
        return BadPattern(text("pattern") or "", reason, position if isinstance(position, int) else None)
    if type_ == "source-failed":
        return SourceFailed(Gap(text("source") or "", _reason(text("reason")), detail + ".", ""))
    simple: dict[str, type[LogflumeError]] = {"bad-cursor": BadCursor, "log-changed": IndexInvalid}
    simple |= dict.fromkeys(("bad-parameter", "bad-request", "no-such-source"), UsageError)
    if type_ in simple:
        return simple[type_](detail)
    kinds: dict[int, type[ServerRefused]] = {_UNAUTHORIZED: SignInNeeded, _FORBIDDEN: NotAllowed}
    return kinds.get(status, ServerRefused)(detail, status=status, type=type_, retry_after_s=after_s)


def _text_of(problem: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a function of text
    return lambda key: str(problem[key])[:_MAX_DETAIL] if problem.get(key) is not None else None


def _reason(text: str | None) -> GapReason:
    try:
        return GapReason(text)
    except ValueError:
        return GapReason.UNREADABLE


def _foreign(address: str, status: int, headers: Mapping[str, str]) -> LogflumeError:
    """Return what an answer means that no log server gave."""
    if status == _UNAUTHORIZED:
        return SignInNeeded(f"{address} wants to know who asks", status=status)
    if status == _FORBIDDEN:
        return NotAllowed(f"{address} does not allow it", status=status)
    if status in _TRY_AGAIN:
        after_s = _retry_after_s(headers.get("retry-after"))
        return ServerRefused(
            f"{address} answers {status}: it is busy, or being started", status=status, retry_after_s=after_s
        )
    if status in _TOO_LONG:
        detail = f"something before {address} takes no address of that length: a place in a log of many sources is long"
        return ServerRefused(detail, status=status)
    if "location" in headers:
        target = _shown(headers["location"].partition("?")[0].partition("#")[0])
        return ForeignServer(address, f"it sends us on to {target}. Give that address, if it is the right one")
    return ForeignServer(address, f"there is no log server: it answers {status}. Check the address")


def _shown(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text[:_MAX_SHOWN])


def _retry_after_s(text: str | None) -> float | None:
    """Read ``Retry-After`` (RFC 9110, 10.2.3): seconds, or a date."""
    if text is None:
        return None
    if text.strip().isdecimal() and len(text) < 10:  # noqa: PLR2004 - some hundred years
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        return max(0.0, (at - at.now(at.tzinfo)).total_seconds())
    except (ValueError, TypeError):
        return None


def unreachable(address: str, reason: str, *, silent: bool = False) -> Failure:
    """Return what it means that nobody answers, or even listens."""
    return Failure(ServerUnreachable(address, reason), again=True, silent=silent)


def gap_of(told: Mapping[str, Any]) -> Gap:
    """Return a gap that a server told."""
    lost, offset = told.get("lost_bytes"), told.get("offset")
    return Gap(
        str(told.get("source", "")),
        _reason(told.get("reason")),
        str(told.get("detail", ""))[:_MAX_DETAIL],
        str(told.get("next_action", ""))[:_MAX_DETAIL],
        lost if isinstance(lost, int) else None,
        offset if isinstance(offset, int) else None,
    )
