"""The doctor's look at the set-up: does logflume load, and what does the system grant it?

Holds: nothing is changed but one empty file in each folder that must be writable, which has no name.
"""

from __future__ import annotations

import contextlib
import platform
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from logflume.cli.findings import Finding, note, ok, owner_and_mode, problem, this_user
from logflume.indexcache import _default_folder
from logflume.sizes import show_size

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW_FILES = 1024
FEW_WATCHES = 8192
FEW_INSTANCES = 128
INOTIFY = "/proc/sys/fs/inotify"
LITTLE_ROOM_BYTES = 1_000_000_000
NO_ROOM_BYTES = 50_000_000


def iter_setup_findings() -> Iterator[Finding]:
    """Look at everything that does not depend on a log."""
    yield ok("python", f"{platform.python_version()} at {sys.executable}, {platform.platform()}")
    yield _core()
    yield _zstd()
    yield _open_files()
    yield _inotify()
    yield from _folder("temporary files", tempfile.gettempdir(), "Set TMPDIR to a folder where it can.")
    yield from _folder(
        "index cache", _first_existing(_default_folder()), "Set XDG_CACHE_HOME to a folder where it can."
    )


def _core() -> Finding:
    try:
        from logflume import _core
    except ImportError as error:
        todo = "Install logflume again for this Python and machine: pip install --force-reinstall logflume."
        return problem("core", f"does not load: {error}", todo)
    installed = _installed_version()
    if installed is None:
        return ok("core", f"logflume {_core.__version__}, not installed but run from its sources")
    if installed != _core.__version__:
        todo = "Install logflume again: pip install --force-reinstall logflume."
        return problem("core", f"is of version {_core.__version__}, and the rest of {installed}", todo)
    return ok("core", f"logflume {installed}")


def _installed_version() -> str | None:
    from importlib import metadata

    try:
        return metadata.version("logflume")
    except metadata.PackageNotFoundError:
        return None


def _zstd() -> Finding:
    try:
        import zstandard
    except ImportError as error:
        return problem("zstd", f"does not load, so .zst files cannot be read: {error}", "pip install zstandard")
    return ok("zstd", f"zstandard {zstandard.__version__}")


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    granted = "any number" if hard == resource.RLIM_INFINITY else str(hard)
    text = f"{soft} by default, {granted} when a log has many files"
    if hard != resource.RLIM_INFINITY and hard < FEW_FILES:
        return note(
            "open files", text, "For logs of more files raise it: ulimit -Hn 65536, or LimitNOFILE of a service."
        )
    return ok("open files", text)


def _inotify() -> Finding:
    subject = "inotify"
    watches, instances = _number(f"{INOTIFY}/max_user_watches"), _number(f"{INOTIFY}/max_user_instances")
    if watches is None or instances is None:
        return note(subject, "not there: tail -f looks at files several times a second instead")
    text = f"{watches} watches, {instances} instances for each user"
    if watches < FEW_WATCHES or instances < FEW_INSTANCES:
        todo = "If tail -f is slow: sysctl fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=512."
        return note(subject, text, todo)
    return ok(subject, text)


def _number(path: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(Path(path).read_text("ascii"))
    return None


def _first_existing(folder: Path) -> str:
    """Return a folder, or the one above it in which it will be made."""
    return str(next(each for each in (folder, *folder.parents) if each.exists()))


def _folder(subject: str, folder: str, todo: str) -> Iterator[Finding]:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = f"{this_user()} cannot write in {folder} ({owner_and_mode(folder)}): {error.strerror}"
        yield problem(subject, text, todo)
        return
    free_bytes = shutil.disk_usage(folder).free
    text = f"{folder}, {show_size(free_bytes)} free"
    if free_bytes < NO_ROOM_BYTES:
        yield problem(subject, text, "Make room on that disk.")
    elif free_bytes < LITTLE_ROOM_BYTES:
        yield note(subject, text, "Make room on that disk before it is full.")
    else:
        yield ok(subject, text)
