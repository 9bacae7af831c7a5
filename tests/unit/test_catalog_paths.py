from __future__ import annotations

import os
from pathlib import Path

import pytest

from logflume import abc, catalog
from logflume.catalog import log_of_paths
from logflume.errors import SourceFailed, UsageError
from logflume.records import GapReason


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> None:
    """Make files, each with its own name as its only line."""
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name) + b"\n")


def names(*paths: str) -> list[str]:
    """Return the names of the sources of paths."""
    return [source.name for source in log_of_paths(paths).sources()]


def read(*paths: str) -> list[str]:
    """Return all that each source of paths holds, and why it cannot be read when it cannot."""
    found = []
    for source in log_of_paths(paths).sources():
        try:
            with source.open() as reader:
                found.append(os.fsdecode(b"".join(iter(reader.read_block, b""))).replace("\n", ";"))
        except SourceFailed as error:
            found.append(error.gap.reason.value)
    return found


def test_it_is_a_log() -> None:
    """Paths make a log, and nothing is looked at before its sources are asked for."""
    log = log_of_paths(["later.log"])
    make("later.log", "later.log.1")
    assert isinstance(log, abc.Log)
    assert [source.name for source in log.sources()] == ["later.log"]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["x.log"], ["x.log.2;x.log.1;x.log;"]),
        (["x.log.1"], ["x.log.1;"]),
        (["x.log.1", "x.log.2"], ["x.log.1;", "x.log.2;"]),
        (["x.log", "x.log.1", "x.log.2"], ["x.log.2;x.log.1;x.log;"]),
        (["x.log.2", "x.log", "y.log"], ["x.log.2;x.log.1;x.log;", "y.log;"]),
        (["y.log", "x.log"], ["y.log;", "x.log.2;x.log.1;x.log;"]),
    ],
)
def test_files_with_their_rotated_sets(paths: list[str], expected: list[str]) -> None:
    """A file brings its set, in the order given; a rotated one is itself, and not read twice when its set is there."""
    make("x.log", "x.log.1", "x.log.2", "y.log")
    assert read(*paths) == expected


def test_a_file_of_which_only_rotated_ones_are_left() -> None:
    """The live name stands for its set while there is no live file, as between two steps of a rotation."""
    make("x.log.1")
    assert read("x.log") == ["x.log.1;"]
    make("in/y.log.1")
    assert read("in") == ["in/y.log.1;"]


def test_an_attempt_brings_its_other_files() -> None:
    """The triggers of that attempt are sources too, those of another attempt are not; one named alone stays alone."""
    make("t/attempt=1.log", "t/attempt=1.log.trigger.7.log", "t/attempt=10.log", "t/attempt=2.log.trigger.7.log")
    assert names("t/attempt=1.log") == ["attempt=1.log", "attempt=1.log.trigger.7.log"]
    assert names("t/attempt=1.log.trigger.7.log") == ["attempt=1.log.trigger.7.log"]
    assert names("t/attempt=1.log.trigger.7.log", "t/attempt=1.log") == ["attempt=1.log.trigger.7.log", "attempt=1.log"]
    assert read("t/attempt=2.log") == ["not-found", "t/attempt=2.log.trigger.7.log;"]
    assert read("no/attempt=2.log") == ["not-found"]


def test_a_folder_is_all_that_is_in_it() -> None:
    """Every file below is a source named by its path within the folder, in order of the paths, rotated sets as one."""
    make(
        "in/b/x.log",
        "in/b/x.log.1",
        "in/a.out",
        "in/messages",
        "in/c/attempt=1.log",
        "in/c/attempt=1.log.trigger.2.log",
    )
    assert names("in") == ["a.out", "b/x.log", "c/attempt=1.log", "c/attempt=1.log.trigger.2.log", "messages"]
    assert names("in/", "./in/b/../b") == names("in")


@pytest.mark.parametrize(
    "name",
    [".hidden", ".git/config", "a.zip", "core.PY", "x.log.lock", "daemon.pid", "x.log~", "x.tar.gz", "db.sqlite"],
)
def test_what_is_no_log_in_a_folder(name: str) -> None:
    """Hidden files and those whose ending tells that they are no log are left out of a folder, and read when named."""
    make(f"in/{name}", "in/x.log")
    assert names("in") == ["x.log"]
    assert len(names(f"in/{name}")) == 1


def test_an_empty_folder() -> None:
    """It has no sources yet, and gets one with its first file."""
    Path("in").mkdir()
    log = log_of_paths(["in"])
    assert log.sources() == []
    make("in/x.log")
    assert [source.name for source in log.sources()] == ["x.log"]


