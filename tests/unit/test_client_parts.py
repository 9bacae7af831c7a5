"""The parts of the client that touch no network: addresses, tokens, patience, and what answers mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from logflume import (
    BadCursor,
    BadPattern,
    CursorExpired,
    ForeignServer,
    IndexInvalid,
    LogflumeError,
    LogNotFound,
    NotAllowed,
    Output,
    ServerRefused,
    SignInNeeded,
    SourceFailed,
    UsageError,
    frames,
)
from logflume.client.address import base_of, is_address, log_path, parse_address
from logflume.client.answers import Failure, failure_of_answer, failure_of_kind, unreachable
from logflume.client.asking import Blocks, Hits, moment, params_of
from logflume.client.patience import GIVE_UP_S, MAX_WAIT_S, NEVER_MET_S, Patience
from logflume.client.secret import MAX_FILE_BYTES, Token

if TYPE_CHECKING:
    from pathlib import Path

URL = "http://logs.example.com"


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("http://127.0.0.1:8793", "http://127.0.0.1:8793"),
        ("HTTPS://logs.example.com/", "https://logs.example.com"),
        ("http://[::1]:8793/", "http://[::1]:8793"),
        ("https://example.com/logs//", "https://example.com/logs"),
        ("https://example.com/with space", "https://example.com/with%20space"),
    ],
)
def test_the_address_of_a_server_has_one_form(text: str, base: str) -> None:
    """However it is written."""
    assert base_of(text) == base


@pytest.mark.parametrize(
    "text",
    [
        "",
        "logs/dag",
        "ftp://x",
        "http://",
        "http://x:port",
        "http://x:70000",
        "http://user:pw@x",
        "http://x/\n",
        "http://[",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """And no password is repeated."""
    with pytest.raises(UsageError) as refused:
        base_of(text)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "certain"),
    [
        ("/api/v1/logs/dag/a.log/stream?follow=true#L3", (URL, "dag/a.log")),
        ("/api/v1/logs/dag/a.log", (URL, "dag/a.log")),
        ("/p/q/api/v1/logs/dag/a%20b.log/rows", (f"{URL}/p/q", "dag/a b.log")),
        ("/dag/a.log", None),
        ("", None),
    ],
)
def test_a_link_tells_which_log_it_is_of(path: str, certain: tuple[str, str] | None) -> None:
    """What the API's own addresses look like."""
    assert parse_address(URL + path).certain() == certain


def test_a_path_may_be_of_the_server_or_of_the_log() -> None:
    """The server at the host comes first."""
    assert list(parse_address(f"{URL}/p/dag=1/a+b%2Fc.log").candidates())[:3] == [
        (URL, "p/dag=1/a+b/c.log"),
        (f"{URL}/p", "dag=1/a+b/c.log"),
        (f"{URL}/p/dag%3D1", "a+b/c.log"),
    ]
    assert not is_address("http:/x")


def test_an_id_becomes_a_path() -> None:
    """Whatever is in it; but nothing that leads elsewhere."""
    assert log_path("a b/c%d+é?#.log", "rows") == "/api/v1/logs/a%20b/c%25d+%C3%A9%3F%23.log/rows"
    assert log_path("x.log") == "/api/v1/logs/x.log/meta"
    for bad in ("", "../x", "a//b", "/a", "a/./b"):
        with pytest.raises(UsageError):
            log_path(bad)


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOGFLUME_TOKEN", raising=False)
    monkeypatch.delenv("LOGFLUME_TOKEN_FILE", raising=False)


