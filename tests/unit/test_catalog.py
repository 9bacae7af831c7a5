from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from logflume import abc
from logflume.catalog import ByPattern, FolderCatalog, _part_of, _shown
from logflume.errors import BadPattern, LogNotFound, SourceFailed, UsageError
from logflume.records import GapReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logflume.abc import Log, Source

SAMPLE = Path(__file__).parents[1] / "data" / "airflow" / "sample" / "logs"
RUN = "dag_id=log_sample/run_id=manual__2024-11-20T12:34:56+00:00"


def make(root: Path, *names: str) -> Path:
    """Make files, each with its own name as its only line."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name) + b"\n")
    return root


def ids(catalog: FolderCatalog, prefix: str = "", after: str = "") -> list[str]:
    """List the catalog."""
    return [log.id for log in catalog.iter_logs(prefix, after)]


def names(log: Log) -> list[str]:
    """Return the names of the sources that a log has now."""
    return [source.name for source in log.sources()]


def read(source: Source) -> bytes:
    """Return all that a source holds."""
    with source.open() as reader:
        return b"".join(iter(reader.read_block, b""))


def descriptors() -> set[str]:
    """Return what this process holds open."""
    return {path.name for path in Path("/proc/self/fd").iterdir() if path.exists()}


def reason(source: Source) -> GapReason:
    """Return why a source cannot be opened."""
    with pytest.raises(SourceFailed) as failed:
        source.open()
    return failed.value.gap.reason


class ScanCount:
    """The real ``os.scandir``, which counts its calls and refuses the folders that are closed."""

    def __init__(self) -> None:
        self.real = os.scandir
        self.folders: list[str] = []
        self.closed: set[str] = set()

    def __call__(self, path: str) -> object:
        self.folders.append(Path(path).name)
        if self.folders[-1] in self.closed:
            raise PermissionError(13, "Permission denied")
        return self.real(path)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScanCount]:
    """Count what is listed."""
    count = ScanCount()
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", count)
        yield count


def test_it_is_a_catalog_of_logs(tmp_path: Path) -> None:
    """The catalog and what it finds keep the contracts, and making one opens nothing: its root need not be there."""
    catalog = FolderCatalog(make(tmp_path, "a.log"))
    assert isinstance(catalog, abc.Catalog)
    assert isinstance(catalog.find("a.log"), abc.Log)
    assert isinstance(FolderCatalog(tmp_path / "missing"), abc.Catalog)


def test_what_airflow_wrote() -> None:
    """Each attempt that a real Airflow left is one log, found again by its id, and a deferred one has two sources."""
    catalog = FolderCatalog(SAMPLE)
    logs = {log.id: log for log in catalog.iter_logs()}
    files = [path.relative_to(SAMPLE).as_posix() for path in SAMPLE.rglob("*") if path.is_file()]
    assert list(logs) == sorted(name for name in files if ".trigger." not in name)
    assert names(logs[f"{RUN}/task_id=deferred/attempt=1.log"]) == ["attempt=1.log", "attempt=1.log.trigger.2.log"]
    assert {len(log.sources()) for log in logs.values()} == {1, 2}
    assert all(names(catalog.find(log_id)) == names(log) for log_id, log in logs.items())


def test_the_files_of_an_attempt(tmp_path: Path) -> None:
    """Whatever begins with the attempt's name and a dot is of it, rotated files are no sources, and 10 is not 1."""
    make(tmp_path, *(f"t/attempt={name}" for name in ["1.log", "1.log.1", "1.log.2.gz", "1.log.trigger.7.log"]))
    make(
        tmp_path, *(f"t/attempt={name}" for name in ["1.log.trigger.7.log.1", "1.log.wf", "10.log", "1.logs", "x.txt"])
    )
    catalog = FolderCatalog(tmp_path)
    assert ids(catalog) == ["t/attempt=1.log", "t/attempt=10.log"]
    sources = catalog.find("t/attempt=1.log").sources()
    assert [at.name for at in sources] == ["attempt=1.log", "attempt=1.log.trigger.7.log", "attempt=1.log.wf"]
    assert read(sources[1]) == b"t/attempt=1.log.trigger.7.log.1\nt/attempt=1.log.trigger.7.log\n"
    assert names(catalog.find("t/attempt=10.log")) == ["attempt=10.log"]


