"""``logflume cat`` on real and on generated logs."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from logflume.generate import LineFormat, Plan, write_log
from logflume.records import Level, Output
from tests import oracle
from tests.integration.command import COMMAND, DEFERRED, SAMPLE, environment, run

if TYPE_CHECKING:
    from pathlib import Path

FILES = sorted(path for path in SAMPLE.rglob("*.log") if path.is_file())
SECOND_NS = 1_000_000_000
START_NS = 1_732_106_096 * SECOND_NS  # of generated logs: 2024-11-20T12:34:56Z
OUTPUTS = (Output.TEXT, Output.NDJSON)


@pytest.fixture
def generated(tmp_path: Path) -> list[Path]:
    """Three interleaved JSON files with copies and ties."""
    return write_log(tmp_path / "generated", Plan(lines=5_000, duplicates=0.1, ties=0.1))


def contents(files: list[Path]) -> list[bytes]:
    """Return what the files hold."""
    return [path.read_bytes() for path in files]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_one_file_is_printed_byte_for_byte(path: Path, tmp_path: Path) -> None:
    """What one source holds is what comes out, whatever odd bytes are in it."""
    alone = tmp_path / "alone.log"
    alone.write_bytes(path.read_bytes())
    done = run("cat", alone)
    assert (done.code, done.err) == (0, "")
    assert done.out == path.read_bytes()


@pytest.mark.parametrize("output", OUTPUTS)
def test_attempt_is_its_worker_and_trigger_logs_merged(output: Output) -> None:
    """Naming attempt=1.log reads the trigger's log beside it, and merges both as the oracle does."""
    sources = contents(sorted(DEFERRED.iterdir()))
    done = run("cat", DEFERRED / "attempt=1.log", "--output", output.name.lower())
    assert done.out == oracle.merge(sources, output=output).out
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("output", OUTPUTS)
def test_folder_is_every_file_in_it(output: Output) -> None:
    """A whole run's folder comes out as the oracle merges its files in path order."""
    folder = SAMPLE / "dag_id=log_sample"
    sources = contents([path for path in FILES if folder in path.parents])
    done = run("cat", folder, "--output", output.name.lower())
    assert done.out == oracle.merge(sources, output=output).out


@pytest.mark.parametrize("line_format", list(LineFormat))
@pytest.mark.parametrize("output", OUTPUTS)
def test_generated_logs_are_merged(line_format: LineFormat, output: Output, tmp_path: Path) -> None:
    """Files of every format, with copies, ties and tracebacks, come out as the oracle merges them."""
    files = write_log(tmp_path, Plan(lines=4_000, format=line_format, duplicates=0.1, ties=0.1))
    done = run("cat", *files, "--output", output.name.lower())
    assert done.out == oracle.merge(contents(files), output=output).out


def test_no_dedup_prints_every_copy(generated: list[Path]) -> None:
    """Without dedup each source's records are all there."""
    done = run("cat", "--no-dedup", *generated)
    assert done.out == oracle.merge(contents(generated), output=Output.TEXT, dedup=False).out
    assert sorted(done.out.splitlines()) == sorted(b"".join(contents(generated)).splitlines())


def test_standard_input_is_a_source(generated: list[Path]) -> None:
    """A dash is one more source, after the files."""
    done = run("cat", generated[0], "-", generated[1], stdin=generated[2].read_bytes())
    assert done.out == oracle.merge(contents(generated), output=Output.TEXT).out


def test_outputs_of_commands_are_sources(generated: list[Path]) -> None:
    """What a shell passes as <(command) is read to its end."""
    command = " ".join(COMMAND) + ' cat <(cat "$0") <(cat "$1")'
    done = subprocess.run(["bash", "-c", command, *generated[:2]], env=environment(), capture_output=True, check=True)
    assert done.stdout == oracle.merge(contents(generated[:2]), output=Output.TEXT).out


def test_compressed_files_are_read(generated: list[Path], tmp_path: Path) -> None:
    """A gzipped source merges as its content does."""
    packed = tmp_path / "packed.log.gz"
    packed.write_bytes(gzip.compress(generated[0].read_bytes()))
    done = run("cat", packed, *generated[1:])
    assert done.out == oracle.merge(contents(generated), output=Output.TEXT).out


