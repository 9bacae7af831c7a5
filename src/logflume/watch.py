"""Tell when files may have changed: at once where the system says so, within ``poll_s`` where it does not.

Holds: one thread, one set of events or none, and what was last seen of each path; ``close`` releases them at once.
       No change is missed for longer than ``poll_s`` (but see MAX_LOOKED_AT); spurious wake-ups happen.
Plan:  the thread waits for the system's events (``notify``), and every ``poll_s`` looks at the paths as well. That is
       what finds changes by other machines on a network file system, and events that were lost or cannot be had.
       A file is watched through its folder, so that it stays watched when it is rotated, removed and made again.
Not here: what changed.
"""

# Names stay strings, as the system tells them and is asked for them.
# ruff: noqa: PTH100, PTH112, PTH116, PTH118, PTH120

from __future__ import annotations

import contextlib
import enum
import itertools
import os
import threading
import time
from typing import TYPE_CHECKING

from logflume.closing import Closing
from logflume.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from logflume.notify import Events

MAX_POLL_S = 1.0
"""No ``poll_s`` is longer, so that no change is missed for longer."""

MAX_LOOKED_AT = 256
"""How many files and folders are looked at for each path; one with more in it counts as changed once a second."""

_GATHER_S = 0.005  # the first event is told at once, and those that come so soon after it as one
_JOIN_S = 1.0  # only a thread that hangs in the file system takes longer, and that one is left to it


class WatchMode(enum.Enum):
    """How changes are noticed.

    ``AUTO``: by events where they can be had. ``NOTIFY``: by events, or not at all. ``POLL``: by looking only.
    """

    AUTO = "auto"
    NOTIFY = "notify"
    POLL = "poll"


class Watcher(Closing):
    """Watches files, whether they exist or not, and folders with all that is in them, but behind symlinked folders.

    A context manager; it watches from when it is made until it is closed. Memory: MAX_LOOKED_AT names for each path.
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        poll_s: float = 0.25,
        mode: WatchMode = WatchMode.AUTO,
        tell: Callable[[], None] | None = None,
    ) -> None:
        """Begin to watch; ``tell`` is called in the watcher's thread whenever ``wait`` would return True.

        Raises:
            UsageError: ``poll_s`` is out of range, or there are no events to be had in ``WatchMode.NOTIFY``.
        """
        if not 0 < poll_s <= MAX_POLL_S:
            raise UsageError(f"poll_s is more than 0 and at most {MAX_POLL_S}, not {poll_s}")
        self._paths: tuple[str, ...] = ()
        self._poll_s = poll_s
        self._tell = tell
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._closing = threading.Lock()
        self._seen: list[object] = []
        self._looked_s = time.monotonic()
        self._events: Events | None = None
        self._begin(paths, mode)
        self._thread = threading.Thread(target=self._run, name="logflume-watch", daemon=True)
        self._thread.start()

    @property
    def mode(self) -> WatchMode:
        """How changes are noticed now: ``NOTIFY`` or ``POLL``."""
        return WatchMode.NOTIFY if self._events else WatchMode.POLL

    def wait(self, timeout_s: float) -> bool:
        """Return True as soon as something may have changed since the last call; False after ``timeout_s`` or close."""
        if not self._changed.wait(timeout_s) or self._closed.is_set():
            return False
        self._changed.clear()  # what changes from here on wakes the next call
        return True

    def wake(self) -> None:
        """Let ``wait`` return True now, or when it is next called."""
        self._changed.set()

    def close(self) -> None:
        """Release the thread and the events; a ``wait`` in another thread returns. Closing twice is fine."""
        with self._closing:
            was_closed = self._closed.is_set()
            self._closed.set()
            if not was_closed and self._events:
                self._events.wake()
        self._changed.set()
        self._thread.join(_JOIN_S)

    def watch(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        """Watch more of them from now on; where no events can be had of them, they are looked at."""
        with contextlib.suppress(OSError), self._closing:
            if not self._closed.is_set():
                self._add(paths)

    def _begin(self, paths: Iterable[str | os.PathLike[str]], mode: WatchMode) -> None:
        try:
            self._events = None if mode is WatchMode.POLL else _new_events()
            self._add(paths)
        except OSError as error:  # out of watches, no such folder, no such system
            if self._events:
                self._events.close()
                self._events = None
            if mode is WatchMode.NOTIFY:
                raise UsageError(f"no events can be had of these paths ({error}): use WatchMode.AUTO") from error
            self._add(paths)  # to be looked at

    def _add(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        more = [path for path in dict.fromkeys(_real_paths(paths)) if path not in self._paths]
        looks = [_look(path) for path in more]
        self._seen = [*self._seen, *(seen for seen, _ in looks)]
        self._paths = (*self._paths, *more)
        if self._events and more:
            inside = [path for _, folders in looks for path in folders]
            folders = {path if os.path.isdir(path) else os.path.dirname(path) for path in inside}
            # Not what is below them, which has no bound. A folder that is not there yet is looked for, beside others.
            self._events.add(list(filter(os.path.isdir, folders)) or list(folders), more)

    def _look_at_all(self) -> tuple[list[object], list[str]]:
        looks = [_look(path) for path in self._paths]
        return [seen for seen, _ in looks], [folder for _, folders in looks for folder in folders]

    def _run(self) -> None:
        while not self._closed.is_set():
            is_told = self._wait_for_events()
            if is_told or self._sees_change():
                self._changed.set()
                if self._tell is not None:
                    self._tell()
            if is_told:
                self._closed.wait(_GATHER_S)
        if self._events:
            with self._closing:  # nobody wakes it any more
                self._events.close()

    def _wait_for_events(self) -> bool:
        """Return True when there was an event of ours; False when it is time to look, or to end."""
        left_s = max(0.0, self._looked_s + self._poll_s - time.monotonic())
        if self._events is None:
            self._closed.wait(left_s)
            return False
        return self._events.wait(left_s)

    def _sees_change(self) -> bool:
        """Look, if it is time to; whether something is different."""
        if time.monotonic() < self._looked_s + self._poll_s:
            return False
        before = self._seen
        self._seen, _ = self._look_at_all()
        self._looked_s = time.monotonic()
        return self._seen != before


def _new_events() -> Events:
    from logflume.notify import Events

    return Events()


def _real_paths(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """Yield how events will call these paths, and what symlinks among them lead to."""
    for path in paths:
        folder, name = os.path.split(os.path.abspath(path))
        yield os.path.join(os.path.realpath(folder), name)
        yield os.path.realpath(path)


def _look(path: str) -> tuple[list[object], list[str]]:
    """Return what is different after a change of a file or of anything in a folder, and the folders, ``path`` first."""
    seen: list[object] = [_state(path)]
    folders = [path]
    for folder in folders:  # which grows meanwhile
        with contextlib.suppress(OSError), os.scandir(folder) as entries:  # a file is no folder, and has none
            for entry in itertools.islice(entries, MAX_LOOKED_AT + 1 - len(seen)):
                seen.append((entry.path, _state(entry)))
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return (seen if len(seen) <= MAX_LOOKED_AT else [int(time.monotonic())]), folders


def _state(path: str | os.DirEntry[str]) -> tuple[int | None, ...]:
    try:
        status = os.stat(path)
    except OSError as error:
        return (error.errno,)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