def test_an_attempt_of_which_only_the_trigger_is_here(tmp_path: Path) -> None:
    """The worker's file may lie elsewhere: the log is found by its id, without a source that would be missing."""
    catalog = FolderCatalog(make(tmp_path, "attempt=1.log.trigger.7.log"))
    assert ids(catalog) == ["attempt=1.log"]
    assert names(catalog.find("attempt=1.log")) == ["attempt=1.log.trigger.7.log"]


@pytest.mark.parametrize(
    ("name", "log_id"),
    [
        ("x.log", "x.log"),
        ("x.log.1", "x.log"),
        ("x.log.12.gz", "x.log"),
        ("x.log.3.zst", "x.log"),
        ("x.log.gz", "x.log.gz"),
        ("x.log.20241120", None),
        ("x.log.1.2", None),
        ("x.log.bak", None),
        ("x.txt", None),
        ("messages", None),
        (".x.log", None),
        (".log", None),
        (".hidden/x.log", None),
        ("log", None),
        ("a.log/b.log", "a.log/b.log"),
        (
            "dag_id=d/run_id=r/task_id=t/map_index=3/attempt=2.log",
            "dag_id=d/run_id=r/task_id=t/map_index=3/attempt=2.log",
        ),
        ("run_id=a b~%'[ü]{0}&#?*\\/attempt=2.log", "run_id=a b~%'[ü]{0}&#?*\\/attempt=2.log"),
    ],
)
def test_which_file_is_of_which_log(tmp_path: Path, name: str, log_id: str | None) -> None:
    """Names tell which files are logs, and a rotated file is of the log whose set it is in, live file or not."""
    catalog = FolderCatalog(make(tmp_path, name))
    assert ids(catalog) == ([] if log_id is None else [log_id])
    if log_id is not None:
        assert catalog.find(log_id).id == log_id
        assert name.encode() in read(catalog.find(log_id).sources()[0])
    if name != log_id:
        with pytest.raises(LogNotFound):
            catalog.find(name)


def test_a_rotated_set_is_one_source(tmp_path: Path) -> None:
    """Its bytes come oldest first, out of one source with the live file's name."""
    catalog = FolderCatalog(make(tmp_path, "a/x.log", "a/x.log.1", "a/x.log.2"))
    (source,) = catalog.find("a/x.log").sources()
    assert source.name == "x.log"
    assert read(source) == b"a/x.log.2\na/x.log.1\na/x.log\n"


@given(
    st.text("ab01.log/gz-_", min_size=1, max_size=24), st.sampled_from(["", ".1", ".12.gz", ".3.zst", ".99999", ".gz"])
)
def test_rotated_sets_are_those_of_the_local_source(start: str, end: str) -> None:
    """What the catalog takes for the live file of a name is a file whose rotated set has that name."""
    from logflume.catalog import live_name
    from logflume.sources.local import rotated_set

    name = start.replace("/", "_") + end
    assume(name not in {".", ".."})
    live = live_name(name)
    assert [path.name for path in rotated_set(live, [name])] == [name]
    assert live_name(live) == live


def test_sources_are_those_of_now(tmp_path: Path) -> None:
    """A source that appears after the log was found is there when sources are asked for again."""
    log = FolderCatalog(make(tmp_path, "attempt=1.log")).find("attempt=1.log")
    assert names(log) == ["attempt=1.log"]
    make(tmp_path, "attempt=1.log.trigger.3.log")
    assert names(log) == ["attempt=1.log", "attempt=1.log.trigger.3.log"]


@pytest.mark.parametrize("log_id", ["d/attempt=1.log", "d/x.log", "d/*.txt"])
def test_a_log_that_is_gone_says_so(tmp_path: Path, log_id: str) -> None:
    """A log whose files or folder vanished after it was found has one source, which is a gap and no exception."""
    layout = ByPattern("d/{*n}.txt") if "*" in log_id else None
    make(tmp_path, "d/attempt=1.log", "d/x.log", "d/y.txt")
    log = FolderCatalog(tmp_path, layout=layout).find(log_id)
    shutil.rmtree(tmp_path / "d")
    (source,) = log.sources()
    assert reason(source) is GapReason.NOT_FOUND
    (tmp_path / "d").mkdir()
    (source,) = log.sources()
    assert reason(source) is GapReason.NOT_FOUND


