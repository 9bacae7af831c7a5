"""Which logs a folder holds and which files make up one log, found lazily.

Holds: no path leaves the root: each part of an id is one name in one folder, and a symlinked folder is never entered.
       Between two logs nothing is open. Memory: the names of one folder for each level on the way to the current log.
Plan:  a folder's names become keys (parts of ids; a folder's key ends in "/"), sorted: since "/" belongs to the key,
       going down in key order is id order, and ``prefix`` and ``after`` cut whole folders off.
       One log is found by going straight down its id; a folder is listed only where names alone do not tell.

Ids are paths relative to the root, with ``/``. What is not safe to show (control and invisible characters, bytes that
are no text) stands in them as ``%XX``, a byte each; a ``%`` before two hex digits is ``%25``. Each log has one id.

Which files are logs, and of which one, is a Layout: ``ByName`` (Airflow's files, and every other ``*.log``),
``ByPattern``, ``EveryFile``. In all of them the files of one rotated set are one source, names with a leading dot are
no logs, and folders so named are not entered.

A symlinked folder that stays within the root is passed over: its logs are found in their own place. One that leaves
the root, and a folder that cannot be listed, is itself found as a log: its id ends in ``/``, its one source says why.
"""

# Names stay strings: a Path for each of a million of them would take longest of all.
# ruff: noqa: PTH112, PTH114, PTH118, PTH119, PTH120
# A layout is told more than each one needs.
# ruff: noqa: ARG002

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from logflume.errors import BadPattern, LogNotFound, UsageError
from logflume.sources.captured import joined
from logflume.sources.local import LocalSource, rotated_set
from logflume.sources.opening import is_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from logflume.abc import Log, Source
    from logflume.records import LogStatus

MAX_SOURCES = 4096
"""The most sources of a log of given paths: each costs its merge a block and a descriptor."""

NEAR_NAMES = 1000
"""How many names of a folder are compared with one that was not found, to name the nearest."""

_GONE = (FileNotFoundError, NotADirectoryError)
_MAX_NAME_BYTES = 255
_LOG_ENDINGS = (".log", ".log.gz", ".log.zst")
_NO_LOG_ENDINGS = (
    *(".7z", ".bz2", ".jar", ".rar", ".tar", ".tar.gz", ".tar.zst", ".tgz", ".whl", ".xz", ".zip"),
    *(".bak", ".lck", ".lock", ".pid", ".swo", ".swp", ".tmp", "~"),
    *(".bmp", ".doc", ".docx", ".gif", ".jpeg", ".jpg", ".pdf", ".png", ".xls", ".xlsx"),
    *(".class", ".db", ".o", ".parquet", ".pickle", ".pkl", ".py", ".pyc", ".so", ".sqlite"),
)
_ATTEMPT = re.compile(r"(attempt=[0-9]{1,9}\.log)(?:\..+)?", re.DOTALL)
_ROTATED_ENDINGS = (*"0123456789", ".gz", ".zst")
_ROTATED = re.compile(r"(?<=.)\.[0-9]{1,4}(?:\.gz|\.zst)?\Z", re.DOTALL)  # as in logflume.sources.rotation
_FIELD = re.compile(r"\{(\*?)([A-Za-z_][A-Za-z0-9_]*)\}")
# Control, invisible and direction-changing characters, bytes that are no text, and a % that would read as an escape.
_UNSAFE = re.compile(
    "[\\x00-\\x1f\\x7f-\\xa0\\xad\\u061c\\u200b-\\u200f\\u2028-\\u202f\\u2060-\\u206f\\ud800-\\udfff\\ufeff"
    "\\ufff9-\\ufffb\\U000e0000-\\U000e0fff]|%(?=[0-9A-Fa-f]{2})"
)
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


class Layout(Protocol):
    """Which names are logs: a part of an id for each name in a folder that is ``depth`` folders below the root.

    Holds: the part of a part is itself; that is how an id is told from a name that has another one.
    """

    def folder_part(self, depth: int, name: str) -> str | None:
        """Return the part of the ids of the logs in that folder; None when it holds none."""
        ...

    def file_part(self, depth: int, name: str) -> str | None:
        """Return the last part of the id of the log that this file is of; None when it is of none."""
        ...

    def merges_folders(self, depth: int) -> bool:
        """Tell whether several folders can have the same part."""
        ...

    def gathers(self, depth: int, part: str) -> bool:
        """Tell whether more than the rotated set of one file can be of the log of that part."""
        ...


