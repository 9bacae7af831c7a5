"""``logflume doctor``: each way in which a log can be missing is named, with what to do."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

import logflume
from tests.integration.command import COMMAND, DEFERRED, SAMPLE, environment, run

LINE = b"2024-11-20T10:00:00Z INFO hello\n"
OLD_S = 1_700_000_000


def lines_about(subject: str | Path, *words: str | Path, timid: bool = False, code: int = 0) -> list[str]:
    """Run the doctor; return what it says of a subject, each line with its verdict."""
    done = run("doctor", *words, timid=timid)
    assert (done.code, done.err) == (code, "")
    found = [line for line in done.text.splitlines() if line[9:].startswith(f"{subject}: ")]
    return [line[:9] + line[9 + len(f"{subject}: ") :] for line in found]


@pytest.mark.parametrize(
    "subject", ["python", "core", "zstd", "open files", "inotify", "temporary files", "index cache"]
)
def test_set_up_is_checked(subject: str) -> None:
    """Without a path, each part of the set-up has a line, and nothing here is wrong."""
    (line,) = lines_about(subject)
    assert line.split()[0] in ("ok", "note")


def test_healthy_log_is_described() -> None:
    """A real attempt's files are found, sized, and their times recognised by the core."""
    worker = lines_about(DEFERRED / "attempt=1.log", DEFERRED)
    assert worker[0].startswith("ok       4.9 kB, 15 lines; ")
    assert worker[1].startswith("ok       times: JSON, key 'timestamp'; the first is 2026-11-21T02:18:01.359Z")
    assert len(worker) == 2
    assert len(lines_about(DEFERRED / "attempt=1.log.trigger.2.log", DEFERRED)) == 2


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"2024-11-20T10:00:00Z INFO x\n", "RFC 3339;"),
        (b"2024-11-20T10:00:00 INFO x\n", "RFC 3339, which names no zone: taken as that of --zone;"),
        (b"[2024-11-20T12:34:56.123+0000] {a.py:1} INFO - x\n", "[date and time] as Airflow 2 writes it;"),
        (b"2024-11-20 12:34:56,123 INFO x\n", "date and time as Python logging writes it, which names no zone"),
        (b"I1120 12:34:56.123456    7 a.go:1] x\n", "klog, which names no zone: taken as that of --zone, and no year"),
        (b"<34>1 2024-11-20T12:34:56Z host app - - - x\n", "syslog (RFC 5424);"),
        (b"<34>Nov 20 12:34:56 host app: x\n", "syslog (RFC 3164), which names no zone"),
        (b'1.2.3.4 - - [20/Nov/2024:12:34:56 +0000] "GET / HTTP/1.1" 200 1\n', "web server access log;"),
        (b'{"level": "info", "ts": 1732106096.5, "msg": "x"}\n', "JSON, key 'ts';"),
        (b'{"time": "2024-11-20T12:34:56Z", "timestamp": 5}\n', "JSON, key "),
        (b"\nno time in this line\n" + LINE, "RFC 3339;"),
    ],
)
def test_format_of_times_is_named(content: bytes, form: str, tmp_path: Path) -> None:
    """What the core recognises is named, and whether zone and year are in it."""
    log = tmp_path / "app.log"
    log.write_bytes(content)
    assert lines_about(log, log)[1].startswith(f"ok       times: {form}")


def test_log_without_times_is_noted_and_a_format_can_be_tried(tmp_path: Path) -> None:
    """Unknown times are a note that says how to give the format; given, it is tried."""
    log = tmp_path / "app.log"
    log.write_bytes(b"20.11.2024 10-00-00 first\n")
    (line,) = lines_about(log, log)[1:]
    assert line.startswith(
        "note     none of its first 1 lines has a time that is known. Give its format: --time-format"
    )
    (line,) = lines_about(log, log, "--time-format", "%d.%m.%Y %H-%M-%S")[1:]
    assert "the first is 2024-11-20T10:00:00.000Z" in line


def test_late_lines_are_noted(tmp_path: Path) -> None:
    """A log that is not sorted is told with how many records are late."""
    log = tmp_path / "app.log"
    log.write_bytes(LINE.replace(b"10:", b"11:") + LINE + LINE)
    assert lines_about(log, log)[2].startswith("note     2 of 3 records are older than one before them.")


def test_growing_is_told_from_resting(tmp_path: Path) -> None:
    """A file written just now grows; one written long ago does not."""
    log = tmp_path / "app.log"
    log.write_bytes(LINE)
    assert "; growing, last written " in lines_about(log, log)[0]
    os.utime(log, (OLD_S, OLD_S))
    assert "; not growing, last written " in lines_about(log, log)[0]