def test_a_token_comes_from_where_it_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An argument, a file, the environment: in this order; and it is shown by nothing."""
    file = tmp_path / "token"
    file.write_text("of-the-file\n")
    monkeypatch.setenv("LOGFLUME_TOKEN", "of-the-environment")
    assert Token("given").headers() == {"Authorization": "Bearer given"}
    assert Token(file=file).headers() == {"Authorization": "Bearer of-the-file"}
    assert Token().headers() == {"Authorization": "Bearer of-the-environment"}
    monkeypatch.delenv("LOGFLUME_TOKEN")
    monkeypatch.setenv("LOGFLUME_TOKEN_FILE", str(file))
    assert Token().headers() == {"Authorization": "Bearer of-the-file"}
    monkeypatch.delenv("LOGFLUME_TOKEN_FILE")
    assert Token().headers() == {}
    assert "given" not in repr(Token("given"))


def test_a_token_in_a_file_can_be_replaced(tmp_path: Path) -> None:
    """It is read again when asked, and it is known whether it is another one."""
    file = tmp_path / "token"
    file.write_text("one")
    token = Token(file=file)
    assert not token.read_again()
    file.write_text("two")
    assert token.read_again()
    assert token.headers() == {"Authorization": "Bearer two"}
    assert not Token("given").read_again()


@pytest.mark.parametrize("content", [b"", b"two words", b"se\ncret", b"\xff", b"x" * (MAX_FILE_BYTES + 1)])
def test_what_cannot_be_a_token_is_refused(content: bytes, tmp_path: Path) -> None:
    """Without repeating it."""
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(UsageError) as refused:
        Token(file=tmp_path / "token")
    assert "se" not in str(refused.value).replace(str(tmp_path), "")
    with pytest.raises(UsageError):
        Token(content.decode("latin-1") * 2 + "\n")


def test_a_token_and_a_file_are_not_given_together(tmp_path: Path) -> None:
    """It would not be clear which counts; nor is a file that is not there passed over."""
    with pytest.raises(UsageError):
        Token("x", tmp_path / "y")
    with pytest.raises(UsageError):
        Token(file=tmp_path / "y")


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Tell it."""
        return self.now_s


LOST = unreachable(URL, "it broke off")


def waits(patience: Patience, clock: Clock, failure: Failure = LOST) -> list[float]:
    """Wait until patience ends."""
    found: list[float] = []
    while True:
        try:
            found.append(patience.wait_s(failure))
        except LogflumeError:
            return found
        clock.now_s += found[-1]