HOSTILE_NAMES = [
    b"new\nline.log",
    b"esc\x1b[31m.log",
    b"del\x7f.log",
    b"\xff\xfe.log",
    b"cut\xc3.log",
    b"%41.log",
    b"%.log",
    b"100%.log",
    b"%0a%.log",
    b"..log",
    b"... .log",
    b"..\\..\\x.log",
    "\u202egol.log".encode(),
    "zero\u200bwidth.log".encode(),
    "line\u2028.log".encode(),
    "c1\x85.log".encode(),
    "ünï😀.log".encode(),
    b"x" * 251 + b".log",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_are_safe_to_show_and_found_again(tmp_path: Path, name: bytes) -> None:
    """A name of any bytes has an id and a source name without control, invisible or undecodable characters."""
    make(tmp_path, os.fsdecode(b"run\n\xff/" + name))
    catalog = FolderCatalog(tmp_path)
    if name.startswith(b"."):
        assert ids(catalog) == []
        return
    (log_id,) = ids(catalog)
    assert log_id.isprintable()
    log_id.encode()
    (source,) = catalog.find(log_id).sources()
    assert source.name.isprintable()
    assert read(source) == b"run\n\xff/" + name + b"\n"


@given(st.binary(min_size=1, max_size=40).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b"..")))
def test_every_name_has_one_key(name: bytes) -> None:
    """Any bytes that can be a file's name come back out of their key, and the key is printable text."""
    key = _shown(os.fsdecode(name))
    assert os.fsencode(_part_of(key) or "") == name
    key.encode()
    assert "\n" not in key
    assert "/" not in key


@given(st.text(max_size=12))
def test_every_key_is_of_one_name(key: str) -> None:
    """A text is the key of one name at most: what another spelling would decode to is refused."""
    name = _part_of(key)
    assert name is None or (
        _shown(name) == key and "/" not in name and "\0" not in name and name not in ("", ".", "..")
    )


@pytest.mark.parametrize(
    "log_id",
    [
        "",
        "/",
        "//",
        ".",
        "..",
        "../secret.log",
        "in/../../secret.log",
        "in/../x.log",
        "./x.log",
        "in//y.log",
        "in/",
        "x.log/",
        "/x.log",
        "x.log\0",
        "x.log\0/../secret.log",
        "%2E%2E/secret.log",
        "%2e%2e%2fsecret.log",
        "..%2Fsecret.log",
        "in%2Fy.log",
        "%78.log",
        "x.log%00",
        "\udcff.log",
        "x.log\n",
        "X.LOG",
        "in/" * 5000 + "y.log",
        "a" * 100_000,
        "~/x.log",
        "C:\\x.log",
    ],
)
def test_ids_that_no_log_has(tmp_path: Path, log_id: str) -> None:
    """No id leads out of the root, however it is spelled, and no log has two ids."""
    make(tmp_path, "secret.log", "root/x.log", "root/in/y.log")
    catalog = FolderCatalog(tmp_path / "root")
    with pytest.raises(LogNotFound) as missing:
        catalog.find(log_id)
    assert missing.value.name == log_id
    assert "secret.log" not in missing.value.near
    assert ids(catalog, prefix=log_id) == [at for at in ["in/y.log", "x.log"] if at.startswith(log_id)]


def test_an_absolute_path_is_no_id(tmp_path: Path) -> None:
    """Not even that of a log in the root."""
    make(tmp_path, "x.log")
    with pytest.raises(LogNotFound):
        FolderCatalog(tmp_path).find(str(tmp_path / "x.log"))


