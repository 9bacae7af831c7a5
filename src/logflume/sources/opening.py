"""Open a file without ever waiting, and never outside of a root; say in full why it cannot be.

Invariant: the descriptor that leaves this module is of a regular file and, where a root is given, of one that
really lies below it, whatever is renamed or linked at the same time.

Plan:  look first, so that a device is not even opened; open without blocking; look again at what was opened.
With a root: find the real path, refuse it unless it is below the root's real path, then walk down to it from
the root's own descriptor, through no symbolic link at all. Whoever puts a link into the way meanwhile makes the
walk fail; nothing has to be compared afterwards.

Descriptors: at most two for a moment, one of which is returned.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from logflume.errors import SourceFailed
from logflume.records import Gap, GapReason

_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
# O_PATH: a folder that may be walked through but not listed is walked through.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW

_REASONS = {
    errno.ENOENT: GapReason.NOT_FOUND,
    errno.ENOTDIR: GapReason.NOT_FOUND,
    errno.EACCES: GapReason.PERMISSION_DENIED,
    errno.EPERM: GapReason.PERMISSION_DENIED,
    errno.EMFILE: GapReason.NO_DESCRIPTORS,
    errno.ENFILE: GapReason.NO_DESCRIPTORS,
    errno.ENXIO: GapReason.SPECIAL_FILE,  # what opening a socket gives
}

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


class NotRegularError(OSError):
    """Something that is no regular file; the argument says what it is."""


class OutsideRootError(OSError):
    """A path that leaves the root."""


def open_regular(path: str, root: str | None) -> int:
    """Return a descriptor of the regular file at ``path``, to read.

    Raises:
        OSError: why not; ``gap_of`` explains it.
    """
    if root is None:
        return _open_leaf(path, None)
    folder_fd, leaf = _walk(path, root)
    try:
        return _open_leaf(leaf, folder_fd)
    finally:
        os.close(folder_fd)


def is_inside(path: str, root: str) -> bool:
    """Tell whether the real path of ``path`` is that of ``root``, or below it."""
    return _relative(path, root) is not None


def gap_of(error: OSError, source: str, path: str, offset: int | None = None, name: str | None = None) -> Gap:
    """Explain why ``path``, of which this ``name`` is told, cannot be read."""
    if isinstance(error, NotRegularError):
        reason = GapReason.SPECIAL_FILE
    elif isinstance(error, OutsideRootError):
        reason = GapReason.OUTSIDE_ROOT
    else:
        reason = _REASONS.get(error.errno or 0, GapReason.UNREADABLE)
    detail, next_action = _words(reason, error, path, shown(path) if name is None else name)
    return Gap(source, reason, detail, next_action, offset=offset)


def shown(path: str) -> str:
    """Return a path as text that is safe to print: anybody may have named a file."""
    return path if path.isprintable() else ascii(path)[1:-1]


def failed(error: OSError, source: str, path: str, offset: int | None = None, name: str | None = None) -> SourceFailed:
    """Return the exception that says so."""
    return SourceFailed(gap_of(error, source, path, offset, name))


def _open_leaf(name: str, folder_fd: int | None) -> int:
    follow = folder_fd is None
    _require_regular(os.stat(name, dir_fd=folder_fd, follow_symlinks=follow))
    descriptor = os.open(name, _FILE | (0 if follow else os.O_NOFOLLOW), dir_fd=folder_fd)
    try:
        _require_regular(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISLNK(status.st_mode):  # put there after the real path was found
        raise OutsideRootError
    raise NotRegularError(next((kind for test, kind in _KINDS if test(status.st_mode)), "a special file"))


def _walk(path: str, root: str) -> tuple[int, str]:
    """Return a descriptor of the real folder of ``path``, reached from ``root`` through no link, and the last name."""
    relative = _relative(path, root)
    if relative is None:
        raise OutsideRootError
    folder, leaf = os.path.split(relative)
    at = os.open(os.path.realpath(root), _FOLDER)
    try:
        for step in Path(folder).parts:
            inner = os.open(step, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
    except OSError:
        os.close(at)
        raise
    return at, leaf


def _relative(path: str, root: str) -> str | None:
    """Return the real path relative to the root's; None when it leads elsewhere."""
    below = _below(path, root)
    if below is not None:
        return below
    real, real_root = os.path.realpath(path), os.path.realpath(root)
    if real == real_root:
        return os.curdir
    prefix = real_root if real_root.endswith(os.sep) else real_root + os.sep
    return real[len(prefix) :] if real.startswith(prefix) else None


def _below(path: str, root: str) -> str | None:
    """Return the same where it can be told without finding real paths: no link comes after the root's own text."""
    if path == root:
        return os.curdir
    prefix = root if root.endswith(os.sep) else root + os.sep
    below = path[len(prefix) :]
    parts = below.split(os.sep)  # noqa: PTH206 - as they are, `..` too
    if not path.startswith(prefix) or not {"", os.curdir, os.pardir}.isdisjoint(parts):
        return None
    at = prefix
    for part in parts:
        at += part
        try:
            if stat.S_ISLNK(os.lstat(at).st_mode):
                return None
        except OSError:
            return None
        at += os.sep
    return below


def _words(reason: GapReason, error: OSError, path: str, name: str) -> tuple[str, str]:
    if reason is GapReason.NOT_FOUND:
        return f"There is no file {name}.", "Check the path, and whether the file was rotated away or cleaned up."
    if reason is GapReason.PERMISSION_DENIED:
        user = os.geteuid()
        return (
            f"User id {user} may not read {name} ({_mode(path)}).",
            f"Let user id {user} read the file and enter its folders, by a common group or an access list.",
        )
    if reason is GapReason.NO_DESCRIPTORS:
        whose = "The process" if error.errno == errno.EMFILE else "The system"
        return (
            f"{whose} has no descriptor left to open {name}.",
            "Raise the limit (ulimit -n, or LimitNOFILE of the service), or read fewer logs at once.",
        )
    if reason is GapReason.SPECIAL_FILE:
        return f"{name} is {error.args[0] if error.errno is None else 'a socket'}.", "Name a regular file."
    if reason is GapReason.OUTSIDE_ROOT:
        return (
            f"{name} leads to no file inside of the folder that may be read.",
            "Remove the symbolic link, or copy the file.",
        )
    return f"Reading {name} failed: {error.strerror or error}.", "Check the disk or the network mount, then try again."


def _mode(path: str) -> str:
    try:
        status = Path(path).stat()
    except OSError:
        return "a folder above it may not be entered"
    return f"mode {stat.S_IMODE(status.st_mode):04o}, owned by user id {status.st_uid}, group id {status.st_gid}"