class ByName:
    """Logs told by their names, in folders of any depth.

    ``attempt=N.log`` and every ``attempt=N.log.*`` beside it (of triggers, rotated) are one log, as Airflow 2 and 3 lay
    them out. Any other ``*.log`` (also ``.log.gz``, ``.log.zst``) with its rotated set is a log. Other files are not.
    """

    def folder_part(self, depth: int, name: str) -> str | None:
        """Enter every folder that is not hidden."""
        return None if name.startswith(".") else name

    def file_part(self, depth: int, name: str) -> str | None:
        """Return the attempt's file, or the live file of a rotated set."""
        if name.startswith("attempt=") and (attempt := _ATTEMPT.fullmatch(name)):
            return attempt[1]
        live = live_name(name)
        return live if live.endswith(_LOG_ENDINGS) and not live.startswith(".") else None

    def merges_folders(self, depth: int) -> bool:
        """Each folder is its own."""
        return False

    def gathers(self, depth: int, part: str) -> bool:
        """Only an attempt has files beside its rotated set."""
        return _ATTEMPT.fullmatch(part) is not None


class EveryFile(ByName):
    """Every file with its rotated set is a log, but hidden ones and those whose ending tells that they are none."""

    def file_part(self, depth: int, name: str) -> str | None:
        """Return the live file of a rotated set."""
        live = live_name(name)
        return None if live.startswith(".") or live.lower().endswith(_NO_LOG_ENDINGS) else live

    def gathers(self, depth: int, part: str) -> bool:
        """Each live file is its own."""
        return False


class ByPattern:
    """Logs told by a pattern of their paths, such as ``{service}/{date}/{*host}.log``.

    A field stands for text within one name: at least one character, as few as will do, no leading dot. A field with a
    star tells sources apart: files whose paths agree once those fields read ``*`` make one log, and that is its id
    (``shop/2024-11-20/*.log``). Rotated files need no mention.
    """

    def __init__(self, pattern: str) -> None:
        """Take a pattern apart.

        Raises:
            BadPattern: with where it goes wrong.
        """
        self._names: list[_NamePattern] = []
        fields: set[str] = set()
        at = 0
        for text in pattern.split("/"):
            if text in ("", ".", ".."):
                raise BadPattern(pattern, "between two / there is a name", _offset(pattern, at))
            self._names.append(_NamePattern.parse(pattern, at, text, fields))
            at += len(text) + 1

    def folder_part(self, depth: int, name: str) -> str | None:
        """Return the name with its starred fields as ``*``, when it fits."""
        return self._names[depth].part(name) if depth < len(self._names) - 1 else None

    def file_part(self, depth: int, name: str) -> str | None:
        """Return the live file's name with its starred fields as ``*``, when it fits."""
        if depth != len(self._names) - 1:
            return None
        return self._names[depth].part(live_name(name)) or self._names[depth].part(name)

    def merges_folders(self, depth: int) -> bool:
        """Folders that differ in a starred field are merged."""
        return depth < len(self._names) and self._names[depth].has_star

    def gathers(self, depth: int, part: str) -> bool:
        """Files that differ in a starred field are gathered."""
        return self._names[depth].has_star