def test_a_symlinked_folder_that_leaves_the_root(tmp_path: Path) -> None:
    """It is not looked into, not even by a path through it, and is itself a log that says why."""
    make(tmp_path, "outside/secret.log", "outside/sub/secret.log", "root/x.log")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    catalog = FolderCatalog(tmp_path / "root")
    assert ids(catalog) == ["link/", "x.log"]
    assert ids(catalog, prefix="link/") == ["link/"]
    (source,) = catalog.find("link/").sources()
    assert source.name == "link"
    assert reason(source) is GapReason.OUTSIDE_ROOT
    for log_id in ["link/secret.log", "link/sub/secret.log", "link/sub/", "link"]:
        with pytest.raises(LogNotFound) as missing:
            catalog.find(log_id)
        assert "secret" not in str(missing.value.near)


def test_a_symlinked_folder_within_the_root(tmp_path: Path) -> None:
    """Its logs are found once, in their own place; a link that goes in circles or nowhere stops nobody."""
    make(tmp_path, "2024/x.log")
    (tmp_path / "latest").symlink_to("2024")
    (tmp_path / "2024" / "up").symlink_to("..")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("not/there")
    catalog = FolderCatalog(tmp_path)
    assert ids(catalog) == ["2024/x.log"]
    for log_id in ["latest/x.log", "2024/up/2024/x.log", "latest/"]:
        with pytest.raises(LogNotFound):
            catalog.find(log_id)


def test_a_symlinked_file_that_leaves_the_root(tmp_path: Path) -> None:
    """It is a log, and a gap when opened; one that stays within is read."""
    make(tmp_path, "secret.log", "root/x.log")
    (tmp_path / "root" / "out.log").symlink_to(tmp_path / "secret.log")
    (tmp_path / "root" / "in.log").symlink_to("x.log")
    catalog = FolderCatalog(tmp_path / "root")
    assert ids(catalog) == ["in.log", "out.log", "x.log"]
    assert reason(catalog.find("out.log").sources()[0]) is GapReason.OUTSIDE_ROOT
    assert read(catalog.find("in.log").sources()[0]) == b"root/x.log\n"


def test_a_folder_that_becomes_a_symlink(tmp_path: Path) -> None:
    """A log whose folder is exchanged for a link out of the root after it was found is a gap, not what lies there."""
    make(tmp_path, "outside/attempt=1.log", "outside/x.log", "root/d/attempt=1.log", "root/d/x.log")
    catalog = FolderCatalog(tmp_path / "root")
    logs = [catalog.find("d/x.log"), catalog.find("d/attempt=1.log")]
    before = [source for log in logs for source in log.sources()]
    shutil.rmtree(tmp_path / "root" / "d")
    (tmp_path / "root" / "d").symlink_to(tmp_path / "outside")
    for source in [*before, *(source for log in logs for source in log.sources())]:
        with pytest.raises(SourceFailed):
            source.open()


def test_the_root_may_be_a_symlink(tmp_path: Path) -> None:
    """Whoever names the root is trusted: where it leads is the root."""
    make(tmp_path, "real/d/x.log")
    (tmp_path / "link").symlink_to("real")
    catalog = FolderCatalog(tmp_path / "link")
    assert ids(catalog) == ["d/x.log"]
    assert read(catalog.find("d/x.log").sources()[0]) == b"real/d/x.log\n"


def test_special_files_are_gaps(tmp_path: Path) -> None:
    """A pipe with the name of a log is listed, and opening it fails at once instead of waiting for a writer."""
    os.mkfifo(tmp_path / "x.log")
    catalog = FolderCatalog(tmp_path)
    assert ids(catalog) == ["x.log"]
    assert reason(catalog.find("x.log").sources()[0]) is GapReason.SPECIAL_FILE


