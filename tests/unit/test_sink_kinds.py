from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from logflume.errors import SinkRefused, UsageError
from logflume.settings import BadSetting
from logflume.ship.sinks import BUILT_IN, Chosen, kind_names, kind_of, sink_of
from tests.web import Answer, serving

THEIRS = """
from dataclasses import dataclass
from logflume.kinds import Whole
from logflume.settings import required
from logflume.ship.sinks import SinkKind

@dataclass(frozen=True, kw_only=True)
class Options:
    port: int = required(Whole(1, 65535), "The port.")

class Theirs:
    def __init__(self, port, name):
        self.port, self.name = port, name
    def write(self, block):
        pass
    def close(self):
        pass

KIND = SinkKind(Options, lambda options, origin: Theirs(options.port, origin.name or "theirs"))
NOT_ONE = 7
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package that brings kinds of sinks, one of them good."""
    (tmp_path / "their_sinks.py").write_text(THEIRS)
    about = tmp_path / "their_sinks-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-sinks\nVersion: 1.0\n")
    entries = "pigeon = their_sinks:KIND\nseven = their_sinks:NOT_ONE\nabsent = no_such_module:KIND\n"
    (about / "entry_points.txt").write_text(f"[logflume.sinks]\n{entries}")
    monkeypatch.syspath_prepend(str(tmp_path))


def chosen(**table: object) -> Chosen:
    """Return a sink named `archive` in a file of settings."""
    return Chosen("archive", table, "logflume.toml", Path("/base"))


def test_every_kind_of_ours_loads() -> None:
    """Each kind that is listed has a module with a kind in it."""
    assert [name for name in BUILT_IN if kind_of(name) is None] == []


def test_a_named_sink_keeps_its_name_and_its_tags(tmp_path: Path) -> None:
    """A sink of a file of settings is called as it is there; tags stand for their values; paths start at the file."""
    sink = chosen(kind="file", path="{child}.log").make(tmp_path, {"child": "scheduler"})
    assert sink.name == "archive"
    assert vars(sink)["path"] == Path("/base/scheduler.log")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, r"logflume.toml: sinks\.archive\.kind: expected one of .*file"),
        ({"kind": 7}, r"sinks\.archive\.kind: expected one of .*file"),
        ({"kind": "fiel"}, r"sinks\.archive\.kind = fiel: there is no such kind of sinks. Did you mean file\?"),
        ({"kind": "zzzz"}, r"There are: .*file.*stdout"),
        ({"kind": "file"}, r"sinks\.archive\.path: expected a path, and it is missing"),
        ({"kind": "file", "path": 7}, r"sinks\.archive\.path: expected a path"),
        ({"kind": "file", "path": "x", "pth": "x"}, r"sinks\.archive\.pth: .* Did you mean path\?"),
        ({"kind": "http", "url": "ftp://x"}, r"sinks\.archive\.url: expected an address"),
        ({"kind": "http", "url": "http://x", "body": "xml"}, r"sinks\.archive\.body: expected one of ndjson, lines"),
        ({"kind": "http", "url": "http://x", "token": "env:NO_SUCH"}, r"token: expected a value in .* NO_SUCH"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, table: dict[str, object], told: str) -> None:
    """A mistake names the file, the key, and what was expected."""
    with pytest.raises(BadSetting, match=told):
        chosen(**table).make(tmp_path, {})


def test_a_token_may_change_while_it_is_used(tmp_path: Path) -> None:
    """A token is read from its file for each request, so that a new one counts at once; one that is gone is told."""
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    with serving(lambda _: Answer(204, b"")) as running:
        for kind in ("http", "loki"):
            with contextlib.closing(
                chosen(kind=kind, url=running.url, token=f"file:{token}").make(tmp_path, {})
            ) as sink:
                assert "s3cret" not in repr(vars(sink))
                sink.write(b"one\n")
                token.write_text("n3w\n")
                sink.write(b"two\n")
                token.unlink()
                with pytest.raises(SinkRefused, match=r"its token is not there: expected a secret in .*/token"):
                    sink.write(b"three\n")
                token.write_text("s3cret\n")
        sent = [asked.headers["Authorization"] for asked in running.asked]
    assert sent == ["Bearer s3cret", "Bearer n3w"] * 2


def test_a_file_in_the_folder_itself_is_refused(tmp_path: Path) -> None:
    """A sink that would be shipped to itself is refused, from a file of settings, too."""
    with pytest.raises(UsageError, match="shipped to itself"):
        chosen(kind="file", path=str(tmp_path / "x.log")).make(tmp_path, {})


@pytest.mark.usefixtures("theirs")
def test_kinds_of_others_are_found(tmp_path: Path) -> None:
    """A package brings a kind of its own by an entry point; its options are checked like ours."""
    assert "pigeon" in kind_names()
    assert vars(chosen(kind="pigeon", port=7).make(tmp_path, {})) == {"port": 7, "name": "archive"}
    with pytest.raises(BadSetting, match="port: expected a whole number from 1 to 65_535, and it is missing"):
        chosen(kind="pigeon").make(tmp_path, {})


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("kind", "told"), [("seven", "is no logflume.ship.sinks.SinkKind"), ("absent", "does not load")]
)
def test_a_broken_kind_is_told(tmp_path: Path, kind: str, told: str) -> None:
    """What an entry point names and cannot be used is told by name."""
    with pytest.raises(UsageError, match=f"the sink {kind} of .* {told}"):
        chosen(kind=kind).make(tmp_path, {})


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize("words", ["", "file:", "stdout:x", "pigeon:7", "s3:x"])
def test_words_that_are_no_sink(tmp_path: Path, words: str) -> None:
    """On a command line only those kinds can be named that say how."""
    with pytest.raises(UsageError, match="is no sink; there are file:PATH"):
        sink_of(words, beside=tmp_path)