@dataclass(frozen=True, slots=True)
class _NamePattern:
    """A pattern of one name: literals with a field between each two."""

    literals: tuple[str, ...]
    stars: tuple[bool, ...]

    @classmethod
    def parse(cls, pattern: str, at: int, text: str, fields: set[str]) -> _NamePattern:
        """Parse the part ``text`` of ``pattern`` that begins at ``at``; ``fields`` are the names used so far."""
        pieces = _FIELD.split(text)
        literals, stars, names = pieces[::3], pieces[1::3], pieces[2::3]
        for literal in literals:
            if "{" in literal or "}" in literal:
                raise BadPattern(pattern, "a field is written {name} or {*name}", _offset(pattern, at))
        if "" in literals[1:-1]:
            raise BadPattern(pattern, "between two fields there is some text", _offset(pattern, at))
        for name in names:
            if name in fields:
                raise BadPattern(pattern, f"the field {name!r} is there twice", _offset(pattern, at))
            fields.add(name)
        return cls(tuple(literals), tuple(star == "*" for star in stars))

    @property
    def has_star(self) -> bool:
        """Whether names that differ can have one part."""
        return any(self.stars)

    def part(self, name: str) -> str | None:
        """Return the name with its starred fields as ``*``; None when it does not fit. Linear in the name."""
        first, *others = self.literals
        if not others:
            return name if name == first else None
        if not name.startswith(first) or not name.endswith(others[-1]) or (not first and name.startswith(".")):
            return None
        pieces, at = [first], len(first)
        for n, (star, literal) in enumerate(zip(self.stars, others, strict=True), 1):
            end = len(name) - len(literal) if n == len(others) else name.find(literal, at + 1)
            if end <= at:
                return None
            pieces += ["*" if star else name[at:end], literal]
            at = end + len(literal)
        return "".join(pieces)


