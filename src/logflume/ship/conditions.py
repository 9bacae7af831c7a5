"""What must hold of a running child, looked at by a thread for each condition.

Holds: a look delays nobody: not another condition, not a log, not the supervisor. A look that hangs counts as failed
       once its time is over, and no other is begun meanwhile.
Plan:  a ``Condition`` is settings and a ``look``, which returns None when it holds, else a sentence. A ``Check`` looks
       again and again; whoever acts asks it whether the condition ``fails`` now.
Memory: a thread for each condition; of an answer or an output ANSWER_BYTES at most.
Not here: what is done about it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import http.client
import os
import signal
import sqlite3
import ssl
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from logflume.errors import UsageError
from logflume.kinds import APath, ListOf, Member, OneOf, Seconds, Secret, Size, Text, Whole, Words
from logflume.settings import required, setting

if TYPE_CHECKING:
    from collections.abc import Sequence

ANSWER_BYTES = 64 * 1024
"""No more of an answer, or of what a command says, is looked at."""

_SHOWN_CHARS = 200
_OVER_S = 1.0
_EAGER_S = 0.25
_NEARLY = 0.9
_OK = range(200, 400)
_PLAIN_SQL = "sqlite:///"
_NS = 1_000_000_000
_LATEST_S = 1e11  # a larger number is no time in seconds

SIGNALS = tuple(each.name.removeprefix("SIG") for each in signal.Signals)


class Then(enum.Enum):
    """What is done when a condition does not hold any more.

    ``REPORT``: it is told, and shown by /health. ``RESTART``: the child is stopped and started again. ``STOP``: it is
    stopped for good. ``SIGNAL``: it is sent the signal ``send``, again after as many failures.
    """

    REPORT = "report"
    RESTART = "restart"
    STOP = "stop"
    SIGNAL = "signal"


class Subject(Protocol):
    """The child that is looked at."""

    @property
    def pid(self) -> int | None:
        """Its number; None while it does not run."""
        ...

    @property
    def started_s(self) -> float:
        """When it was started, by the monotonic clock."""
        ...

    def run(self, words: Sequence[str], output: int, timeout_s: float) -> int | None:
        """Run a command in a session of its own, with ``output`` as its outputs; return its exit code.

        None when it took longer, and was killed.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What all conditions have."""

    then: Then = setting(Member(Then), Then.REPORT, "What is done when it fails.")
    send: str = setting(OneOf(SIGNALS), "TERM", 'The signal, with `then = "signal"`.')
    every_s: float = setting(Seconds(0.1), 10.0, "How often it is looked at.")
    timeout_s: float = setting(Seconds(0.1), 5.0, "How long a look may take.")
    failures: int = setting(Whole(1, 1_000_000), 3, "So many failed looks in a row, and the condition fails.")
    first_after_s: float = setting(Seconds(), 0.0, "How long a child that was just started is left alone.")

    def look(self, subject: Subject) -> str | None:
        """Look once; return None when it holds, else why not.

        Raises:
            Exception: anything; that is a failed look.
        """
        raise NotImplementedError

    def check(self) -> None:
        """See whether the settings go together.

        Raises:
            UsageError: they do not.
        """


@dataclass(frozen=True, kw_only=True)
class HttpCondition(Condition):
    """An address answers."""

    url: str = required(
        Text("an address: http://HOST/PATH or https://HOST/PATH", r"https?://[^/ ]+.*"), "What is asked."
    )
    expect: tuple[int, ...] = setting(
        ListOf(Whole(100, 599), ","), (), "The codes that are good; without any, all from 200 to 399."
    )
    contains: str | None = setting(Text(), None, "What the answer's first 64 KiB must contain.")

    def look(self, subject: Subject) -> str | None:
        """Ask for it; a redirect is not followed."""
        del subject
        parts = urllib.parse.urlsplit(self.url)
        connection = self._connection(parts)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", target, headers={"User-Agent": "logflume"})
            answer = connection.getresponse()
            body = answer.read(ANSWER_BYTES)
        finally:
            connection.close()
        if answer.status not in (self.expect or _OK):
            return f"it answered {answer.status} {answer.reason}"
        if self.contains is not None and self.contains.encode() not in body:
            return "its answer does not contain what it should"
        return None

    def _connection(self, parts: urllib.parse.SplitResult) -> http.client.HTTPConnection:
        host = parts.hostname or ""
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, parts.port, timeout=self.timeout_s, context=context)
        return http.client.HTTPConnection(host, parts.port, timeout=self.timeout_s)


@dataclass(frozen=True, kw_only=True)
class CommandCondition(Condition):
    """A command ends with 0."""

    command: tuple[str, ...] = required(Words(), "What is run; it has the child's number in `LOGFLUME_CHILD_PID`.")

    def look(self, subject: Subject) -> str | None:
        """Run it."""
        with tempfile.TemporaryFile() as said:
            code = subject.run(self.command, said.fileno(), self.timeout_s)
            if code == 0:
                return None
            size = said.seek(0, os.SEEK_END)
            said.seek(max(0, size - ANSWER_BYTES))
            last = said.read(ANSWER_BYTES).decode("utf-8", "replace").strip().rpartition("\n")[2][-_SHOWN_CHARS:]
        how = "it took too long" if code is None else f"it ended with {code}"
        return f"{how}: {last}" if last else how


@dataclass(frozen=True, kw_only=True)
class FileCondition(Condition):
    """A file was changed not long ago."""

    path: Path = required(APath(), "The file that is touched.")
    max_age_s: float = required(Seconds(0.1), "How long ago that may be.")

    def look(self, subject: Subject) -> str | None:
        """Ask when it was changed; before the child was started does not count against it."""
        try:
            age_s = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            age_s = float("inf")
        ran_s = time.monotonic() - subject.started_s
        if min(age_s, ran_s) <= self.max_age_s:
            return None
        return f"{self.path} is not there" if age_s == float("inf") else f"{self.path} was changed {age_s:.0f} s ago"


@dataclass(frozen=True, kw_only=True)
class SqlCondition(Condition):
    """A database answers; perhaps with a time that is not long ago."""

    url: str = required(
        Secret(),
        "The database: `sqlite:///PATH`, or as SQLAlchemy names it (`pip install 'logflume[sql]'`, and its driver).",
    )
    query: str = setting(Text(), "SELECT 1", "What it is asked.")
    max_age_s: float | None = setting(
        Seconds(0.1), None, "The first value of the first row is a time, and may be so old. Without a zone it is UTC."
    )

    def look(self, subject: Subject) -> str | None:
        """Ask it, by a connection of its own."""
        value = self._value()
        if self.max_age_s is None:
            return None
        if value is None:
            return "there is no row, or no time in it"
        age_s = time.time() - _seconds_of(value)
        if min(age_s, time.monotonic() - subject.started_s) <= self.max_age_s:
            return None
        return f"its time is {age_s:.0f} s ago"

    def _value(self) -> object:
        if self.url.startswith(_PLAIN_SQL):
            path = self.url.removeprefix(_PLAIN_SQL)
            uri = f"file:{urllib.parse.quote(path)}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, timeout=self.timeout_s, uri=True)) as connection:
                row = connection.execute(self.query).fetchone()
            return row[0] if row else None
        return _ask_sqlalchemy(self.url, self.query)

    def check(self) -> None:
        """See that there is what speaks to that database."""
        if not self.url.startswith(_PLAIN_SQL):
            try:
                import sqlalchemy
            except ImportError:
                raise UsageError("a database other than SQLite needs SQLAlchemy: pip install 'logflume[sql]'") from None
            try:
                sqlalchemy.make_url(self.url)
            except sqlalchemy.exc.ArgumentError:
                raise UsageError("its url is none that SQLAlchemy understands") from None


def _ask_sqlalchemy(url: str, query: str) -> object:
    import sqlalchemy

    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        row = connection.execute(sqlalchemy.text(query)).fetchone()
    return row[0] if row else None


def _seconds_of(value: object) -> float:
    """Return a time of a database in seconds since 1970.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=dt.timezone.utc)).timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
        while seconds > _LATEST_S:  # milliseconds, microseconds, nanoseconds
            seconds /= 1000
        return seconds
    raise ValueError("what the query gives is no time")


