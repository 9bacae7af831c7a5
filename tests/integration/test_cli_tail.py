"""``logflume tail``: the last lines, and what comes after them."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

import pytest

from logflume.generate import LineFormat, Pattern, Plan, write_log
from logflume.records import Output
from tests import oracle
from tests.integration.command import DEFERRED, interrupt, run, started

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def line(second: int, text: str) -> bytes:
    """Return a line of a plain log."""
    return f"2024-11-20T10:00:{second:02}Z INFO {text}\n".encode()


@pytest.mark.parametrize("pattern", list(Pattern))
@pytest.mark.parametrize("lines", [0, 1, 10, 777, 99_999])
def test_tail_is_the_end_of_cat(pattern: Pattern, lines: int, tmp_path: Path) -> None:
    """The last lines of the merge are printed, however the lines are spread over the files."""
    files = write_log(tmp_path, Plan(lines=4_000, pattern=pattern, format=LineFormat.PLAIN, duplicates=0.1))
    whole = oracle.merge([path.read_bytes() for path in files], output=Output.TEXT).out.splitlines(keepends=True)
    done = run("tail", "-n", str(lines), *files)
    assert done.out == b"".join(whole[len(whole) - min(lines, len(whole)) :])
    assert (done.code, done.err) == (0, "")


def test_ten_lines_by_default() -> None:
    """Without -n the last ten lines come, of all files of the attempt."""
    sources = [path.read_bytes() for path in sorted(DEFERRED.iterdir())]
    whole = oracle.merge(sources, output=Output.TEXT).out.splitlines(keepends=True)
    assert run("tail", DEFERRED / "attempt=1.log").out == b"".join(whole[-10:])


def test_tail_of_what_passes(tmp_path: Path) -> None:
    """Filters choose first: the last lines are the last of those that pass."""
    files = write_log(tmp_path, Plan(lines=6_000))
    rules = oracle.Rules(contains=b'"level":"error"')
    chosen = oracle.merge([path.read_bytes() for path in files], output=Output.NDJSON, rules=rules).out
    done = run("tail", "-n", "2", "--level", "error", "--output", "ndjson", *files)
    assert done.out.splitlines() == chosen.splitlines()[-2:]


def test_unreadable_source_is_said(tmp_path: Path) -> None:
    """What cannot be read is a gap, and the tail of the others is printed."""
    files = write_log(tmp_path, Plan(lines=100))
    files[2].chmod(0)
    sources = [path.read_bytes() for path in files[:2]]
    done = run("tail", "-n", "5", *files, timid=True)
    assert done.out.splitlines() == oracle.merge(sources, output=Output.TEXT).out.splitlines()[-5:]
    assert done.code == 2
    assert done.err.startswith("logflume: source-2.log: permission-denied: ")


def out_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    """Return what the process prints."""
    assert process.stdout
    return process.stdout


def append(path: Path, data: bytes) -> None:
    """Write at the end of a log."""
    with path.open("ab") as file:
        file.write(data)


def test_follow_prints_what_comes_from_every_file(tmp_path: Path) -> None:
    """With -f the last lines come first, then lines of both files as they are written."""
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    first.write_bytes(line(0, "zero") + line(2, "two"))
    second.write_bytes(line(1, "one"))
    with started("tail", "-f", "-n", "2", first, second) as process:
        out = out_of(process)
        assert [out.readline(), out.readline()] == [line(1, "one"), line(2, "two")]
        append(second, line(3, "three"))
        assert out.readline() == line(3, "three")
        append(first, line(4, "four"))
        assert out.readline() == line(4, "four")
        interrupt(process)
        assert process.wait() == 130


def test_follow_prints_files_that_appear(tmp_path: Path) -> None:
    """A file that is made in a followed folder joins the log."""
    (tmp_path / "old.log").write_bytes(line(0, "old"))
    with started("tail", "-f", tmp_path) as process:
        out = out_of(process)
        assert out.readline() == line(0, "old")
        (tmp_path / "new.log").write_bytes(line(1, "new"))
        assert out.readline() == line(1, "new")


def test_follow_waits_for_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is said once on stderr, and printed when it comes."""
    log = tmp_path / "later.log"
    with started("tail", "-f", log) as process:
        assert process.stderr
        assert process.stderr.readline().startswith(b"logflume: later.log: not-found: ")
        log.write_bytes(line(0, "here"))
        assert out_of(process).readline() == line(0, "here")
        interrupt(process)
        assert process.wait() == 130
        assert process.stderr.read() == b""


def test_follow_without_a_tail_prints_only_what_comes(tmp_path: Path) -> None:
    """With -n 0 nothing old is printed; NDJSON stays NDJSON."""
    log = tmp_path / "app.log"
    log.write_bytes(line(0, "old"))
    with started("tail", "-f", "-n", "0", "--output", "ndjson", log, tmp_path / "none.log") as process:
        assert process.stderr
        process.stderr.readline()  # that none.log is not there: so it follows now
        append(log, line(1, "new"))
        assert json.loads(out_of(process).readline())["event"] == line(1, "new").decode().rstrip("\n")


def test_follow_says_that_a_log_was_cut(tmp_path: Path) -> None:
    """Truncation while following is a gap, said when it happens; what is written then is printed."""
    log = tmp_path / "app.log"
    log.write_bytes(line(0, "old") * 3)
    with started("tail", "-f", "-n", "1", log) as process:
        out = out_of(process)
        assert out.readline() == line(0, "old")
        log.write_bytes(line(9, "after"))
        assert out.readline() == line(9, "after")
        assert process.stderr
        assert b"truncated" in process.stderr.readline()
