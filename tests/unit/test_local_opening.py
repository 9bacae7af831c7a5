"""What cannot be opened says why, is never waited for, and never lies outside of the root."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from logflume.errors import SourceFailed
from logflume.records import Gap, GapReason
from logflume.sources.local import LocalSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from logflume.abc import Reader


def drain(reader: Reader) -> bytes:
    """Read all there is now."""
    return b"".join(iter(reader.read_block, b""))


def read(source: LocalSource) -> bytes:
    """Open, read all there is, close."""
    with source.open() as reader:
        return drain(reader)


def failure(source: LocalSource) -> Gap:
    """Return why a source cannot be opened, after seeing that nothing was left open."""
    before = descriptors()
    with pytest.raises(SourceFailed) as caught:
        source.open()
    assert descriptors() == before
    assert caught.value.gap.source == source.name
    assert caught.value.gap.next_action
    return caught.value.gap


def descriptors() -> list[str]:
    """Name the open descriptors of this process."""
    return sorted(descriptor.name for descriptor in Path("/proc/self/fd").iterdir())


# what is no file


def make_folder(path: Path) -> None:
    """Put a folder there."""
    path.mkdir()


def make_pipe(path: Path) -> None:
    """Put a named pipe there."""
    os.mkfifo(path)


def make_link_to_device(path: Path) -> None:
    """Put a link to an endless device there."""
    path.symlink_to("/dev/zero")


def make_socket(path: Path) -> None:
    """Put a socket there, by a path short enough for one."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")
        Path(folder, "s").rename(path)


@pytest.mark.parametrize("make", [make_folder, make_pipe, make_link_to_device, make_socket])
@pytest.mark.parametrize("with_root", [False, True])
def test_special_files(tmp_path: Path, make: Callable[[Path], None], with_root: bool) -> None:
    """Folders, pipes, devices and sockets are refused at once, and said to be what they are."""
    path = tmp_path / "x.log"
    make(path)
    gap = failure(LocalSource(path, root="/" if with_root else None))
    assert gap.reason is GapReason.SPECIAL_FILE
    assert LocalSource(path).peek_size() is None
    assert LocalSource(path).peek_identity() is None


def test_pipe_is_not_even_opened(tmp_path: Path) -> None:
    """A program that waits for a reader of its pipe goes on waiting: opening would have let it in."""
    path = tmp_path / "x.log"
    os.mkfifo(path)
    failure(LocalSource(path))
    with pytest.raises(OSError, match="No such device or address") as caught:
        os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    assert caught.value.errno == errno.ENXIO


def test_pipe_put_in_place_of_a_file_that_was_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is opened is looked at once more, and opening does not wait."""
    path = tmp_path / "x.log"
    path.write_bytes(b"x")
    system_open = os.open

    def put_pipe(name: str, flags: int, *, dir_fd: int | None = None) -> int:
        path.unlink()
        os.mkfifo(path)
        return system_open(name, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", put_pipe)
    assert failure(LocalSource(path)).reason is GapReason.SPECIAL_FILE


# what is not there, or not for us


def test_missing(tmp_path: Path) -> None:
    """A missing file, folder, or a file in place of a folder: there is no such file."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "none" / "x.log", tmp_path / "file" / "x.log"):
        assert failure(LocalSource(path)).reason is GapReason.NOT_FOUND
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "none")
    assert failure(LocalSource(dangling)).reason is GapReason.NOT_FOUND


def test_names_that_no_system_takes(tmp_path: Path) -> None:
    """A name that is too long, or leads round in a circle, is an answer, not a crash."""
    assert failure(LocalSource(tmp_path / ("x" * 300))).reason is GapReason.UNREADABLE
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    assert failure(LocalSource(circle)).reason is GapReason.UNREADABLE
    assert failure(LocalSource(circle, root=tmp_path)).reason is GapReason.OUTSIDE_ROOT  # it never leads inside


AS_NOBODY = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
from logflume.errors import SourceFailed
from logflume.sources.local import LocalSource
for path in sys.argv[1:]:
    try:
        with LocalSource(path).open() as reader:
            print("read", b"".join(iter(reader.read_block, b"")), [gap.reason.value for gap in reader.gaps], sep="|")
    except SourceFailed as failed:
        print(failed.gap.reason.value, failed.gap.detail, failed.gap.next_action, sep="|")
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_nobody(*paths: Path) -> list[list[str]]:
    """Read paths as the user nobody, in a process of its own, and return what it printed."""
    if os.geteuid() != 0:  # then we are somebody already whom a mode of 0 keeps out
        program = AS_NOBODY.replace("os.setgroups([]); os.setgid(65534); os.setuid(65534)", "")
    else:
        program = "import logflume.sources.local\n" + AS_NOBODY  # while we may still read our own code
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return [line.split("|") for line in run.stdout.splitlines()]