@dataclass(frozen=True, kw_only=True)
class MemoryCondition(Condition):
    """A child and all processes of its session take no more memory than that."""

    max_bytes: int = required(Size(1), "What they may take together (resident; what they share counts for each).")

    def look(self, subject: Subject) -> str | None:
        """Add them up."""
        if subject.pid is None:
            return None
        taken = memory_of_session(subject.pid)
        return None if taken <= self.max_bytes else f"it takes {taken} bytes"


@dataclass(frozen=True, kw_only=True)
class ProcessCondition(Condition):
    """The process whose number is in a file runs: for programs that go to the background."""

    pid_file: Path = required(APath(), "The file with its number.")

    def look(self, subject: Subject) -> str | None:
        """Ask the system."""
        del subject
        with self.pid_file.open("rb") as file:
            text = file.read(_SHOWN_CHARS).strip()
        if not text.isdigit():
            return f"there is no number in {self.pid_file}"
        fields = _stat_of(int(text))
        return f"process {int(text)} does not run" if fields is None or fields[0] in (b"Z", b"X") else None


@dataclass(frozen=True, kw_only=True)
class LifetimeCondition(Condition):
    """A child runs for no longer than that."""

    max_s: float = required(Seconds(1), "How long.")

    def look(self, subject: Subject) -> str | None:
        """Compare."""
        ran_s = time.monotonic() - subject.started_s
        return None if ran_s <= self.max_s else f"it has run for {ran_s:.0f} s"


