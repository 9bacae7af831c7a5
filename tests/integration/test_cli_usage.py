"""Wrong words, help, version, completion: what the command says about itself."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

import logflume
from logflume.errors import UsageError
from logflume.moments import parse_moment, show_moment, show_span
from logflume.sizes import parse_size, show_size
from tests.integration.command import COMMAND, environment, run

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = [
    "cat",
    "tail",
    "grep",
    "stat",
    "doctor",
    "serve",
    "token",
    "run",
    "supervise",
    "ship",
    "drain",
    "replay",
    "fsck",
    "status",
    "gen",
    "completion",
]
NOW_NS = 1_732_106_096_000_000_000  # 2024-11-20T12:34:56Z, a Wednesday; 13:34:56 in Berlin


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_every_command(words: list[str]) -> None:
    """Without words, or when asked, the command lists what it can do."""
    done = run(*words)
    assert done.code == 0
    assert [name for name in COMMANDS if re.search(rf"^  {name} +\S", done.text, re.MULTILINE)] == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    """Each command's help says in a sentence what it is for, and explains each option."""
    done = run(name, "--help", COLUMNS="100")
    assert done.code == 0
    assert re.match(rf"Usage: logflume {name} .*\n\n  [A-Z].*\.\n", done.text)
    options = done.text.partition("\nOptions:\n")[2]
    starts = re.findall(r"^  (-.*)$", options, re.MULTILINE)
    assert starts
    mute = [line for line in starts if not re.search(r"\S  +\S", line) and f"{line}\n    " not in options]
    assert mute == []


def test_version_is_that_of_the_package() -> None:
    """--version says the name and the version."""
    assert run("--version").out == f"logflume {logflume.__version__}\n".encode()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ct"], ["'ct'", "Did you mean 'cat'?", "'logflume --help'"]),
        (["xyzzy"], ["'xyzzy'", "There are: cat, tail, grep, "]),
        (["app.log"], ["'app.log'", "Did you mean 'logflume cat app.log'?"]),
        (["--verion"], ["--verion", "--version"]),
        (["cat"], ["Missing argument", "PATH", "'logflume cat --help'"]),
        (["cat", ""], ["a path is empty"]),
        (["grep"], ["Missing argument", "PATTERN"]),
        (["grep", "x"], ["Missing argument", "PATH"]),
        (["cat", "--outptu", "text", "app.log"], ["--outptu", "--output", "'logflume cat --help'"]),
        (["cat", "--output", "json", "app.log"], ["'--output'", "'json'", "'text', 'ndjson'"]),
        (["cat", "--level", "eror", "app.log"], ["'--level'", "'eror'", "'error'"]),
        (["cat", "--since", "soonish", "app.log"], ["'soonish' is no time; write 2024-11-20T12:34:56Z, "]),
        (["cat", "--zone", "Mars/Base", "app.log"], ["Mars/Base"]),
        (["cat", "--zone", "Mars/Base", "--since", "12:00", "app.log"], ["there is no time zone 'Mars/Base'"]),
        (["cat", "--time-format", "%Q", "app.log"], ["%Q"]),
        (["cat", "--regex", "(", "app.log"], ["bad pattern '('"]),
        (["tail", "-n", "-3", "app.log"], ["'--lines'", "-3"]),
        (["tail", "-"], ["stdin can be read only once: logflume cat - | tail"]),
        (["grep", "-m", "0", "x", "app.log"], ["'--max-count'", "0"]),
        (["run", "--dir", "made", "--sink", "s3:x", "--", "true"], ["'s3:x' is no sink; there are file:PATH, stdout"]),
        (
            ["run", "--dir", "made", "--capture", "pipe", "--when-over", "wait", "true"],
            ["there must be a --sink to wait for"],
        ),
        (["ship", "."], ["say where to: --sink SINK, or --config FILE"]),
        (["ship", "made", "--sink", "stdout"], ["'[FOLDER]'", "'made'"]),
        (["run"], ["Missing argument", "COMMAND"]),
        (["run", "--dir", "app.log", "--", "true"], ["'--dir'", "'app.log'"]),
        (["run", "--dir", "made", "--budget", "1k", "--", "true"], ["a budget is at least 65536 bytes, not 1000"]),
        (
            ["run", "--dir", "made", "--when-over", "wait", "--sink", "stdout", "true"],
            ["cannot be made to wait: capture by a pipe"],
        ),
        (["status", "."], ["nothing was captured into ."]),
        (["gen", "app.log"], ["'DIR'", "'app.log'"]),
        (["gen", "new", "--bytes", "much"], ["'--bytes'", "'much' is no size; write 4096, 830MB or 1.5GiB"]),
        (["gen", "new", "--bytes", "1k", "--lines", "9"], ["this log cannot be made: "]),
        (["gen", "new", "--duplicates", "2"], ["'--duplicates'", "2.0"]),
        (["completion", "csh"], ["'csh'", "'bash', 'zsh', 'fish'"]),
    ],
)
def test_wrong_words_give_one_clear_line(words: list[str], said: list[str], tmp_path: Path) -> None:
    """Whatever is wrong is said in one line on stderr, with what may have been meant; the exit code is 2."""
    (tmp_path / "app.log").write_bytes(b"2024-11-20T12:34:56Z x\n")
    done = run(*words, cwd=tmp_path)
    assert (done.code, done.out, done.err.count("\n")) == (2, b"", 1)
    assert done.err.startswith("logflume: ")
    assert [fragment for fragment in said if fragment not in done.err] == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-11-20T12:34:56.5Z", "2024-11-20T12:34:56.500Z"),
        ("2024-11-20t12:34:56z", "2024-11-20T12:34:56.000Z"),
        ("2024-11-20 12:34:56,789+0100", "2024-11-20T11:34:56.789Z"),
        ("2024-11-20T12:34:56 -05:30", "2024-11-20T18:04:56.000Z"),
        ("2024-11-20 12:34", "2024-11-20T11:34:00.000Z"),
        ("2024-07-20 12:34", "2024-07-20T10:34:00.000Z"),
        ("2024-11-20", "2024-11-19T23:00:00.000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("12:34", "2024-11-20T11:34:00.000Z"),
        ("9:05:07.25", "2024-11-20T08:05:07.250Z"),
        ("12:34Z", "2024-11-20T12:34:00.000Z"),
        ("today", "2024-11-19T23:00:00.000Z"),
        ("yesterday 12:34", "2024-11-19T11:34:00.000Z"),
        ("now", "2024-11-20T12:34:56.000Z"),
        ("15m", "2024-11-20T12:19:56.000Z"),
        ("-15m", "2024-11-20T12:19:56.000Z"),
        ("2h ago", "2024-11-20T10:34:56.000Z"),
        ("1h30m ago", "2024-11-20T11:04:56.000Z"),
        ("3 days 2 hours ago", "2024-11-17T10:34:56.000Z"),
        ("1w", "2024-11-13T12:34:56.000Z"),
        ("@1732106096.25", "2024-11-20T12:34:56.250Z"),
        ("9999-12-31", "2262-04-11T23:47:16.854Z"),
        ("0001-01-01", "1677-09-21T00:12:43.145Z"),
        ("999999999999 weeks ago", "1677-09-21T00:12:43.145Z"),
    ],
)
def test_times_are_read_as_people_write_them(text: str, moment: str) -> None:
    """Each way to write a time means what it should, in Berlin."""
    assert show_moment(parse_moment(text, now_ns=NOW_NS, zone="Europe/Berlin")) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "foo",
        "2024",
        "2024-13-01",
        "2024-02-30",
        "25:00",
        "12:60",
        "12:34:61",
        "Z",
        "+0100",
        "ago",
        "1.5h",
        "5 pc",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(UsageError, match="is no time"):
        parse_moment(text, now_ns=NOW_NS)