def test_empty_log_is_noted(tmp_path: Path) -> None:
    """Of an empty file it is said where its lines may be."""
    log = tmp_path / "app.log"
    log.touch()
    (line,) = lines_about(log, log)
    assert line.startswith("note     is empty; growing, last written ")
    assert "PYTHONUNBUFFERED=1" in line


def test_rotated_files_are_found(tmp_path: Path) -> None:
    """The set of a rotated log is counted as one source."""
    for name, word in {"app.log": b"three", "app.log.1": b"2nd..", "app.log.2": b"first"}.items():
        (tmp_path / name).write_bytes(LINE.replace(b"hello", word))
    assert lines_about(tmp_path / "app.log", tmp_path)[0].startswith("ok       3 files of rotation, 96 B, 3 lines; ")


def test_missing_path_is_a_problem_with_the_nearest_name(tmp_path: Path) -> None:
    """What is not there is said, with what may have been meant."""
    (tmp_path / "app.log").write_bytes(LINE)
    (line,) = lines_about(tmp_path / "ap.log", tmp_path / "ap.log", code=1)
    assert line == f"problem  There is no such file or folder. Did you mean {tmp_path / 'app.log'}?"


def test_folder_that_denies_is_named(tmp_path: Path) -> None:
    """When a folder on the way may not be entered, that one is named, and how to open it."""
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    (inner / "app.log").write_bytes(LINE)
    (tmp_path / "closed").chmod(0)
    try:
        (line,) = lines_about(inner / "app.log", inner / "app.log", timid=True, code=1)
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert f"may not enter {tmp_path}/closed (mode 0000, owned by " in line
    assert f"chmod o+x '{tmp_path}/closed'" in line


def test_file_that_denies_is_named(tmp_path: Path) -> None:
    """When the file itself may not be read, its mode and owner are told."""
    log = tmp_path / "app.log"
    log.write_bytes(LINE)
    log.chmod(0)
    (line,) = lines_about(log, log, timid=True, code=1)
    assert f"may not read {log} (mode 0000, owned by " in line
    assert f"chmod o+r '{log}'" in line


def test_special_files_are_problems(tmp_path: Path) -> None:
    """A pipe and a socket are no logs, and looking at them does not hang."""
    os.mkfifo(tmp_path / "pipe.log")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s.log"))
        done = run("doctor", tmp_path / "pipe.log", tmp_path / "s.log")
    assert done.code == 1
    assert done.text.count("problem  ") == done.text.count("special-file: ") == 2


def test_link_out_of_the_folder_is_noted(tmp_path: Path) -> None:
    """A symlink that leaves the folder is not followed, and that is told."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "app.log").write_bytes(LINE)
    (tmp_path / "logs" / "away.log").symlink_to("/etc/passwd")
    (line,) = lines_about(tmp_path / "logs" / "away.log", tmp_path / "logs")
    assert line.startswith("note     outside-root: ")


def test_link_that_is_named_is_followed(tmp_path: Path) -> None:
    """A path that is itself a link is told with where it leads."""
    (tmp_path / "app.log").write_bytes(LINE)
    (tmp_path / "link.log").symlink_to("app.log")
    first, second, _ = lines_about(tmp_path / "link.log", tmp_path / "link.log")
    assert first == f"note     is a symbolic link to {tmp_path / 'app.log'}."
    assert second.startswith("ok       32 B, 1 lines; ")


def test_damaged_file_is_a_problem(tmp_path: Path) -> None:
    """A gzip file that was cut short is told as corrupt."""
    packed = gzip.compress(os.urandom(4096))
    (tmp_path / "cut.log.gz").write_bytes(packed[:2048])
    assert lines_about(tmp_path / "cut.log.gz", tmp_path, code=1)[0].startswith("problem  corrupt: ")


def test_folder_without_a_log_is_a_problem(tmp_path: Path) -> None:
    """An empty folder is told as the wrong place."""
    (line,) = lines_about(tmp_path, tmp_path, code=1)
    assert line == "problem  holds no file. Check that this is where the program writes its logs."


def test_many_sources_are_looked_at_in_part(tmp_path: Path) -> None:
    """Of a folder of very many files a hundred are looked at, and that is told."""
    for number in range(103):
        (tmp_path / f"{number}.log").write_bytes(LINE)
    (line,) = lines_about(tmp_path, tmp_path)
    assert line.startswith("note     3 of 103 sources were not looked at.")


def test_standard_input_is_left_alone() -> None:
    """Looking at a stream would consume it."""
    assert lines_about("-", "-")[0].startswith("note     ")


def test_full_cache_of_another_is_a_problem(tmp_path: Path) -> None:
    """A cache folder that may not be written is told, and how to choose another."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o555)
    done = run("doctor", timid=True, XDG_CACHE_HOME=str(cache))
    assert done.code == 1
    assert f"cannot write in {cache} (mode 0555, " in done.text
    assert "Set XDG_CACHE_HOME" in done.text