def test_permission_denied(open_folder: Path) -> None:
    """The answer names who was refused and the mode of the file, and what to do; a set goes on without that file."""
    path = open_folder / "x.log"
    path.write_bytes(b"secret\n")
    path.chmod(0)
    hidden = open_folder / "hidden"
    hidden.mkdir()
    (hidden / "y.log").write_bytes(b"secret\n")
    hidden.chmod(0)
    (open_folder / "z.log").write_bytes(b"new\n")
    (open_folder / "z.log.1").write_bytes(b"secret\n")
    (open_folder / "z.log.1").chmod(0)
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    try:
        file, folder, of_set = as_nobody(path, hidden / "y.log", open_folder / "z.log")
    finally:
        hidden.chmod(0o700)
    assert file[0] == folder[0] == "permission-denied"
    assert str(user) in file[1]
    assert "mode 0000" in file[1]
    assert str(user) in file[2]
    assert "folder" in folder[1]
    assert of_set == ["read", "b'new\\n'", "['permission-denied']"]


def test_newest_file_that_may_not_be_read(open_folder: Path) -> None:
    """When all older ones were read, a newest file that may not be read fails the source."""
    path = open_folder / "x.log"
    path.write_bytes(b"secret\n")
    path.chmod(0)
    path.with_name("x.log.1").write_bytes(b"old\n")
    assert [answer[0] for answer in as_nobody(path)] == ["permission-denied"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EIO, GapReason.UNREADABLE),
        (errno.ESTALE, GapReason.UNREADABLE),
        (errno.ENFILE, GapReason.NO_DESCRIPTORS),
        (errno.EPERM, GapReason.PERMISSION_DENIED),
    ],
)
def test_what_the_system_says_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: GapReason
) -> None:
    """Each error of the system has its reason, at opening and while reading, and stays one when asked again."""
    path = tmp_path / "x.log"
    path.write_bytes(b"some bytes\n")

    def fail(*_args: object, **_options: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        assert failure(LocalSource(path)).reason is reason
    with LocalSource(path).open() as reader:
        assert reader.read_block(4) == b"some"
        monkeypatch.setattr(os, "pread", fail)
        for _ in range(2):
            with pytest.raises(SourceFailed) as caught:
                reader.read_block()
            assert (caught.value.gap.reason, caught.value.gap.offset) == (reason, 4)


def test_no_descriptor_left(tmp_path: Path) -> None:
    """At the limit, opening and going on to the next file fail with a hint at the limit, and nothing is lost to it."""
    path = tmp_path / "x.log"
    path.write_bytes(b"new\n")
    path.with_name("x.log.1").write_bytes(b"old\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    with LocalSource(path).open() as reader:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, descriptors())) + 1, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.open("/dev/null", os.O_RDONLY))
            with pytest.raises(SourceFailed) as at_open:
                LocalSource(path).open()
            assert reader.read_block() == b"old\n"
            with pytest.raises(SourceFailed) as at_next:
                reader.read_block()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in held:
                os.close(descriptor)
        assert at_open.value.gap.reason is at_next.value.gap.reason is GapReason.NO_DESCRIPTORS
        assert "ulimit -n" in at_open.value.gap.next_action
        position = reader.position(4)
    with LocalSource(path).open(position) as reader:
        assert drain(reader) == b"new\n"


def test_many_readers_under_a_common_limit(tmp_path: Path) -> None:
    """A thousand readers need a thousand descriptors and two more."""
    (tmp_path / "x.log").write_bytes(b"line\n")
    source = LocalSource(tmp_path / "x.log", root=tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, descriptors()))
    readers = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + 1002, hard))
    try:
        readers = [source.open() for _ in range(1000)]
        assert all(reader.read_block() == b"line\n" for reader in readers)
        assert all(reader.read_block() == b"" for reader in readers)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for reader in readers:
            reader.close()


def test_file_that_is_replaced_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening gives up on a file that is another one each time it looks."""
    path = tmp_path / "x.log"
    path.write_bytes(b"x")
    system_open = os.open

    def replace_first(name: str, flags: int, *, dir_fd: int | None = None) -> int:
        other = tmp_path / "other"
        other.write_bytes(b"y")
        other.replace(path)
        return system_open(name, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", replace_first)
    assert failure(LocalSource(path)).reason is GapReason.UNREADABLE


# the root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a root with a secret beside it."""
    (tmp_path / "secret.log").write_bytes(b"secret\n")
    (tmp_path / "root-of-others").mkdir()
    (tmp_path / "root-of-others" / "secret.log").write_bytes(b"secret\n")
    (tmp_path / "root" / "dag" / "run").mkdir(parents=True)
    return tmp_path / "root"