KINDS: dict[str, type[Condition]] = {
    "http": HttpCondition,
    "command": CommandCondition,
    "file": FileCondition,
    "sql": SqlCondition,
    "memory": MemoryCondition,
    "process": ProcessCondition,
    "lifetime": LifetimeCondition,
}


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STAT_SESSION, _STAT_RSS = 3, 21  # fields 6 and 24 of proc(5) stat, counted behind the name


def memory_of_session(session: int) -> int:
    """Return the resident bytes of all processes of a session."""
    pages = 0
    for path in Path("/proc").iterdir():
        fields = _stat_of(int(path.name)) if path.name.isdigit() else None
        if fields and int(fields[_STAT_SESSION]) == session:
            pages += int(fields[_STAT_RSS])
    return pages * _PAGE_BYTES


def _stat_of(pid: int) -> list[bytes] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None


class Check(threading.Thread):
    """Looks at one condition of one child, until it is ended."""

    def __init__(self, name: str, condition: Condition, subject: Subject) -> None:
        super().__init__(name=f"logflume-check-{name}", daemon=True)
        self.condition = condition
        self.label = name
        self.detail: str | None = None
        self.looks = 0
        self.failed_looks = 0
        self._subject = subject
        self._in_a_row = 0
        self._held = False
        self._counted_s = float("-inf")
        self._began_s: float | None = None
        self._changed = threading.Lock()
        self._over = threading.Event()

    def run(self) -> None:
        """Look; more often at first, for others may wait for it to hold."""
        while not self._over.wait(self.condition.every_s if self._held else min(self.condition.every_s, _EAGER_S)):
            if self._subject.pid is not None and self._runs_for() >= self.condition.first_after_s:
                self.look()

    def _runs_for(self) -> float:
        return time.monotonic() - self._subject.started_s

    def look(self) -> None:
        """Look once, and note what was seen."""
        started_s = self._subject.started_s
        self._began_s = time.monotonic()
        try:
            why = self.condition.look(self._subject)
        except Exception as error:  # noqa: BLE001 - the edge of a thread; it is a failed look, and told
            why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        took_s = time.monotonic() - self._began_s
        if why is None and took_s > self.condition.timeout_s + _OVER_S:
            why = f"it took {took_s:.1f} s"
        with self._changed:
            self._began_s = None
            self.looks += 1
            if why is not None:
                self.failed_looks += 1
            if started_s == self._subject.started_s:  # else that was about an earlier one
                self._note(why)

    def _note(self, why: str | None) -> None:
        self.detail = why if why is None else why[:_SHOWN_CHARS]
        now_s = time.monotonic()
        if why is None:
            self._in_a_row = 0
        elif self._held or now_s - self._counted_s >= self.condition.every_s * _NEARLY:
            self._in_a_row += 1
            self._counted_s = now_s
        self._held = why is None

    @property
    def holds(self) -> bool:
        """Whether the last look was good."""
        return self._held

    def fails(self, now_s: float | None = None) -> str | None:
        """Return why the condition fails now; None when it does not."""
        now_s = time.monotonic() if now_s is None else now_s
        with self._changed:
            began_s, in_a_row, detail = self._began_s, self._in_a_row, self.detail
        if began_s is not None and (over_s := now_s - began_s - self.condition.timeout_s - _OVER_S) > 0:
            in_a_row += 1 + int(over_s / max(self.condition.every_s, self.condition.timeout_s))
            detail = "it does not come to an end"
        return (detail or "it fails") if in_a_row >= self.condition.failures else None

    def forget(self) -> None:
        """Begin anew: the child is another one, or something was done."""
        with self._changed:
            self._in_a_row = 0
            self._held = False
            if self._began_s is not None:  # what hangs hangs for the new one, too, from now on
                self._began_s = time.monotonic()

    def end(self) -> None:
        """Look no more; one that hangs is left behind."""
        self._over.set()