class FolderCatalog:
    """The logs under one folder. Making it opens nothing; threads may share it, for it keeps only its arguments.

    What is missing of its logs is told with paths from that folder on.
    """

    def __init__(self, root: str | os.PathLike[str], *, layout: Layout | None = None) -> None:
        """Catalog ``root``, which may itself be a symlink; the layout is ``ByName()`` unless another is given."""
        self._root = os.path.realpath(root)
        self._layout = layout or ByName()

    def iter_logs(self, prefix: str = "", after: str = "") -> Iterator[Log]:
        """Yield logs whose id starts with ``prefix``, in id order, those after id ``after`` only.

        Raises:
            UsageError: the root itself cannot be listed.

        Order:  by id, as strings compare.
        Loss:   none: a folder that cannot be listed is yielded as a log that says so.
        Memory: the names of one folder for each level on the way to the current log; nothing is open between two logs.
        """
        wanted = _Range(prefix, after)
        place, _ = self._descend(prefix)
        stack = [(place, self._sorted_keys(place, wanted))]
        while stack:
            place, keys = stack[-1]
            key = keys.pop() if keys else None
            if key is None:
                stack.pop()
            elif keys and keys[-1] == key:  # another file of the same log
                continue
            elif key.endswith("/"):
                deeper = self._enter(place, key[:-1])
                stack.append((deeper, self._sorted_keys(deeper, wanted)))
            else:
                yield _FoundLog(place.id + key, self._sources)

    def find(self, log_id: str) -> Log:
        """Return one log, going straight to its folder.

        Raises:
            LogNotFound: with the nearest names; also for every id that would leave the root.
            UsageError: the root itself cannot be listed.
        """
        place, rest = self._descend(log_id)
        if len(rest) > 1 or not self._has(place, rest[0]):
            raise LogNotFound(log_id, self._near(place, rest[0]))
        return _FoundLog(log_id, self._sources)

    def files_of(self, log_id: str) -> tuple[str, list[str]]:
        """Return the folder in which all of a found log lies, and the live file of each of its sources, sorted.

        Never empty, so that a log that is gone says so when it is opened. A folder in it is one that cannot be listed.
        """
        place, rest = self._descend(log_id)
        if rest == [""]:
            return place.common, list(place.folders)
        parts = [_part_of(key) or key for key in rest]
        found = [path for folder in place.folders for path in self._files_in(place, folder, parts)]
        return place.common, sorted(set(found)) or [os.path.join(place.common, *parts)]

    def _files_in(self, place: _Place, folder: str, parts: list[str]) -> Iterator[str]:
        """Yield the live files of a log in one folder; the folder itself when it cannot be listed."""
        if len(parts) > 1:  # the log's own folder is gone
            return
        if len(place.folders) == 1 and not self._layout.gathers(place.depth, parts[0]):
            yield os.path.join(folder, parts[0])
            return
        try:
            for name, is_folder in self._iter_names(folder):
                if not is_folder and self._layout.file_part(place.depth, name) == parts[0]:
                    live = live_name(name)
                    is_rotated = self._layout.file_part(place.depth, live) == parts[0]
                    yield os.path.join(folder, live if is_rotated else name)
        except _GONE:
            return
        except OSError:
            yield folder

    def _sources(self, log_id: str) -> list[LocalSource]:
        common, paths = self.files_of(log_id)
        root = self._root
        return [LocalSource(path, root=root, name=_name_within(common, path), told_from=root) for path in paths]

    def _descend(self, log_id: str) -> tuple[_Place, list[str]]:
        """Go down as far as the folders of an id exist; return the last, and the keys that are left (at least one)."""
        place = _Place("", 0, self._root, (self._root,))
        keys = log_id.split("/")
        while len(keys) > 1 and (deeper := self._enter(place, keys[0])).folders:
            place = deeper
            del keys[0]
        return place, keys

    def _enter(self, place: _Place, key: str) -> _Place:
        """Return the place one level down; it has no folders when there is none of that name, or none of the layout."""
        part = _part_of(key)
        folders: list[str] = []
        common = place.common
        if part is not None and self._layout.folder_part(place.depth, part) == part:
            if self._layout.merges_folders(place.depth):
                folders = sorted(self._iter_folders(place, part))
            else:
                folders = [os.path.join(above, part) for above in place.folders if self._is_folder(above, part)]
                common = os.path.join(common, part) if place.folders == (common,) else common
        return _Place(f"{place.id}{key}/", place.depth + 1, common, tuple(folders))

    def _iter_folders(self, place: _Place, part: str) -> Iterator[str]:
        """Yield the folders of a place whose starred names make ``part``."""
        for folder in place.folders:
            try:
                for name, is_folder in self._iter_names(folder):
                    if is_folder and self._layout.folder_part(place.depth, name) == part:
                        yield os.path.join(folder, name)
            except OSError:
                yield folder  # it may have some, and cannot be listed further down either

    def _sorted_keys(self, place: _Place, wanted: _Range) -> list[str]:
        """List a place: keys of files and folders that may lead to wanted logs, in falling order; "" when it cannot."""
        keys: list[str] = []
        failed: list[OSError] = []
        for folder in place.folders:
            try:
                keys.extend(key for key in self._iter_keys(place.depth, folder) if wanted.reaches(place.id + key))
            except OSError as error:
                failed.append(error)
        if not place.id and failed:
            raise self._unlistable(failed[0]) from failed[0]
        if failed and not keys and wanted.has(place.id) and not isinstance(failed[0], _GONE):
            return [""]
        keys.sort(reverse=True)
        return keys

    def _iter_keys(self, depth: int, folder: str, max_names: int | None = None) -> Iterator[str]:
        """Yield the key of every name in a folder that belongs to a log, in no order, some more than once."""
        for name, is_folder in itertools.islice(self._iter_names(folder), max_names):
            part = self._layout.folder_part(depth, name) if is_folder else self._layout.file_part(depth, name)
            if part is not None:
                yield f"{_shown(part)}/" if is_folder else _shown(part)

    def _has(self, place: _Place, key: str) -> bool:
        """Tell whether a place holds the log of that key."""
        part = _part_of(key)
        if not key:
            return bool(place.id) and self._sorted_keys(place, _Range(place.id)) == [""]
        if part is None or self._layout.file_part(place.depth, part) != part:
            return False
        if len(place.folders) == 1 and self._is_file(place.folders[0], part):
            return True
        if len(place.folders) == 1 and not self._layout.gathers(place.depth, part):
            folder = place.folders[0]
            return any(self._is_file(folder, path.name) for path in rotated_set(os.path.join(folder, part)))
        with contextlib.suppress(OSError):
            return any(found == key for folder in place.folders for found in self._iter_keys(place.depth, folder))
        return False

    def _near(self, place: _Place, key: str) -> list[str]:
        """Name what is most like a key in the first folder of a place, looking at no more than NEAR_NAMES names."""
        try:
            names = set(self._iter_keys(place.depth, place.folders[0], NEAR_NAMES))
        except OSError as error:
            if not place.id:
                raise self._unlistable(error) from error
            return []
        import difflib

        return [place.id + near for near in difflib.get_close_matches(key[:_MAX_NAME_BYTES], names, n=5)]

    def _unlistable(self, error: OSError) -> UsageError:
        return UsageError(f"the folder {os.path.basename(self._root)!r} cannot be listed: {error.strerror}")

    def _iter_names(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the names in a folder, and whether each is a folder; without symlinked folders that stay in the root.

        Raises:
            OSError: it cannot be listed, or is a symlink (which leaves the root, or it would not be in a place).
        """
        if os.path.islink(folder):
            raise OSError(errno.ELOOP, "a symlink that leaves the root")
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name, True
                elif not entry.is_symlink() or not os.path.isdir(entry.path):
                    yield entry.name, False
                elif not is_inside(entry.path, self._root):
                    yield entry.name, True

    def _is_folder(self, above: str, name: str) -> bool:
        """Tell whether a name in a folder is one that ``_iter_names`` calls a folder, or may be for all we can see."""
        path = os.path.join(above, name)
        if os.path.islink(above):
            return False
        try:
            mode = os.lstat(path).st_mode
        except _GONE:
            return False
        except OSError:
            return True
        if stat.S_ISLNK(mode):
            return os.path.isdir(path) and not is_inside(path, self._root)
        return stat.S_ISDIR(mode)

    def _is_file(self, above: str, name: str) -> bool:
        """Tell whether a name in a folder is one that ``_iter_names`` calls no folder."""
        path = os.path.join(above, name)
        return not os.path.islink(above) and os.path.lexists(path) and not os.path.isdir(path)


@dataclass(frozen=True, slots=True)
class _FoundLog:
    """A log of a catalog; see ``logflume.abc.Log``."""

    id: str
    _find_sources: Callable[[str], list[LocalSource]]

    def sources(self) -> list[Source]:
        """Return the sources as they are now."""
        return list(self._find_sources(self.id))

    def peek_status(self) -> LogStatus:
        """Say how whoever writes it stands."""
        return joined(source.peek_status() for source in self._find_sources(self.id))


@dataclass(frozen=True, slots=True)
class _Place:
    """The folders whose logs' ids begin with ``id``: one, but below a starred field.

    Attributes:
        id: "" or ending in "/".
        depth: how many folders below the root.
        common: the deepest folder that holds them all whatever a star stands for.
        folders: their paths; one of them may be a symlink that leaves the root, which is never looked into.
    """

    id: str
    depth: int
    common: str
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Range:
    """Which ids are wanted."""

    prefix: str
    after: str = ""

    def has(self, log_id: str) -> bool:
        """Tell whether a log is wanted."""
        return log_id.startswith(self.prefix) and log_id > self.after

    def reaches(self, found: str) -> bool:
        """Tell whether a log, or one in a folder, can be wanted."""
        if not found.endswith("/"):
            return self.has(found)
        begins = found.startswith(self.prefix) or self.prefix.startswith(found)
        return begins and (found > self.after or self.after.startswith(found))


def log_of_paths(paths: Iterable[str | os.PathLike[str]]) -> Log:
    """Return files and folders as one log; what can be read of them is found out when its sources are asked for.

    A file is one source with its rotated set. A rotated file (``x.log.1``) is just itself, and nothing of its own when
    its ``x.log`` is given too. ``attempt=N.log`` brings the other files of that attempt. A folder is every file in it
    and below, as ``EveryFile`` tells them. The same file given twice is one source. What is missing or cannot be read
    is a source that says so when it is opened.

    ``sources()`` is empty while there is no file in the folders; it raises UsageError beyond MAX_SOURCES.

    Raises:
        UsageError: no path at all, or one that no system can have.

    Order:  as given; within a folder by path.
    Loss:   none; what cannot be read is a Gap. Symlinks that leave a folder are not followed, and say so.
    Memory: MAX_SOURCES paths, and the names of one folder for each level below a given one.
    """
    given = [_absolute(os.fspath(path)) for path in paths]
    if not given:
        raise UsageError("name at least one file or folder to read")
    return _FoundLog(_id_of(given), lambda _: _sources_of(given))


@dataclass(frozen=True, slots=True)
class _Given:
    """A file that was given, or that lies in a given folder ``root``."""

    path: str
    root: str | None = None

    @property
    def key(self) -> str:
        """What is the same for two names of a file; a link that is not followed is another file than it leads to."""
        follows = self.root is None or is_inside(self.path, self.root)
        return os.path.realpath(self.path) if follows else self.path


def _sources_of(given: list[str]) -> list[LocalSource]:
    # Of what was given, not of what is found, so that a source keeps its name when others come.
    common = os.path.commonpath([path if os.path.isdir(path) else os.path.dirname(path) for path in given])
    found: dict[str, _Given] = {}
    for file in itertools.chain.from_iterable(map(_iter_given, given)):
        found.setdefault(file.key, file)
        if len(found) > MAX_SOURCES:
            raise UsageError(f"more than {MAX_SOURCES} files for one log: name a folder further down, or fewer files")
    files = [file for key, file in found.items() if live_name(key) == key or live_name(key) not in found]
    return [LocalSource(at.path, root=at.root, name=_name_within(common, at.path)) for at in files]


def _iter_given(path: str) -> Iterator[_Given]:
    if os.path.isdir(path):
        yield from _iter_folder(os.path.realpath(path))
        return
    yield _Given(path)
    folder, name = os.path.split(path)
    if ByName().file_part(0, name) == name and ByName().gathers(0, name):
        _, files = FolderCatalog(folder).files_of(_shown(name))
        yield from (_Given(file) for file in files if file != path)


def _iter_folder(root: str) -> Iterator[_Given]:
    catalog = FolderCatalog(root, layout=EveryFile())
    try:
        for log in catalog.iter_logs():
            yield from (_Given(path, root) for path in catalog.files_of(log.id)[1])
    except UsageError:  # it cannot be listed, and as a source says why
        yield _Given(root)


def _absolute(path: str) -> str:
    """Return a path whose folders are real, so that no ".." or symlink is left but in the last name."""
    if "\0" in path:
        raise UsageError(f"no path has a NUL character: {path!r}")
    folder, name = os.path.split(path)
    return os.path.realpath(path) if name in ("", ".", "..") else os.path.join(os.path.realpath(folder), name)


def _id_of(given: list[str]) -> str:
    """One path is its own id; several are their common folder and a digest."""
    if len(given) == 1:
        return _shown(given[0])
    import hashlib

    digest = hashlib.blake2b("\0".join(map(_shown, given)).encode(), digest_size=8).hexdigest()
    return f"{_shown(os.path.commonpath(given))}#{digest}"


def live_name(name: str) -> str:
    """Return the name of the live file whose rotated set a file is of; its own when it is live."""
    if not name.endswith(_ROTATED_ENDINGS):  # as a million files are not
        return name
    live = _ROTATED.sub("", name)
    return name if _ROTATED.search(live) else live


def _name_within(folder: str, path: str) -> str:
    """Return the short name of a source; that of the folder itself is its own."""
    return _shown(os.path.basename(path) if path == folder else os.path.relpath(path, folder))


def _shown(name: str) -> str:
    """Escape what is not safe to show; ``_part_of`` gives it back."""
    if name.isascii() and name.isprintable() and "%" not in name:
        return name
    return _UNSAFE.sub(lambda unsafe: "".join(f"%{byte:02X}" for byte in os.fsencode(unsafe[0])), name)


def _part_of(key: str) -> str | None:
    """Return the name that ``_shown`` made ``key`` of; None when no name in a folder is shown so."""
    try:
        name = os.fsdecode(_ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), os.fsencode(key)))
    except UnicodeEncodeError:
        return None
    is_name = name not in ("", ".", "..") and "/" not in name and "\0" not in name
    return name if is_name and _shown(name) == key and len(os.fsencode(name)) <= _MAX_NAME_BYTES else None


def _offset(pattern: str, at: int) -> int:
    return len(pattern[:at].encode())
