"""Log from inside a program straight into a segment: for ``logging``, for structlog, for anything with bytes.

Holds: to log is one call of the system, which adds whole lines at the end of a file: no lock, no queue, no thread is in
       between, so it can be done in any thread, in an event loop, in a signal handler, and in a process that was forked
       at any moment. Nothing here waits for a sink.
Plan:  the first process that opens a stream keeps it (``segments``: the index and the budget, by a thread that looks);
       every other one, forked or started by itself, only appends. A fork takes no thread along, and no lock.
Order: as the system took the lines, of all processes.
Loss:  what the disk does not take: counted, and told in a line of its own when it takes something again. Beyond the
       budget the oldest, as ``segments`` says.
Memory: the line.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import traceback
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logflume.closing import Closing
from logflume.errors import UsageError
from logflume.ship.recording import Watch
from logflume.ship.segments import Rules, Segments, Writer

if TYPE_CHECKING:
    from collections.abc import Mapping


_OPEN: weakref.WeakSet[Appender] = weakref.WeakSet()
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Appender(Closing):
    """One stream that this program writes to; any number of processes may have it open.

    Attributes:
        keeps: whether this process keeps the index and the budget; another does if not.
        lost_lines: how many the disk did not take, in this process.
    """

    def __init__(self, folder: str | os.PathLike[str], name: str = "app.log", rules: Rules | None = None) -> None:
        """Open ``name`` in ``folder``; both are made if they are not there.

        Raises:
            UsageError: rules that cannot be kept.
            OSError: the folder cannot be written.
        """
        if not name.endswith(".log") or Path(name).name != name:
            raise UsageError(f"{name!r} is no name of a stream: write it as app.log")
        self.lost_lines = 0
        self._pid = os.getpid()
        path = Path(folder).absolute()
        path.mkdir(parents=True, exist_ok=True)
        self._segments = _keep(path, name, rules)
        self._watch = None if self._segments is None else Watch([self._segments])
        self._descriptor = os.open(path / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        if self._watch is not None:
            self._watch.start()
        _OPEN.add(self)

    @property
    def keeps(self) -> bool:
        """Whether it is this process that keeps the index and the budget."""
        return self._segments is not None

    def append(self, lines: bytes) -> bool:
        """Add whole lines; False when the disk did not take them, and they are counted.

        The call returns when the system has them. They are never mixed with those of others, up to the 2 GiB that the
        system takes at once.
        """
        if not lines.endswith(b"\n"):
            lines += b"\n"
        if self.lost_lines:
            lines = _told(self.lost_lines) + lines
        try:
            written = os.write(self._descriptor, lines)
        except OSError:
            written = 0
        if written == len(lines):
            self.lost_lines = 0
            return True
        self.lost_lines += 1
        if written:
            with contextlib.suppress(OSError):  # end the torn line, if there is room for that
                os.write(self._descriptor, b"\n")
        return False

    def close(self) -> None:
        """Release all. Closing twice is fine; in a forked process only what is its own is released."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        if self._segments is not None and self._watch is not None:
            self._watch.end()
            self._segments.close()
            self._segments = None

    def _after_fork(self) -> None:
        """In a forked process: be one that only appends."""
        if self._segments is not None:
            self._segments.abandon()
        self._segments = self._watch = None


def _forked() -> None:
    for appender in list(_OPEN):
        appender._after_fork()  # noqa: SLF001 - of this module


os.register_at_fork(after_in_child=_forked)


def _keep(folder: Path, name: str, rules: Rules | None) -> Segments | None:
    """Take a stream in keeping; None when somebody else has it."""
    try:
        return Segments(folder, name, rules, writer=Writer.CHILD)
    except UsageError as error:
        if "is being captured into" in str(error):
            return None
        raise


def _told(lost_lines: int) -> bytes:
    return json_line({"event": f"{lost_lines} lines are missing here: the disk took no more", "level": "error"})


def json_line(event: Mapping[str, Any], now_ns: int | None = None) -> bytes:
    """Return an event as a line of JSON, with its time first; what JSON does not know is shown by ``repr``."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_ns // 1_000_000_000))
    known = {"timestamp": f"{moment}.{now_ns % 1_000_000_000 // 1000:06d}Z", **event}
    return json.dumps(known, default=repr, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


class SegmentHandler(logging.Handler):
    """A handler for ``logging`` that appends a line of JSON, or what its formatter makes.

    It has no lock: to append needs none, and so no fork can find it held.
    """

    def __init__(self, appender: Appender, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._appender = appender

    def createLock(self) -> None:  # noqa: N802 - its name there
        """Make none."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Append a record, if filters let it pass."""
        passed: object = self.filter(record)
        if isinstance(passed, logging.LogRecord):  # from Python 3.12 on a filter may give another
            record = passed
        if passed:
            self.emit(record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Append a record."""
        try:
            if self.formatter is None:
                self._appender.append(json_line(_event_of(record), int(record.created * 1e9)))
            else:
                self._appender.append(self.format(record).encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001 - a record that cannot be shown must not break who logs it; as logging does
            self.handleError(record)

    def flush(self) -> None:
        """Do nothing: what was appended is there."""


def _event_of(record: logging.LogRecord) -> dict[str, Any]:
    event = {
        "level": record.levelname.lower(),
        "event": record.getMessage(),
        "logger": record.name,
        **{name: value for name, value in vars(record).items() if name not in _PLAIN},
    }
    if record.exc_info and record.exc_info[1] is not None:
        event["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
    if record.stack_info:
        event["stack"] = record.stack_info
    return event


class StructlogAppender:
    """The last processor of structlog: appends the event as a line of JSON, and ends its way.

    ``structlog.configure(processors=[…, StructlogAppender(appender)])``. What a renderer before it made of the event is
    appended as it is.
    """

    def __init__(self, appender: Appender) -> None:
        self._appender = appender

    def __call__(self, logger: object, method_name: str, event_dict: Any) -> Any:  # noqa: ANN401 - as structlog has it
        """Append.

        Raises:
            structlog.DropEvent: always; there is nothing more to do.
        """
        from structlog import DropEvent

        del logger
        if isinstance(event_dict, bytes):
            line = event_dict
        elif isinstance(event_dict, str):
            line = event_dict.encode("utf-8", "backslashreplace")
        else:
            line = json_line({"level": method_name, **event_dict})
        self._appender.append(line)
        raise DropEvent