def test_finding_one_log_lists_no_folder(tmp_path: Path, scans: ScanCount) -> None:
    """Of 20,000 files one is found without listing any; a page lists its own folder once, and so does a miss."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(20_000):
        (folder / f"{number:05}.log").touch()
    make(tmp_path, *(f"other{number}/x.log" for number in range(50)))
    catalog = FolderCatalog(tmp_path)
    assert names(catalog.find("many/12345.log")) == ["12345.log"]
    assert scans.folders == []
    assert len(ids(catalog, prefix="many/")) == 20_000
    assert scans.folders == ["many"]
    scans.folders.clear()
    assert ids(catalog, "many/", after="many/19997.log") == ["many/19998.log", "many/19999.log"]
    assert scans.folders == ["many"]
    scans.folders.clear()
    with pytest.raises(LogNotFound) as missing:
        catalog.find("many/x0001.log")
    assert set(scans.folders) == {"many"}
    assert 0 < len(missing.value.near) <= 5


def test_folders_are_pruned(tmp_path: Path, scans: ScanCount) -> None:
    """A page lists only the folders that can hold ids of its range, and only when it gets there."""
    make(tmp_path, *(f"dag_id={dag}/run_id={run}/attempt=1.log" for dag in "abc" for run in "xyz"))
    catalog = FolderCatalog(tmp_path)
    assert ids(catalog, "dag_id=b/run_id=y") == ["dag_id=b/run_id=y/attempt=1.log"]
    assert scans.folders == ["dag_id=b", "run_id=y"]
    scans.folders.clear()
    assert len(ids(catalog, after="dag_id=c/run_id=x/attempt=1.log")) == 2
    assert scans.folders == [tmp_path.name, "dag_id=c", "run_id=x", "run_id=y", "run_id=z"]
    scans.folders.clear()
    next(iter(catalog.iter_logs()))
    assert scans.folders == [tmp_path.name, "dag_id=a", "run_id=x"]


TREES = st.lists(
    st.lists(st.sampled_from(["a", "a-", "a.", "a.b", "b", "ab", "\n", "é", "%0A", "~"]), min_size=1, max_size=4),
    max_size=12,
)


@given(TREES, st.text("ab-./%~0é", max_size=6), st.integers(0, 12), st.integers(1, 4))
def test_pages_are_parts_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, tree: list[list[str]], prefix: str, start: int, page: int
) -> None:
    """Ids come in string order; any prefix and any place to go on from give the same as filtering the whole list."""
    root = tmp_path_factory.mktemp("tree")
    make(root, *("/".join(path) + ".log" for path in tree))
    catalog = FolderCatalog(root)
    every = ids(catalog)
    assert every == sorted({"/".join(map(_shown, path)) + ".log" for path in tree})
    for after in ["", prefix, *every[start : start + 1], *(log_id[:page] for log_id in every[:1])]:
        assert ids(catalog, prefix, after) == [at for at in every if at.startswith(prefix) and at > after]
    pages: list[str] = []
    while more := [
        log.id for log, _ in zip(catalog.iter_logs(after=pages[-1] if pages else ""), range(page), strict=False)
    ]:
        pages += more
    assert pages == every
    assert [catalog.find(log_id).id for log_id in every] == every
    shutil.rmtree(root)


def test_nothing_is_open_between_two_logs(tmp_path: Path) -> None:
    """While a list is half read no descriptor is held, so that leaving it needs no care."""
    make(tmp_path, *(f"{folder}/{number}.log" for folder in "abc" for number in range(10)))
    before = descriptors()
    listed = FolderCatalog(tmp_path).iter_logs()
    for _ in range(15):
        next(listed)
    assert descriptors() == before


def test_nearest_names(tmp_path: Path) -> None:
    """A miss names the logs, or the folders, most like the first part that does not exist."""
    make(tmp_path, "dag_id=sales/run_id=1/attempt=1.log", *(f"dag_id=sale{n}/attempt=1.log" for n in range(9)))
    catalog = FolderCatalog(tmp_path)
    for log_id, near in [
        ("dag_id=salse/run_id=1/attempt=1.log", "dag_id=sales/"),
        ("dag_id=sales/run_id=2/attempt=1.log", "dag_id=sales/run_id=1/"),
        ("dag_id=sales/run_id=1/attempt=2.log", "dag_id=sales/run_id=1/attempt=1.log"),
    ]:
        with pytest.raises(LogNotFound) as missing:
            catalog.find(log_id)
        assert near in missing.value.near
        assert len(missing.value.near) <= 5


@pytest.mark.parametrize("log_id", ["x.log", "a/b/x.log", ""])
def test_a_root_that_is_not_there(tmp_path: Path, log_id: str) -> None:
    """A wrong root is told as such, and not as an absent log."""
    catalog = FolderCatalog(tmp_path / "missing")
    with pytest.raises(UsageError, match="missing"):
        catalog.find(log_id)
    with pytest.raises(UsageError, match="missing"):
        ids(catalog, prefix=log_id)


def test_a_folder_that_may_not_be_listed(tmp_path: Path, scans: ScanCount) -> None:
    """It is listed as a log of its own, in its place; the others go on, and what is in it is found by its name."""
    make(tmp_path, "a/x.log", "secret/x.log", "secret.log", "secret0/x.log")
    scans.closed.add("secret")
    catalog = FolderCatalog(tmp_path)
    assert ids(catalog) == ["a/x.log", "secret.log", "secret/", "secret0/x.log"]
    assert ids(catalog, after="secret/") == ["secret0/x.log"]
    (source,) = catalog.find("secret/").sources()
    assert source.name == "secret"
    assert reason(source) in (GapReason.PERMISSION_DENIED, GapReason.SPECIAL_FILE)
    assert read(catalog.find("secret/x.log").sources()[0]) == b"secret/x.log\n"
    with pytest.raises(LogNotFound):
        catalog.find("secret/y.log")
    with pytest.raises(LogNotFound):
        catalog.find("a/")


def test_a_tree_deeper_than_any_path(tmp_path: Path) -> None:
    """Folders further down than the system can name are found as a log that says so."""
    make(tmp_path, "z.log")
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(40):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    catalog = FolderCatalog(tmp_path)
    too_deep, last = ids(catalog)
    assert last == "z.log"
    assert too_deep.endswith("d/")
    (source,) = catalog.find(too_deep).sources()
    assert reason(source) is not None


def test_a_folder_that_vanishes_while_it_is_listed(tmp_path: Path) -> None:
    """Its logs are gone with it, and the list goes on."""
    make(tmp_path, "a/x.log", "b/x.log", "c/x.log")
    listed = FolderCatalog(tmp_path).iter_logs()
    assert next(listed).id == "a/x.log"
    shutil.rmtree(tmp_path / "b")
    assert [log.id for log in listed] == ["c/x.log"]


@pytest.mark.parametrize(
    ("pattern", "logs"),
    [
        (
            "{service}/{date}/{*host}.log",
            {
                "shop/0102/*.log": ["h1.log", "h2.log"],
                "shop/0103/*.log": ["h1.log"],
                "web/0102/*.log": ["h1.log"],
            },
        ),
        (
            "{service}/{date}/{host}.log",
            {
                "shop/0102/h1.log": ["h1.log"],
                "shop/0102/h2.log": ["h2.log"],
                "shop/0103/h1.log": ["h1.log"],
                "web/0102/h1.log": ["h1.log"],
            },
        ),
        (
            "{service}/{*date}/{*host}.log",
            {
                "shop/*/*.log": ["0102/h1.log", "0102/h2.log", "0103/h1.log"],
                "web/*/*.log": ["0102/h1.log"],
            },
        ),
        (
            "{*service}/{date}/h{host}.log",
            {
                "*/0102/h1.log": ["shop/0102/h1.log", "web/0102/h1.log"],
                "*/0102/h2.log": ["shop/0102/h2.log"],
                "*/0103/h1.log": ["shop/0103/h1.log"],
            },
        ),
        ("shop/{month}02/h{*n}.log", {"shop/0102/h*.log": ["h1.log", "h2.log"]}),
        (
            "{service}/0102/{*name}.{ending}",
            {
                "shop/0102/*.log": ["h1.log", "h2.log"],
                "web/0102/*.7": ["core.7"],
                "web/0102/*.log": ["h1.log"],
                "web/0102/*.txt": ["note.txt"],
            },
        ),
        ("{a}/{b}", {}),
        ("{a}", {"other.log": ["other.log"]}),
        ("other.log", {"other.log": ["other.log"]}),
        ("{a}r.log", {"other.log": ["other.log"]}),
        ("other.log{a}", {}),
    ],
)
def test_layouts_by_pattern(tmp_path: Path, pattern: str, logs: dict[str, list[str]]) -> None:
    """Files whose paths agree but for starred fields are one log; that path is its id, its sources lie within it."""
    make(tmp_path, "shop/0102/h1.log", "shop/0102/h2.log", "shop/0102/h2.log.1", "shop/0103/h1.log", "web/0102/h1.log")
    make(tmp_path, "web/0102/note.txt", "web/0102/core.7", "other.log")
    make(tmp_path, "shop/0102/deeper/h1.log", "shop/0102/.log", ".git/0102/h1.log")
    catalog = FolderCatalog(tmp_path, layout=ByPattern(pattern))
    assert ids(catalog) == sorted(logs)
    for log_id, expected in logs.items():
        assert names(catalog.find(log_id)) == expected
        assert all(read(source) for source in catalog.find(log_id).sources())
        assert log_id in ids(catalog, prefix=log_id[:-3])


@pytest.mark.parametrize("log_id", ["shop/h1.log", "shop/h*.log", "*/h1.log", "*/x/*.log", "*/*.log/", "*", "*/"])
def test_ids_that_no_log_of_a_pattern_has(tmp_path: Path, log_id: str) -> None:
    """Only the id with its stars finds the log, not a path of one of its files."""
    catalog = FolderCatalog(make(tmp_path, "shop/h1.log", "web/h1.log"), layout=ByPattern("{*service}/{*host}.log"))
    assert ids(catalog) == ["*/*.log"]
    with pytest.raises(LogNotFound):
        catalog.find(log_id)


def test_sources_keep_their_names_when_others_come(tmp_path: Path) -> None:
    """The first host's source is called with its folder although there is only one folder yet."""
    log = FolderCatalog(make(tmp_path, "a/h1/x.log"), layout=ByPattern("a/{*host}/x.log")).find("a/*/x.log")
    assert names(log) == ["h1/x.log"]
    make(tmp_path, "a/h2/x.log")
    assert names(log) == ["h1/x.log", "h2/x.log"]


