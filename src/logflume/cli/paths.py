"""Paths of a command line to one log.

Holds: names only; nothing is opened. A path that is missing is a Gap with the nearest name, and the rest is read.
Order: files and folders as given, then streams in object stores, pods, then standard input and other streams.
"""

# Names stay strings, as the command line has them and the system is asked for them.
# ruff: noqa: PTH100, PTH117, PTH118, PTH120

from __future__ import annotations

import fnmatch
import itertools
import os
from typing import TYPE_CHECKING

from logflume.catalog import log_of_paths
from logflume.cli.stream import stream_of
from logflume.errors import UsageError
from logflume.records import Gap, GapReason, LogState, LogStatus
from logflume.sources.objectstore import ObjectSource, is_address
from logflume.sources.rotation import rotated_set
from logflume.state import peek_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from logflume.abc import Log, Source

POD = "k8s://"
"""How the address of a pod begins."""

MAX_NAMES = 1000
"""How many names are compared with one that is missing, at most."""


class GivenLog:
    """The log that paths and ``--source`` patterns name; see ``logflume.abc.Log``.

    Attributes:
        missing: a Gap for each path that is not there, unless it is waited for.
        streams: sources that can be read only once.
    """

    def __init__(self, paths: Sequence[str], patterns: Sequence[str] = (), *, wait_for_missing: bool = False) -> None:
        """Look which paths there are.

        Raises:
            UsageError: a path that no system can have.
        """
        if "" in paths:  # an unset variable of a shell, mostly
            raise UsageError("a path is empty: name a file or folder")
        self._patterns = patterns
        found = {path: stream_of(path) for path in paths}
        self.streams = [stream for stream in found.values() if stream is not None]
        self._objects = [ObjectSource(path) for path in paths if is_address(path)]
        self._pods = [_pod_log(path, follow=wait_for_missing) for path in paths if path.startswith(POD)]
        files = [path for path, stream in found.items() if stream is None and not is_elsewhere(path)]
        self.missing = [] if wait_for_missing else [gap_of_missing(path) for path in files if is_missing(path)]
        absent = {gap.source for gap in self.missing}
        files = [path for path in files if path not in absent]
        self._log = log_of_paths(files) if files else None

    @property
    def id(self) -> str:
        """What files and folders are called together."""
        elsewhere = [source.name for source in self._objects] + [pod.id for pod in self._pods]
        return self._log.id if self._log else " ".join(elsewhere) or "stdin"

    def sources(self) -> list[Source]:
        """Return the sources there are now."""
        return [source for source in self._all() if self._is_wanted(source.name)]

    def peek_status(self) -> LogStatus:
        """Say how whoever writes it stands."""
        return peek_status(self._log) if self._log and not self.streams else LogStatus(LogState.UNKNOWN)

    def first_sources(self) -> list[Source]:
        """Return the sources there are now.

        Raises:
            UsageError: there are some, and no pattern fits any; there are too many.
        """
        found = self._all()
        wanted = [source for source in found if self._is_wanted(source.name)]
        if found and not wanted:
            names = [source.name for source in found]
            raise UsageError(f"no source is called {' or '.join(self._patterns)}; {offer(self._patterns[0], names)}")
        return wanted

    def _all(self) -> list[Source]:
        of_pods = [source for pod in self._pods for source in pod.sources()]
        return [*(self._log.sources() if self._log else ()), *self._objects, *of_pods, *self.streams]

    def _is_wanted(self, name: str) -> bool:
        return not self._patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in self._patterns)


def is_elsewhere(path: str) -> bool:
    """Tell whether a path is the address of something that is no file here."""
    return is_address(path) or path.startswith(POD)


def _pod_log(address: str, *, follow: bool) -> Log:
    from logflume.sources.pods import pod_log_of  # what speaks HTTP is loaded by who asks for it

    return pod_log_of(address, follow=follow)


def is_missing(path: str) -> bool:
    """Tell whether there is nothing of that name, and no rotated file of it either."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return not rotated_set(path)
    except (OSError, ValueError):  # it may be there, and reading says what is wrong
        return False
    return False


def gap_of_missing(path: str) -> Gap:
    """Say what is missing: the path, or the folder above it that comes first."""
    missing = _first_missing(os.path.abspath(path))
    folder, name = os.path.split(missing)
    what = "There is no such file or folder." if missing == os.path.abspath(path) else f"There is no {missing}."
    near = nearest(name, _names_in(folder))
    todo = f"Did you mean {_as_written(path, os.path.join(folder, near[0]))}?" if near else "Check the path."
    return Gap(path, GapReason.NOT_FOUND, what, todo)


def _as_written(path: str, other: str) -> str:
    return other if os.path.isabs(path) else os.path.relpath(other)


def _first_missing(path: str) -> str:
    above = os.path.dirname(path)
    while above != path and is_missing(above):
        path, above = above, os.path.dirname(above)
    return path


def _names_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in itertools.islice(entries, MAX_NAMES)]
    except OSError:
        return []


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Return up to three of ``names`` that ``name`` may have been meant to be, best first."""
    import difflib

    return difflib.get_close_matches(name, itertools.islice(names, MAX_NAMES), 3)


def offer(wanted: str, names: Sequence[str]) -> str:
    """Say which of ``names`` may have been meant."""
    offered = nearest(wanted, names) or names[:3]
    more = len(names) - len(offered)
    return f"there is {', '.join(offered)}" + (f" and {more} more" if more else "")
