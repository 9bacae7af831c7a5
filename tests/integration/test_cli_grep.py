"""``logflume grep``: what it finds, and what its exit code says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from logflume.generate import LineFormat, Plan, write_log
from logflume.records import Output
from tests import oracle
from tests.integration.command import run

if TYPE_CHECKING:
    from pathlib import Path

LOG = (
    b"2024-11-20T10:00:00Z INFO start [1/2]\n"
    b"2024-11-20T10:00:01Z ERROR it broke\n"
    b"Traceback (most recent call last):\n"
    b"ValueError: no such row\n"
    b"2024-11-20T10:00:02Z INFO end.\n"
)
BROKEN = b"".join(LOG.splitlines(keepends=True)[1:4])
START, END = LOG.splitlines(keepends=True)[0], LOG.splitlines(keepends=True)[4]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A small log with a traceback."""
    path = tmp_path / "app.log"
    path.write_bytes(LOG)
    return path


@pytest.fixture
def generated(tmp_path: Path) -> list[Path]:
    """Three files with tracebacks."""
    return write_log(tmp_path / "generated", Plan(lines=6_000, format=LineFormat.PLAIN, duplicates=0.1))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["no such row"], BROKEN),
        (["Traceback"], BROKEN),
        (["TRACEBACK"], b""),
        (["-i", "TRACEBACK"], BROKEN),
        (["[1/2]"], START),
        (["-F", "end."], END),
        (["end?."], b""),
        (["-E", "end?\\."], END),
        (["-E", "^ValueError"], BROKEN),
        (["-E", "row$"], BROKEN),
        (["-E", "(?i)START|end\\."], START + END),
        (["-v", "INFO"], BROKEN),
        (["-m", "1", "INFO"], START),
        (["-m", "2", "INFO"], START + END),
        (["-m", "9", "INFO"], START + END),
        (["--level", "info", "1"], LOG),
        (["--level", "error", "1"], BROKEN),
        (["--until", "2024-11-20T10:00:02Z", "INFO"], START),
        (["-c", "INFO"], b"2\n"),
        (["-c", "nothing"], b"0\n"),
        (["-c", "-m", "1", "INFO"], b"1\n"),
        (["-c", "-v", "INFO"], b"1\n"),
        (["--", "-i"], b""),
    ],
)
def test_records_that_match_are_printed_whole(words: list[str], expected: bytes, log: Path) -> None:
    """A match anywhere in a record gives the record with its traceback; options choose as grep's do."""
    done = run("grep", *words, log)
    assert done.out == expected
    assert done.err == ""
    assert done.code == (1 if expected in (b"", b"0\n") else 0)


@pytest.mark.parametrize("output", [Output.TEXT, Output.NDJSON])
def test_matches_come_merged(output: Output, generated: list[Path]) -> None:
    """Matches of several sources come in the order of time, each once."""
    sources = [path.read_bytes() for path in generated]
    expected = oracle.merge(sources, output=output, rules=oracle.Rules(contains=b"ERROR"))
    done = run("grep", "ERROR", *generated, "--output", output.name.lower())
    assert done.out == expected.out
    assert b"Traceback" in done.out


def test_max_count_counts_records_of_all_sources(generated: list[Path]) -> None:
    """The first N records of the merge are printed, tracebacks and all, as NDJSON too."""
    sources = [path.read_bytes() for path in generated]
    records = oracle.merge(sources, output=Output.TEXT, rules=oracle.Rules(contains=b"ERROR")).out
    first_three = b"[2024".join(records.split(b"[2024")[:4])
    assert run("grep", "-m", "3", "ERROR", *generated).out == first_three
    objects = run("grep", "-m", "3", "ERROR", *generated, "--output", "ndjson").out.splitlines()
    assert len(objects) == first_three.count(b"\n")
    assert all(json.loads(line)["event"] for line in objects)


def test_unreadable_source_is_an_error_though_others_match(log: Path) -> None:
    """As with GNU grep, what could not be read turns found (0) into 2, and what could be is printed."""
    secret = log.with_name("secret.log")
    secret.write_bytes(LOG)
    secret.chmod(0)
    done = run("grep", "INFO", log, secret, timid=True)
    assert (done.code, done.out) == (2, START + END)
    assert "permission-denied" in done.err


def test_missing_source_is_an_error_though_nothing_matches(log: Path) -> None:
    """A path that is not there turns nothing found (1) into 2."""
    assert run("grep", "absent", log, log.with_name("gone.log")).code == 2


def test_bad_expression_says_where(log: Path) -> None:
    """An expression that cannot be used is an error of one line that points at the place."""
    done = run("grep", "-E", "a(b", log)
    assert (done.code, done.out) == (2, b"")
    assert done.err.startswith("logflume: bad pattern 'a(b' at 1: ")
    assert done.err.count("\n") == 1


def test_pattern_may_be_any_bytes(tmp_path: Path) -> None:
    """What the shell passes as arguments need not be UTF-8 to be found."""
    (tmp_path / "latin.log").write_bytes(b"2024-11-20T10:00:00Z caf\xe9\n2024-11-20T10:00:01Z tea\n")
    done = run("grep", "caf\udce9", tmp_path)
    assert done.out == b"2024-11-20T10:00:00Z caf\xe9\n"