def test_a_host_whose_folder_may_not_be_listed(tmp_path: Path, scans: ScanCount) -> None:
    """Where one of the folders that share a log cannot be listed, a source of the log says so; the rest is read."""
    make(tmp_path, "h1/x.log", "h2/x.log")
    (tmp_path / "h3").symlink_to("/")
    scans.closed.add("h2")
    catalog = FolderCatalog(tmp_path, layout=ByPattern("{*host}/x.log"))
    assert ids(catalog) == ["*/x.log"]
    first, second, third = catalog.find("*/x.log").sources()
    assert (first.name, second.name, third.name) == ("h1/x.log", "h2", "h3")
    assert read(first) == b"h1/x.log\n"
    assert reason(second) in (GapReason.PERMISSION_DENIED, GapReason.SPECIAL_FILE)
    assert reason(third) is GapReason.OUTSIDE_ROOT


@pytest.mark.parametrize(
    ("pattern", "position"),
    [
        ("", 0),
        ("/a", 0),
        ("a//b", 2),
        ("a/", 2),
        ("ä/../b", 3),
        (".", 0),
        ("{a}/{b", 4),
        ("{a}}", 0),
        ("{}", 0),
        ("{a b}", 0),
        ("{**a}", 0),
        ("{1}", 0),
        ("{a}{b}.log", 0),
        ("x/{a}-{a}.log", 2),
        ("{a}/{*a}.log", 4),
    ],
)
def test_bad_patterns(pattern: str, position: int) -> None:
    """What is no pattern is refused with the byte at which the name in question begins."""
    with pytest.raises(BadPattern) as bad:
        ByPattern(pattern)
    assert bad.value.position == position
    assert bad.value.pattern == pattern


@given(
    st.lists(st.sampled_from(["a", "-", ".", "{x}", "{*y}", "{z}"]), min_size=1, max_size=6),
    st.text("a-.*1", min_size=1, max_size=8),
)
def test_the_part_of_a_part_is_itself(pieces: list[str], name: str) -> None:
    """Whatever a pattern makes of a name, it makes of that again: so an id tells which names are of it."""
    try:
        layout = ByPattern("".join(pieces))
    except BadPattern:
        return
    part = layout.file_part(0, name)
    assert part is None or layout.file_part(0, part) == part