def test_core_that_does_not_load_is_a_problem(tmp_path: Path) -> None:
    """Where the compiled core is missing the doctor still runs and says so; other commands point to it."""
    package = tmp_path / "logflume"
    shutil.copytree(Path(logflume.__file__).parent, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    environ = environment(PYTHONPATH=str(tmp_path))
    doctor = subprocess.run([*COMMAND, "doctor", SAMPLE], env=environ, capture_output=True, text=True, check=False)
    assert doctor.returncode == 1
    assert "problem  core: does not load: " in doctor.stdout
    assert "problem  paths: were not looked at: " in doctor.stdout
    assert doctor.stderr == ""
    cat = subprocess.run([*COMMAND, "cat", SAMPLE], env=environ, capture_output=True, text=True, check=False)
    assert cat.returncode == 2
    assert cat.stderr.startswith("logflume: logflume does not load: ")
    assert cat.stderr.endswith("Run: logflume doctor\n")


def test_verdicts_are_coloured_when_asked_for() -> None:
    """--color always paints the verdicts, and a pipe gets none by itself."""
    assert "\x1b[32mok " in run("doctor", "--color", "always").text
    assert "\x1b" not in run("doctor").text


def settings(folder: Path, text: str, command: str = "true") -> Path:
    """Write a file of settings with one child."""
    path = folder / "logflume.toml"
    path.write_text(f'[supervise]\nfolder = "logs"\n[children.it]\ncommand = ["{command}"]\n{text}')
    return path


def test_what_is_to_be_captured_is_checked(tmp_path: Path) -> None:
    """A file of settings that is right has a line for each of its parts, and nothing is left behind."""
    path = settings(tmp_path, '[sinks.archive]\nkind = "file"\npath = "archive-{child}.log"\n')
    words = ("--config", path)
    assert lines_about("settings", *words) == [f"ok       {path} can be used."]
    assert lines_about("children.it", *words) == ["ok       true can be run."]
    assert lines_about("sinks.archive", *words) == ["ok       can be made."]
    (folder,) = lines_about(tmp_path / "logs" / "it", *words)
    assert "are free" in folder
    (clock,) = lines_about("clock", *words)
    assert clock.split()[0] in ("ok", "note")
    assert [each.name for each in tmp_path.iterdir()] == ["logflume.toml"]


@pytest.mark.parametrize(
    ("text", "subject", "told"),
    [
        ("restrat = 1", "settings", "Did you mean restart?"),
        ('user = "nobody-at-all"', "children.it", "nobody-at-all"),
        ('working_folder = "nowhere"', "children.it", "its working folder"),
        ('[sinks.x]\nkind = "nothing-like-it"', "sinks.x", "there is no such kind of sinks"),
    ],
)
def test_what_is_wrong_with_a_capture_is_told(tmp_path: Path, text: str, subject: str, told: str) -> None:
    """A mistake, a user, a folder, a sink that cannot be: each is a problem with its name."""
    found = lines_about(subject, "--config", settings(tmp_path, text), code=1)
    assert any(line.startswith("problem") and told in line for line in found)


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A command that cannot be run is found before it is tried."""
    path = settings(tmp_path, "", "no-such-command")
    assert "is no command that can be run" in lines_about("children.it", "--config", path, code=1)[0]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Where output is to be kept and may not be, it is told whose folder that is."""
    path = settings(tmp_path, "")
    (tmp_path / "logs").mkdir(mode=0o500)
    (found,) = lines_about(tmp_path / "logs" / "it", "--config", path, timid=True, code=1)
    assert "cannot be written by" in found
    assert "mode 0500" in found


def test_a_canary_goes_the_whole_way(tmp_path: Path) -> None:
    """Numbered lines are captured and shipped; where they can be read again, each is there once and in order."""
    path = settings(tmp_path, '[sinks.archive]\nkind = "file"\npath = "archive-{child}.log"\n')
    for _ in range(2):
        assert lines_about("canary to archive", "--config", path, "--canary") == [
            "ok       1000 lines came, each once and in order."
        ]
    assert len((tmp_path / "archive-logflume-canary.log").read_text().splitlines()) == 2000


def test_a_canary_that_is_refused_is_told(tmp_path: Path) -> None:
    """A sink that refuses is a problem, with what it said."""
    path = settings(tmp_path, '[sinks.full]\nkind = "file"\npath = "/dev/full"\n')
    (found,) = lines_about("canary to full", "--config", path, "--canary", code=1)
    assert found.startswith("problem  full: No space left on device")