def test_files_and_links_inside_of_the_root(root: Path) -> None:
    """A file below the root is read, by its name or by links of files and folders that stay inside."""
    file = root / "dag" / "run" / "x.log"
    file.write_bytes(b"line\n")
    (root / "file-link").symlink_to(file)
    (root / "folder-link").symlink_to("dag")
    (root.parent / "root-link").symlink_to(root)
    for path in (
        file,
        root / "file-link",
        root / "folder-link" / "run" / "x.log",
        root / "dag" / ".." / "dag/run/x.log",
    ):
        assert read(LocalSource(path, root=root)) == b"line\n"
    assert read(LocalSource(root.parent / "root-link" / "file-link", root=root)) == b"line\n"
    assert read(LocalSource(file, root=root.parent / "root-link")) == b"line\n"
    assert read(LocalSource(file, root="/")) == b"line\n"


@pytest.mark.parametrize(
    "target", ["../secret.log", "../root-of-others/secret.log", "../none", "/etc/passwd", "/dev/zero", "file-link-2"]
)
def test_links_that_leave_the_root(root: Path, target: str) -> None:
    """A link out of the root is refused, whether there is something or not, and nothing is told of what is there."""
    (root / "x.log").symlink_to(target)
    (root / "file-link-2").symlink_to("../secret.log")
    source = LocalSource(root / "x.log", root=root)
    assert failure(source).reason is GapReason.OUTSIDE_ROOT
    assert source.peek_size() is None
    assert source.peek_identity() is None


@pytest.mark.parametrize(
    "inside", ["../secret.log", "folder-link/secret.log", "folder-link/none", "dag/../../secret.log"]
)
def test_paths_that_leave_the_root(root: Path, inside: str) -> None:
    """Dots, and folders that are links out of the root, are refused too."""
    (root / "folder-link").symlink_to(root.parent)
    source = LocalSource(f"{root}/{inside}", root=root)
    assert failure(source).reason is GapReason.OUTSIDE_ROOT
    assert source.peek_size() is None
    assert source.peek_identity() is None


def test_rotated_file_that_is_a_link_out_of_the_root(root: Path) -> None:
    """Among a set, such a link is a gap of unknown size."""
    (root / "x.log").write_bytes(b"new\n")
    (root / "x.log.1").symlink_to(root.parent / "secret.log")
    with LocalSource(root / "x.log", root=root).open() as reader:
        assert drain(reader) == b"new\n"
        assert [(gap.reason, gap.lost_bytes) for gap in reader.gaps] == [(GapReason.OUTSIDE_ROOT, None)]


def test_file_that_becomes_a_link_while_it_is_followed(root: Path) -> None:
    """Rotation is followed by name, and a new link out of the root is refused then."""
    path = root / "x.log"
    path.write_bytes(b"line\n")
    with LocalSource(path, root=root).open() as reader:
        assert drain(reader) == b"line\n"
        path.unlink()
        path.symlink_to(root.parent / "secret.log")
        with pytest.raises(SourceFailed) as caught:
            reader.read_block()
        assert caught.value.gap.reason is GapReason.OUTSIDE_ROOT


@pytest.mark.parametrize("swapped", ["x.log", "run"])
def test_link_put_there_after_the_check(root: Path, monkeypatch: pytest.MonkeyPatch, swapped: str) -> None:
    """A file or folder that is swapped for a link between the check and the opening is not followed."""
    folder = root / "dag" / "run"
    (folder / "x.log").write_bytes(b"line\n")
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "x.log").write_bytes(b"secret\n")
    source = LocalSource(folder / "x.log", root=root)
    system_open = os.open
    swaps = iter([True])

    def swap_first(name: str, flags: int, *, dir_fd: int | None = None) -> int:
        if next(swaps, False):
            target = folder if swapped == "run" else folder / "x.log"
            target.rename(root / "moved")
            target.symlink_to(outside if swapped == "run" else outside / "x.log")
        return system_open(name, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swap_first)
    assert failure(source).reason in (GapReason.OUTSIDE_ROOT, GapReason.NOT_FOUND)


def test_root_itself_is_no_file(root: Path) -> None:
    """The root is inside of itself, and a folder."""
    assert failure(LocalSource(root, root=root)).reason is GapReason.SPECIAL_FILE


def test_answers_are_safe_to_print(tmp_path: Path) -> None:
    """A name made to upset a terminal or an encoder is shown escaped."""
    for name in (b"a\x1b[2J\n.log", b"\xff.log"):
        gap = failure(LocalSource(os.fsdecode(bytes(tmp_path) + b"/" + name)))
        assert gap.detail.isprintable()
        gap.detail.encode()
