from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from logflume import notify, watch
from logflume.errors import UsageError
from logflume.watch import Watcher, WatchMode

PATIENCE_S = 20.0
"""How long a wake-up may take on the slowest machine; it takes a fraction of a second."""

QUIET_S = 0.1
"""How long nothing happens when nothing should."""

Watch = Callable[..., Watcher]


@pytest.fixture(params=["events", "looking", "both"])
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Give ``watched(path, …)``, a watcher with each way of noticing on its own, and with both."""

    def see_nothing(path: str) -> tuple[list[object], list[str]]:
        return [], look(path)[1]

    look = watch._look
    if request.param == "events":
        monkeypatch.setattr(watch, "_look", see_nothing)
    mode = WatchMode.POLL if request.param == "looking" else WatchMode.NOTIFY
    return lambda *paths: Watcher(paths, mode=mode, poll_s=0.02)


def settle(watcher: Watcher) -> None:
    """Wait until all that was done is told of."""
    while watcher.wait(QUIET_S):
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a log, its neighbour and a folder below."""
    (tmp_path / "x.log").write_text("one\n")
    (tmp_path / "y.log").write_text("one\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "z.log").write_text("one\n")
    return tmp_path


def append(path: Path) -> None:
    """Write a line."""
    with path.open("a") as file:
        file.write("more\n")


def rotate(path: Path) -> None:
    """Put an empty file in the place of a log."""
    path.rename(path.with_name(path.name + ".1"))
    path.touch()


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait until something is so: the library's own thread ends soon after it was told to."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < give_up_s:
        time.sleep(0.01)
    return holds()


def threads() -> list[str]:
    """Return the watchers' threads that run."""
    return [thread.name for thread in threading.enumerate() if thread.name == "logflume-watch"]


def tasks() -> set[Path]:
    """Return the threads of this process, those of libraries too."""
    return set(Path("/proc/self/task").iterdir())


def descriptors() -> set[Path]:
    """Return what this process holds open."""
    return set(Path("/proc/self/fd").iterdir())


def truncate(path: Path) -> None:
    """Empty a file."""
    os.truncate(path, 0)


def replace(path: Path) -> None:
    """Put another file in the place of a log."""
    path.with_name("y.log").rename(path)


@pytest.mark.parametrize("change", [append, rotate, truncate, replace, Path.unlink])
def test_a_change_of_a_file_wakes(folder: Path, watched: Watch, change: Callable[[Path], None]) -> None:
    """Whatever happens to a watched file, the one who waits is woken, once; then it is quiet again."""
    with watched(folder / "x.log") as watcher:
        assert not watcher.wait(QUIET_S)
        change(folder / "x.log")
        assert watcher.wait(PATIENCE_S)
        settle(watcher)


def test_a_file_stays_watched_when_it_is_rotated_or_made_again(folder: Path, watched: Watch) -> None:
    """What is written to the new file of that name wakes as well."""
    path = folder / "x.log"
    with watched(path) as watcher:
        changes: list[Callable[[Path], None]] = [rotate, append, Path.unlink, Path.touch, append]
        for change in changes:
            change(path)
            assert watcher.wait(PATIENCE_S)
            settle(watcher)


def test_neighbours_do_not_wake(folder: Path, watched: Watch) -> None:
    """Another file in the same folder is not watched."""
    with watched(folder / "x.log") as watcher:
        append(folder / "y.log")
        (folder / "new.log").touch()
        assert not watcher.wait(QUIET_S)


@pytest.mark.parametrize("mode", [WatchMode.AUTO, WatchMode.POLL])
def test_a_file_that_does_not_exist_yet(tmp_path: Path, mode: WatchMode) -> None:
    """Its appearance wakes, in a folder that is there and in one that is not."""
    paths = [tmp_path / "later.log", tmp_path / "no" / "such" / "later.log"]
    with Watcher(paths, mode=mode) as watcher:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            settle(watcher)
            path.touch()
            assert watcher.wait(PATIENCE_S)


@pytest.mark.parametrize("name", ["x.log", "new.log", "below/z.log", "below/new.log", "newer"])
def test_a_change_in_a_folder_wakes(folder: Path, watched: Watch, name: str) -> None:
    """Files that grow or appear wake, also further down."""
    with watched(folder) as watcher:
        assert not watcher.wait(QUIET_S)
        append(folder / name)
        assert watcher.wait(PATIENCE_S)


@pytest.mark.parametrize("mode", [WatchMode.AUTO, WatchMode.POLL])
def test_a_change_in_a_new_folder_wakes(folder: Path, mode: WatchMode) -> None:
    """So do files in folders that were not there when watching began."""
    path = folder / "newer" / "folder" / "x.log"
    with Watcher([folder], mode=mode, poll_s=0.02) as watcher:
        path.parent.mkdir(parents=True)
        path.touch()
        settle(watcher)
        append(path)
        assert watcher.wait(PATIENCE_S)


def test_a_symlinked_file_wakes_by_what_it_leads_to(folder: Path, watched: Watch) -> None:
    """As a container's log is a link to the file that is written."""
    (folder / "link.log").symlink_to("below/z.log")
    with watched(folder / "link.log") as watcher:
        append(folder / "below" / "z.log")
        assert watcher.wait(PATIENCE_S)


def test_relative_paths_stay_what_they_were(folder: Path, watched: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changing the working folder does not change what is watched."""
    monkeypatch.chdir(folder)
    with watched("x.log") as watcher:
        monkeypatch.chdir("/")
        append(folder / "x.log")
        assert watcher.wait(PATIENCE_S)


def test_a_change_between_two_waits_is_kept(folder: Path, watched: Watch) -> None:
    """What happens while nobody waits wakes the next who does."""
    with watched(folder / "x.log") as watcher:
        append(folder / "x.log")
        time.sleep(QUIET_S)
        assert watcher.wait(0)


def test_a_change_since_the_watcher_was_made_is_seen(folder: Path, watched: Watch) -> None:
    """There is no moment between making a watcher and its watching."""
    for _ in range(10):
        with watched(folder / "x.log") as watcher:
            append(folder / "x.log")
            assert watcher.wait(PATIENCE_S)


def test_wake_from_another_thread(folder: Path, watched: Watch) -> None:
    """It ends a wait at once, or the next one, and only one."""
    with watched(folder) as watcher:
        threading.Timer(0.05, watcher.wake).start()
        assert watcher.wait(PATIENCE_S)
        watcher.wake()
        assert watcher.wait(0)
        assert not watcher.wait(0)


def test_close_from_another_thread(folder: Path, watched: Watch) -> None:
    """It ends a wait with False, and every later one; closing twice is fine."""
    watcher = watched(folder)
    threading.Timer(0.05, watcher.close).start()
    assert not watcher.wait(PATIENCE_S)
    watcher.close()
    watcher.wake()
    assert not watcher.wait(PATIENCE_S)


def test_closing_releases_everything(folder: Path, watched: Watch) -> None:
    """After close its thread has ended, and no descriptor or thread of the library's is left."""
    others = tasks()  # other libraries have threads of their own, for as long as the process runs
    watched(folder).close()
    assert eventually(lambda: tasks() <= others)
    before = descriptors()
    with watched(folder):
        assert threads() == ["logflume-watch"]
    assert threads() == []
    assert eventually(lambda: descriptors() <= before and tasks() <= others)  # what others held may have gone, too


def test_events_are_taken_where_they_can_be_had(folder: Path) -> None:
    """AUTO takes events; it polls where there is no folder to have them of."""
    with Watcher([folder, folder / "no" / "x.log"]) as watcher:
        assert watcher.mode is WatchMode.NOTIFY
    with Watcher([folder / "no" / "x.log"]) as watcher:
        assert watcher.mode is WatchMode.POLL
    with pytest.raises(UsageError, match=r"WatchMode\.AUTO"):
        Watcher([folder / "no" / "x.log"], mode=WatchMode.NOTIFY)


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """A file whose name is no UTF-8 is watched as any other, by itself or in its folder."""
    path = tmp_path / os.fsdecode(b"\xff.log")
    with Watcher([tmp_path], mode=WatchMode.NOTIFY) as watcher:
        path.touch()
        assert watcher.wait(PATIENCE_S)
    with Watcher([path], mode=WatchMode.NOTIFY) as watcher:
        append(path)
        assert watcher.wait(PATIENCE_S)


def test_more_paths_while_it_watches(watched: Watch, folder: Path) -> None:
    """A path that is added later wakes as one from the beginning does; the same twice, or after the end, is fine."""
    with watched() as watcher:
        watcher.watch([str(folder / "x.log")])
        watcher.watch([str(folder / "x.log"), str(folder / "no" / "such.log")])
        settle(watcher)
        append(folder / "x.log")
        assert watcher.wait(PATIENCE_S)
    watcher.watch([str(folder / "y.log")])


def test_who_is_told(folder: Path) -> None:
    """Whoever cannot wait is called in the watcher's thread."""
    told = threading.Event()
    with Watcher([folder / "x.log"], tell=told.set):
        append(folder / "x.log")
        assert told.wait(PATIENCE_S)


def test_more_events_than_the_system_keeps(folder: Path) -> None:
    """When it has dropped some, that counts as a change: one of them may have been ours."""
    events = notify.Events()
    try:
        events.add([str(folder)], [str(folder / "x.log")])
        append(folder / "y.log")
        assert not events.wait(PATIENCE_S)
        lost = struct.pack("iIII", -1, 0x4000, 0, 0)  # as inotify(7) tells it
        assert events._is_of_interest(lost)
    finally:
        events.close()


class NoEvents(notify.Events):
    """Events as on a network file system: it can be asked for, and tells nothing."""

    def add(self, folders: object, prefixes: object) -> None:
        pass


class NoWatchesLeft(notify.Events):
    """Events when the user's limit of watches is reached."""

    def add(self, folders: object, prefixes: object) -> None:
        raise OSError(28, "No space left on device")


class NoneAtAll:
    """Events of a system that has none."""

    def __init__(self) -> None:
        raise OSError("this system tells of no changes")


@pytest.mark.parametrize("events", [NoEvents, NoWatchesLeft, NoneAtAll])
def test_without_events_changes_are_seen_by_looking(
    folder: Path, monkeypatch: pytest.MonkeyPatch, events: type[object]
) -> None:
    """Where events are promised and do not come, or cannot be had, a change wakes all the same."""
    monkeypatch.setattr(notify, "Events", events)
    with Watcher([folder / "x.log", folder / "below"]) as watcher:
        for path in [folder / "x.log", folder / "below" / "z.log", folder / "below" / "new.log"]:
            assert not watcher.wait(QUIET_S)
            append(path)
            assert watcher.wait(PATIENCE_S)


@pytest.fixture
def large(folder: Path) -> Path:
    """Give a folder with more in it than is looked at."""
    for number in range(watch.MAX_LOOKED_AT):
        (folder / f"{number}.log").touch()
    return folder


def test_a_folder_with_too_much_to_look_at(large: Path) -> None:
    """It counts as changed again and again, so that no change in it is missed."""
    with Watcher([large], mode=WatchMode.POLL) as watcher:
        assert all(watcher.wait(PATIENCE_S) for _ in range(2))


@pytest.mark.parametrize("poll_s", [0, -1, 1.01, float("nan"), float("inf")])
def test_how_often_it_may_look(poll_s: float, folder: Path) -> None:
    """A change is never missed for longer than a second, and no processor is kept busy by a zero."""
    with pytest.raises(UsageError, match="poll_s"):
        Watcher([folder], poll_s=poll_s)
    assert threads() == []


def test_importing_it_is_cheap() -> None:
    """What asks the system for events is loaded when a watcher is made, and not by polling ones."""
    program = """
import sys
from logflume.watch import Watcher, WatchMode
Watcher(["."], mode=WatchMode.POLL).close()
assert "ctypes" not in sys.modules
Watcher(["."]).close()
assert "ctypes" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