@pytest.mark.parametrize(
    ("span_ns", "shown"),
    [
        (0, "0 ms"),
        (300_000, "0.3 ms"),
        (2_000_000, "2 ms"),
        (1_500_000_000, "1.5 s"),
        (90_000_000_000, "1.5 min"),
        (86_400_000_000_000, "1 d"),
    ],
)
def test_lengths_of_time_are_shown_in_their_largest_unit(span_ns: int, shown: str) -> None:
    """A length of time is a short number and a unit."""
    assert show_span(span_ns) == shown


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("830MB", 830_000_000),
        ("10g", 10_000_000_000),
        ("1.5GiB", 1_610_612_736),
        ("64 k", 64_000),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    """Units are powers of 1,000, and of 1,024 with an i."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1e9", "5 bananas", "1.MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (830_123_456, "830.1 MB"),
    ],
)
def test_sizes_are_short(size: int, shown: str) -> None:
    """A size is shown with up to four digits."""
    assert show_size(size) == shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_asks_logflume_itself(shell: str) -> None:
    """What completion prints makes the shell ask logflume for words."""
    done = run("completion", shell)
    assert done.code == 0
    assert "_LOGFLUME_COMPLETE" in done.text


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("logflume st", ["stat", "status"]),
        ("logflume ''", COMMANDS),
        ("logflume cat --outp", ["--output"]),
        ("logflume cat --output ''", ["text", "ndjson"]),
        ("logflume tail --level e", ["error"]),
        ("logflume gen --layout a", ["airflow"]),
    ],
)
def test_bash_completes(words: str, offered: list[str], tmp_path: Path) -> None:
    """In a real bash the printed function offers commands, options and values."""
    command = tmp_path / "logflume"
    command.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    script = (
        'eval "$(logflume completion bash)"; '
        f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        '_logflume_completion logflume; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}:{environment()['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env=environment(PATH=path), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == offered
    assert done.stderr == ""
