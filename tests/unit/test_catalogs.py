"""Several catalogs as one: ids begin with names, in one order, and one that is broken hides no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logflume.catalog import FolderCatalog
from logflume.catalogs import NamedCatalogs
from logflume.errors import LogNotFound, SourceFailed, UsageError
from logflume.records import LogState
from logflume.state import peek_status

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def catalogs(tmp_path: Path) -> NamedCatalogs:
    """Make three folders, one name of which begins like another."""
    for name, logs in (("a", ("x.log", "y/z.log")), ("a-b", ("x.log",)), ("c", ("k.log", "l.log"))):
        for log in logs:
            path = tmp_path / name / log
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} {log}\n")
    return NamedCatalogs({name: FolderCatalog(tmp_path / name) for name in ("c", "a", "a-b")})


IDS = ["a-b/x.log", "a/x.log", "a/y/z.log", "c/k.log", "c/l.log"]


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/y", "a-", "a-b/x.log", "c/k.log", "d", "b", "a/y/z.log/"])
@pytest.mark.parametrize("after", ["", *IDS, "a", "a/", "b", "c/", "zz", "a/y/"])
def test_listing(catalogs: NamedCatalogs, prefix: str, after: str) -> None:
    """Ids come in order, those that start with the prefix and are after the last one seen."""
    assert sorted(IDS) == IDS
    found = [log.id for log in catalogs.iter_logs(prefix, after)]
    assert found == [log_id for log_id in IDS if log_id.startswith(prefix) and log_id > after]


def test_finding(catalogs: NamedCatalogs) -> None:
    """A log is found by its whole id; what is not there names what is near."""
    log = catalogs.find("a/y/z.log")
    assert log.id == "a/y/z.log"
    (source,) = log.sources()
    with source.open() as reader:
        assert reader.read_block() == b"a y/z.log\n"
    assert peek_status(log).state is LogState.UNKNOWN
    assert peek_status(log).written_ns
    for missing, near in (("a/x.lag", ("a/x.log",)), ("aa/x.log", ("a/x.log",)), ("a/../c/k.log", ()), ("", ())):
        with pytest.raises(LogNotFound) as told:
            catalogs.find(missing)
        assert set(near) <= set(told.value.near)


def test_one_that_cannot_be_listed(catalogs: NamedCatalogs, tmp_path: Path) -> None:
    """It is a log that says why, in its place among the others."""
    broken = NamedCatalogs({"b": FolderCatalog(tmp_path / "gone"), "a": FolderCatalog(tmp_path / "a")})
    assert [log.id for log in broken.iter_logs()] == ["a/x.log", "a/y/z.log", "b/"]
    (source,) = broken.find("b/").sources()
    with pytest.raises(SourceFailed):
        source.open()
    with pytest.raises(LogNotFound):
        broken.find("b/x.log")
    del catalogs


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "é", "x" * 101])
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    """A name is part of an address."""
    with pytest.raises(UsageError):
        NamedCatalogs({name: FolderCatalog(tmp_path)})