@pytest.mark.parametrize(
    ("words", "rules"),
    [
        (["--level", "warning"], oracle.Rules(levels=sum(1 << level for level in Level if level >= Level.WARNING))),
        (["--level", "ERROR"], oracle.Rules(levels=1 << Level.ERROR | 1 << Level.CRITICAL)),
        (["--grep", "1.parquet"], oracle.Rules(contains=b"1.parquet")),
        (["--grep", "PARQUET", "-i"], oracle.Rules(contains=b"parquet", ignore_case=True)),
        (["--grep", "info", "-v"], oracle.Rules(contains=b"info", invert=True)),
        (["--regex", r"orders/\d+7 "], oracle.Rules(regex=r"orders/\d+7 ")),
        (["--grep", "read", "--regex", "part-[0-9]"], oracle.Rules(contains=b"read", regex="part-[0-9]")),
        (["--since", "2024-11-20T12:34:57Z"], oracle.Rules(since_ns=START_NS + SECOND_NS)),
        (["--until", "2024-11-20 12:34:57"], oracle.Rules(until_ns=START_NS + SECOND_NS)),
        (["--since", "@1732106096.5", "--until", "2024-11-20T13:34:57+01:00"],
         oracle.Rules(since_ns=START_NS + SECOND_NS // 2, until_ns=START_NS + SECOND_NS)),
        (["--since", "15m ago"], oracle.Rules(since_ns=2**62)),
    ],
)  # fmt: skip
def test_filters_choose_records(words: list[str], rules: oracle.Rules, generated: list[Path]) -> None:
    """Each filter prints what the oracle's rule lets pass."""
    expected = oracle.merge(contents(generated), output=Output.TEXT, rules=rules)
    assert run("cat", *words, *generated).out == expected.out


def test_times_without_a_zone_are_those_of_the_option(tmp_path: Path) -> None:
    """--zone says where naive times in the log, and on the command line, belong."""
    (tmp_path / "naive.log").write_bytes(b"2024-11-20 13:00:00,000 berlin noon\n2024-11-20 14:00:00,000 later\n")
    (tmp_path / "utc.log").write_bytes(b"2024-11-20T12:30:00Z utc\n")
    merged = run("cat", "--zone", "Europe/Berlin", tmp_path).text.split()
    assert [word for word in merged if word in ("noon", "utc", "later")] == ["noon", "utc", "later"]
    since = run("cat", "--zone", "Europe/Berlin", "--since", "2024-11-20 13:15", tmp_path)
    assert b"noon" not in since.out
    assert b"utc" in since.out


def test_time_format_makes_a_log_readable(tmp_path: Path) -> None:
    """--time-format teaches the merge a log's own times."""
    (tmp_path / "a.log").write_bytes(b"20.11.2024 10-00-00 first\n20.11.2024 12-00-00 third\n")
    (tmp_path / "b.log").write_bytes(b"20.11.2024 11-00-00 second\n")
    done = run("cat", "--time-format", "%d.%m.%Y %H-%M-%S", tmp_path)
    assert [line.split()[-1] for line in done.text.splitlines()] == ["first", "second", "third"]


def test_sources_are_chosen_by_name(generated: list[Path]) -> None:
    """--source takes glob patterns, several of them."""
    done = run("cat", "--source", "*-0.log", "--source", "source-2.*", *generated)
    assert done.out == oracle.merge(contents([generated[0], generated[2]]), output=Output.TEXT).out


def test_unknown_source_names_those_there_are(generated: list[Path]) -> None:
    """A --source that fits nothing is an error, and says what it could have been."""
    done = run("cat", "--source", "source-9.log", *generated)
    assert (done.code, done.out) == (2, b"")
    assert "source-0.log" in done.err


# Going on later


def token_of(err: str) -> str:
    """Return the cursor that --print-cursor named."""
    line = next(line for line in err.splitlines() if line.startswith("logflume: cursor: "))
    return line.removeprefix("logflume: cursor: ")


def test_cursor_goes_on_after_what_was_printed(generated: list[Path]) -> None:
    """A second run with the first one's cursor prints what was appended meanwhile, and nothing else."""
    first = run("cat", "--print-cursor", *generated)
    assert run("cat", "--cursor", token_of(first.err), *generated).out == b""
    added = b'{"timestamp":"2024-11-20T18:00:00Z","event":"added"}\n'
    with generated[1].open("ab") as file:
        file.write(added)
    second = run("cat", "--cursor", token_of(first.err), *generated)
    assert (second.code, second.out) == (0, added)


def test_cursor_file_keeps_the_place_between_runs(generated: list[Path], tmp_path: Path) -> None:
    """Each run with the same --cursor-file prints what is new since the last one."""
    kept = tmp_path / "place"
    whole = oracle.merge(contents(generated[:1]), output=Output.TEXT).out
    assert run("cat", "--cursor-file", kept, generated[0]).out == whole
    assert run("cat", "--cursor-file", kept, generated[0]).out == b""
    with generated[0].open("ab") as file:
        file.write(b'{"timestamp":"2024-11-20T18:00:00Z","event":"added"}\n')
    assert run("cat", "--cursor-file", kept, generated[0]).out.count(b"\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generated", "place"]


def test_expired_cursor_is_an_error(generated: list[Path]) -> None:
    """When the bytes under a cursor are gone, one line says so and nothing is printed."""
    cursor = token_of(run("cat", "--print-cursor", generated[0]).err)
    generated[0].write_bytes(b'{"timestamp":"2024-11-20T18:00:00Z","event":"another file"}\n')
    done = run("cat", "--cursor", cursor, generated[0])
    assert (done.code, done.out, done.err.count("\n")) == (2, b"", 1)
    assert "source-0.log" in done.err


@pytest.mark.parametrize("token", ["nonsense", "2.aaaa.", "1.W10."])
def test_wrong_cursor_is_an_error(token: str, generated: list[Path]) -> None:
    """What is no cursor is refused in one line."""
    done = run("cat", "--cursor", token, *generated)
    assert (done.code, done.out, done.err.count("\n")) == (2, b"", 1)


def test_there_is_no_cursor_in_standard_input() -> None:
    """A place in a stream cannot be found again, so none is promised."""
    done = run("cat", "--print-cursor", "-", stdin=b"2024-11-20T18:00:00Z x\n")
    assert (done.code, done.out) == (2, b"")
    assert "stdin" in done.err


# What cannot be read


def test_missing_file_is_said_with_the_nearest_name_and_the_rest_is_printed(generated: list[Path]) -> None:
    """A path that is not there costs the others nothing; the exit code tells."""
    wrong = generated[0].with_name("sorce-2.log")
    done = run("cat", wrong, *generated)
    assert done.out == oracle.merge(contents(generated), output=Output.TEXT).out
    assert done.code == 2
    assert done.err == (
        f"logflume: {wrong}: not-found: There is no such file or folder. "
        f"Did you mean {generated[2]}?\n"
    )  # fmt: skip


def test_nearest_name_is_written_as_the_path_was(generated: list[Path]) -> None:
    """Who gives a relative path is shown a relative one, and where a folder is wrong, that folder."""
    done = run("cat", "genrated/source-0.log", cwd=generated[0].parents[1])
    assert "Did you mean generated?" in done.err


def test_unreadable_file_is_a_gap(generated: list[Path]) -> None:
    """A file whose mode forbids reading is named with the reason, and the others are printed."""
    generated[1].chmod(0)
    done = run("cat", *generated, timid=True)
    assert done.out == oracle.merge(contents([generated[0], generated[2]]), output=Output.TEXT).out
    assert done.code == 2
    assert done.err.startswith("logflume: source-1.log: permission-denied: ")
    assert done.err.count("\n") == 1


def test_quiet_does_not_hide_gaps(generated: list[Path]) -> None:
    """--quiet is about progress; what is missing is said all the same."""
    done = run("cat", "--quiet", generated[0], generated[0].with_name("gone.log"))
    assert done.code == 2
    assert "not-found" in done.err


def test_damaged_file_gives_what_can_be_read(generated: list[Path], tmp_path: Path) -> None:
    """Of a gzip file cut short the beginning is printed, and the gap is said."""
    packed = gzip.compress(generated[0].read_bytes())
    (tmp_path / "cut.log.gz").write_bytes(packed[: len(packed) // 2])
    done = run("cat", tmp_path / "cut.log.gz")
    assert done.code == 2
    assert generated[0].read_bytes().startswith(done.out[: done.out.rindex(b"\n")])
    assert len(done.out) > 1_000
    assert "corrupt" in done.err


def test_special_file_does_not_hang(tmp_path: Path) -> None:
    """A named pipe that nobody writes to is a gap, and is not waited for."""
    os.mkfifo(tmp_path / "pipe.log")
    done = run("cat", tmp_path / "pipe.log")
    assert done.code == 2
    assert "special-file" in done.err


def test_names_cannot_command_the_terminal(tmp_path: Path) -> None:
    """Control characters in names are shown, not sent, also where an error tells them."""
    done = run("cat", tmp_path / "\x1b]0;evil\x07\n.log")
    assert done.err.isprintable() or done.err.rstrip("\n").isprintable()
    assert done.err.count("\n") == 1


def test_empty_folder_gives_nothing(tmp_path: Path) -> None:
    """Where there is no file there is nothing to print, and that is no error."""
    done = run("cat", tmp_path)
    assert (done.code, done.out, done.err) == (0, b"", "")


def test_closed_standard_input_is_a_gap(generated: list[Path]) -> None:
    """Reading from a descriptor that is closed says so, and the file beside it is printed."""
    command = " ".join(COMMAND) + ' cat - "$0" <&-'
    done = subprocess.run(["bash", "-c", command, generated[0]], env=environment(), capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stdout == generated[0].read_bytes()
    assert done.stderr.startswith(b"logflume: stdin: unreadable: ")


def test_ndjson_is_valid_json(tmp_path: Path) -> None:
    """Each line of NDJSON output is an object, whatever the log holds."""
    (tmp_path / "odd.log").write_bytes(b'\xff\x00\x1b[31m\n{"timestamp":\n"just a string"\n\r\n')
    lines = run("cat", "--output", "ndjson", tmp_path).out.splitlines()
    assert len(lines) == 4
    assert all(isinstance(json.loads(line), dict) for line in lines)