def test_the_same_file_twice_is_one_source() -> None:
    """However it is spelled: a path, another path, a link to it, the folder it is in."""
    make("in/x.log", "in/y.log")
    Path("link.log").symlink_to("in/x.log")
    Path("folder").symlink_to("in")
    Path("in/z.log").symlink_to("x.log")
    assert read(
        "in/x.log", "in//x.log", "./in/../in/x.log", "link.log", "folder/x.log", str(Path("in/x.log").resolve())
    ) == ["in/x.log;"]
    assert read("in", "in/x.log", "folder") == ["in/x.log;", "in/y.log;"]


def test_links_out_of_a_folder_are_not_followed() -> None:
    """They are gaps; what they lead to is read when it is named itself."""
    make("out/secret.log", "in/x.log")
    Path("in/folder").symlink_to("../out")
    Path("in/file.log").symlink_to("../out/secret.log")
    assert names("in") == ["file.log", "folder", "x.log"]
    assert read("in") == ["outside-root", "outside-root", "in/x.log;"]
    assert read("in", "out") == ["outside-root", "outside-root", "in/x.log;", "out/secret.log;"]
    assert read("in/file.log") == ["out/secret.log;"]


def test_what_cannot_be_read_is_a_gap() -> None:
    """Missing files, pipes and broken links are sources that say why, and the others are read."""
    make("x.log", "in/y.log")
    os.mkfifo("pipe.log")
    os.mkfifo("in/pipe.log")
    Path("broken.log").symlink_to("nowhere")
    assert read("missing.log", "x.log", "pipe.log", "broken.log", "no/folder/x.log", "in", "x.log/y.log") == [
        "not-found",
        "x.log;",
        "special-file",
        "not-found",
        "not-found",
        "special-file",
        "in/y.log;",
        "not-found",
    ]


def test_a_folder_that_may_not_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a source that fails, given or found in another."""
    make("in/closed/x.log", "in/y.log")
    real = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for path, expected in [("in/closed", ["closed"]), ("in", ["closed", "y.log"])]:
        sources = log_of_paths([path]).sources()
        assert [source.name for source in sources] == expected
        with pytest.raises(SourceFailed) as failed:
            sources[0].open()
        assert failed.value.gap.reason in (GapReason.PERMISSION_DENIED, GapReason.SPECIAL_FILE)


def test_names_are_short_and_unique() -> None:
    """Sources are called by their paths within the folder that they have in common."""
    make("a/b/x.log", "a/c/x.log", "a/b/y\n\x1b.log")
    assert names("a/b/x.log") == ["x.log"]
    assert names("a/b/x.log", "a/c/x.log") == ["b/x.log", "c/x.log"]
    assert names("a/b", "a/c/x.log") == ["b/x.log", "b/y%0A%1B.log", "c/x.log"]


def test_sources_keep_their_names_when_others_come() -> None:
    """A folder's first source is called by its path within the folder, so that it is known again beside a second."""
    make("in/a/x.log")
    log = log_of_paths(["in"])
    assert [source.name for source in log.sources()] == ["a/x.log"]
    make("in/b/y.log")
    assert [source.name for source in log.sources()] == ["a/x.log", "b/y.log"]


def test_ids_tell_logs_apart(here: Path) -> None:
    """The same paths have the same id, wherever they are named from; others have another."""
    make("in/x.log", "in/y\n.log")
    assert log_of_paths(["in/x.log"]).id == log_of_paths([here / "in" / "." / "x.log"]).id == str(here / "in/x.log")
    assert log_of_paths(["in/x.log", "in/y\n.log"]).id != log_of_paths(["in/y\n.log", "in/x.log"]).id
    assert log_of_paths(["in/x.log", "in/y\n.log"]).id.startswith(f"{here}/in#")
    assert log_of_paths(["in/y\n.log"]).id.isprintable()


def test_too_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound nothing is read, and the error says how to go on."""
    monkeypatch.setattr(catalog, "MAX_SOURCES", 3)
    make("in/a/1.log", "in/a/2.log", "in/a/3.log")
    assert len(names("in")) == 3
    make("in/b.log")
    with pytest.raises(UsageError, match="more than 3 files for one log: name a folder further down, or fewer files"):
        names("in")
    with pytest.raises(UsageError):
        names("in/a", "in/b.log")
    assert len(names("in/a")) == 3


@pytest.mark.parametrize("paths", [[], ["x\0.log"]])
def test_paths_that_cannot_be(paths: list[str]) -> None:
    """No path, or one that no system has, is the caller's mistake."""
    with pytest.raises(UsageError):
        log_of_paths(paths)


def test_the_root_of_the_system() -> None:
    """A path without a name is what it leads to."""
    assert log_of_paths(["/"]).id == "/"
    assert log_of_paths(["."]).id == str(Path.cwd())