def test_waits_double_and_end() -> None:
    """From a tenth of a second to ten; together no longer than it is tried."""
    clock = Clock()
    found = waits(Patience(met=True, clock=clock, luck=lambda: 0), clock)
    assert found[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(found) == MAX_WAIT_S
    assert GIVE_UP_S - MAX_WAIT_S < sum(found) <= GIVE_UP_S


def test_waits_are_cut_by_luck() -> None:
    """By up to half, so that clients do not come back together."""
    clock = Clock()
    assert Patience(met=True, clock=clock, luck=lambda: 1).wait_s(LOST) == 0.05


def test_getting_on_begins_anew() -> None:
    """Patience is for what does not get on."""
    clock = Clock()
    patience = Patience(10, met=True, clock=clock, luck=lambda: 0)
    for _ in range(20):
        assert patience.wait_s(LOST) == 0.1
        clock.now_s += 9
        patience.got_on()


def test_a_connection_that_lasts_is_no_failure() -> None:
    """A quiet follow that a proxy cuts every minute goes on for ever, and is not asked for faster and faster."""
    clock = Clock()
    patience = Patience(10, met=True, clock=clock, luck=lambda: 0)
    assert [patience.wait_s(LOST) for _ in range(2)] == [0.1, 0.2]
    clock.now_s += 60
    patience.heard()
    assert patience.wait_s(LOST) == 0.1


def test_nobody_at_an_address_is_told_at_once() -> None:
    """Unless somebody had answered there before; one who takes connections and says nothing is tried for a moment."""
    gone = unreachable(URL, "Connection refused", silent=True)
    assert waits(Patience(), Clock(), gone) == []
    met = Patience()
    met.answered()
    assert met.wait_s(gone) > 0
    clock = Clock()
    assert 1 < sum(waits(Patience(clock=clock), clock)) <= NEVER_MET_S


def test_what_the_server_asks_for_counts() -> None:
    """If that is longer than one would wait; and if it is too long, it is told at once."""
    clock = Clock()
    busy = Failure(ServerRefused("busy", status=503), again=True, after_s=7)
    assert Patience(clock=clock, luck=lambda: 0).wait_s(busy) == 7
    later = Failure(ServerRefused("busy", status=503), again=True, after_s=3600)
    assert waits(Patience(clock=clock), clock, later) == []


def problem(status: int, type_: str, **more: object) -> Failure:
    """Return what a problem of ours means."""
    body = {"type": f"urn:logflume:problem:{type_}", "status": status, "detail": "In words.", **more}
    headers = {"content-type": "application/problem+json", "retry-after": "3"}
    return failure_of_answer(URL, status, headers, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("failure", "kind", "again"),
    [
        (problem(404, "no-such-log", detail="There is no log 'x'.", near=["y"]), LogNotFound, False),
        (problem(410, "cursor-expired", oldest="1.a.b", lost_bytes=5), CursorExpired, False),
        (problem(400, "bad-cursor"), BadCursor, False),
        (problem(400, "bad-pattern", pattern="a(", position=1), BadPattern, False),
        (problem(400, "bad-parameter"), UsageError, False),
        (problem(401, "not-signed-in"), SignInNeeded, False),
        (problem(403, "not-allowed"), NotAllowed, False),
        (problem(429, "too-many"), ServerRefused, True),
        (problem(503, "log-changed"), IndexInvalid, True),
        (problem(503, "source-failed", source="a", reason="permission-denied"), SourceFailed, True),
        (problem(406, "not-acceptable"), ServerRefused, False),
        (failure_of_answer(URL, 502, {}, b"<html>"), ServerRefused, True),
        (failure_of_answer(URL, 401, {}, b""), SignInNeeded, False),
        (failure_of_answer(URL, 404, {}, b"<html>"), ForeignServer, False),
        (failure_of_answer(URL, 414, {}, b""), ServerRefused, False),
        (failure_of_answer(URL, 302, {"location": "http://elsewhere/x?token=secret"}, b""), ForeignServer, False),
        (failure_of_answer(URL, 500, {"content-type": "application/problem+json"}, b"[" * 9999), ForeignServer, False),
    ],
)
def test_every_answer_has_its_error(failure: Failure, kind: type[LogflumeError], again: bool) -> None:
    """Of the tree, with its fields; and it is known whether to ask again."""
    assert type(failure.error) is kind
    assert failure.again is again
    assert "secret" not in str(failure.error)


def test_errors_have_the_fields_of_problems() -> None:
    """What programs need is not only in the text."""
    missing = problem(404, "no-such-log", detail="There is no log 'x'.", near=["y"]).error
    assert isinstance(missing, LogNotFound)
    assert (missing.name, missing.near) == ("x", ("y",))
    expired = problem(410, "cursor-expired", oldest="1.a.b", lost_bytes=5).error
    assert isinstance(expired, CursorExpired)
    assert (expired.oldest, expired.lost_bytes) == ("1.a.b", 5)
    busy = problem(429, "too-many")
    assert isinstance(busy.error, ServerRefused)
    assert (busy.error.status, busy.error.type, busy.error.retry_after_s, busy.after_s) == (429, "too-many", 3, 3)


def test_a_web_page_is_no_log() -> None:
    """An answer of another kind is told as what it is."""
    failure = failure_of_kind(URL, "text/html; charset=utf-8", "application/json")
    assert failure is not None
    assert "web page" in str(failure.error)
    assert failure_of_kind(URL, "application/json; charset=utf-8", "application/json") is None


def test_parameters() -> None:
    """None and False are left out; a time stays the same however often it is asked."""
    assert params_of(a=None, b=False, c=True, d=[1, 2], from_=3) == [
        ("c", "true"),
        ("d", "1"),
        ("d", "2"),
        ("from", "3"),
    ]
    assert moment(1_732_106_096_000_000_001) == "2024-11-20T12:34:56.000000001Z"
    assert moment("2024-11-20 13:34:56", "Europe/Berlin") == "2024-11-20T12:34:56.000000000Z"


def cursor(number: int) -> bytes:
    """Return a frame."""
    return frames.told(frames.CURSOR, {"cursor": f"1.{number}", "lines": number, "records": number})


def test_lines_wait_for_their_cursor() -> None:
    """What has no cursor yet is forgotten by a cut, and counts go on."""
    asking = Blocks(URL, "x.log", [], output=Output.TEXT, tail=5, limit=10)
    assert ("tail", "5") in asking.params()
    asking.began({})
    assert list(asking.feed(frames.lines_told(b"a\n") + cursor(1) + frames.lines_told(b"lost\n"))) == [b"a\n"]
    assert dict(asking.params()) == {"output": "text", "after": "1.1", "limit": "9"}
    asking.began({})
    given = list(asking.feed(frames.lines_told(b"b\n") + cursor(1) + frames.told(frames.END, {"lines": 1})))
    assert (given, asking.lines, asking.ended) == ([b"b\n"], 2, True)


@pytest.mark.parametrize(
    "data",
    [b"<html>", frames.told(frames.CURSOR, {"cursor": 5}), frames.told(frames.CURSOR, {}), frames.told(frames.GAP, [])],
)
def test_damaged_frames_are_told(data: bytes) -> None:
    """Whatever is wrong with them, it is one error."""
    asking = Blocks(URL, "x.log", [], output=Output.TEXT)
    with pytest.raises(ForeignServer):
        list(asking.feed(data))


def test_a_step_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that tells no cursor does not fill our memory."""
    monkeypatch.setattr("logflume.client.asking.MAX_STEP_BYTES", 100)
    asking = Blocks(URL, "x.log", [], output=Output.TEXT)
    with pytest.raises(ForeignServer):
        list(asking.feed(frames.lines_told(b"x" * 60) * 2))


def hit(seq: int) -> bytes:
    """Return a line of a search."""
    return json.dumps({"seq": seq, "rows": [{}]}).encode() + b"\n"


def done(seq: int, after: str | None) -> bytes:
    """Return the last line of an answer."""
    told: dict[str, object] = {"hits": 1, "whole": after is None, "seq": seq, "bytes": 10, "after": after, "gaps": []}
    return json.dumps({"done": told}).encode() + b"\n"


def test_a_search_goes_on_and_repeats_no_hit() -> None:
    """After a cut the same answer is asked for again, and hits that came are left out; after an end the next one."""
    asking = Hits(URL, "x.log", [("q", "a")], limit=4)
    assert [each["seq"] for each in asking.feed(hit(3) + hit(5)[:4])] == [3]
    asking.began({})
    assert [each["seq"] for each in asking.feed(hit(3) + hit(5) + done(9, "1.x"))] == [5]
    assert (asking.complete, asking.ended) == (True, False)
    assert dict(asking.params()) == {"q": "a", "after": "1.x", "seq": "9", "limit": "2"}
    asking.began({})
    assert [each["seq"] for each in asking.feed(hit(12) + done(20, None))] == [12]
    assert (asking.ended, asking.whole, asking.hits, asking.bytes_read, asking.seq) == (True, True, 3, 20, 20)


@pytest.mark.parametrize("data", [b"<html>\n", b"[]\n", b"[" * 9999 + b"\n"])
def test_a_damaged_search_is_told(data: bytes) -> None:
    """Whatever comes instead of hits."""
    with pytest.raises(ForeignServer):
        list(Hits(URL, "x.log", []).feed(data))
