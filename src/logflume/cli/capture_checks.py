"""What ``doctor --config`` looks at: commands, users, folders, disk, clock, and sinks, if wanted with real lines.

Holds: nothing is changed but for a small file that is made and removed where output is to be kept; with a canary,
       CANARY_LINES lines go the whole way, and are sent to every sink.
Plan:  one finding a fact. The canary is captured and shipped by what captures and ships everything else.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
import time
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from logflume.cli.findings import Finding, note, ok, owner_and_mode, problem, this_user
from logflume.errors import UsageError
from logflume.ship.config import read_config
from logflume.ship.holes import punch_hole
from logflume.ship.keeper import plan_of
from logflume.ship.recording import Mode, Recording
from logflume.ship.shipper import Job, ship_all
from logflume.sizes import show_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from logflume.abc import Sink
    from logflume.ship.config import ChildSettings, Config
    from logflume.ship.delivery import Progress

CANARY_LINES = 1000
CANARY_S = 30.0
"""How long a sink may take for these."""

_CANARY = "logflume-canary"
_UNSYNCHRONISED = 5  # adjtimex(2): TIME_ERROR
_TIMEX_BYTES = 512  # larger than the structure on any system
_EARLIEST_S = 1_700_000_000
_HOLE_BYTES = 64 * 1024
_FILE_KIND = "file"
_REFUSALS = 3


def iter_capture_findings(path: Path, *, canary: bool) -> Iterator[Finding]:
    """Look at all that a file of settings names; ``canary``: send lines the whole way."""
    try:
        config = read_config(path)
    except UsageError as error:
        yield problem("settings", str(error), "Mend it; docs/reference/capture-settings.md has every setting.")
        return
    yield ok("settings", f"{path} can be used")
    yield _clock()
    for child in config.children:
        yield from _iter_child(child, config)
    for name, folder in config.folders():
        yield from _iter_folder(name, folder, config)
    yield from _iter_sinks(config)
    if canary:
        yield from _iter_canary(config)


def _clock() -> Finding:
    if time.time() < _EARLIEST_S:
        return problem(
            "clock", f"it is {time.strftime('%Y-%m-%d')}", "Set the clock: services refuse lines that are so old."
        )
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state == _UNSYNCHRONISED:
        return note(
            "clock", "nothing keeps it right", "Run an NTP client; several services refuse lines of the future."
        )
    return ok("clock", "it is kept right")


def _iter_child(child: ChildSettings, config: Config) -> Iterator[Finding]:
    about = f"children.{child.name}"
    word = child.run.command[0]
    search = (child.run.environment or {}).get("PATH", os.environ.get("PATH"))
    if shutil.which(word, path=search) is None:
        yield problem(about, f"{word} is no command that can be run", "Give its path, or PATH in `environment`.")
    else:
        yield ok(about, f"{word} can be run")
    try:
        supervised = config.supervised
        plan = {} if supervised is None else plan_of(child, supervised.when_killed)
    except UsageError as error:
        yield problem(about, str(error), "Make that user, or name another.")
        return
    if "uid" in plan and os.geteuid() not in (0, plan["uid"]):
        yield problem(about, f"{this_user()} cannot become {child.run.user}", "Supervise as root, or leave `user` out.")
    folder = child.run.working_folder
    if folder is not None and not folder.is_dir():
        yield problem(about, f"its working folder {folder} is not there", "Make it.")


def _iter_folder(name: str, folder: Path, config: Config) -> Iterator[Finding]:
    captured = next(each.captured for each in config.children if each.name == name)
    above = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=above, prefix=".logflume-doctor-") as file:
            file.write(b"\0" * _HOLE_BYTES)
            file.flush()
            refused = _refused_hole(Path(file.name))
    except OSError as error:
        whose = f"{above} cannot be written by {this_user()}: {error.strerror}; {owner_and_mode(str(above))}"
        yield problem(str(folder), whose, "Let that user write there, or choose another folder.")
        return
    if refused and captured.mode is Mode.DIRECT:
        todo = 'Use mode = "pipe", which begins new files instead.'
        yield problem(str(folder), f"its file system punches no holes ({refused}), so the budget cannot be kept", todo)
    free = shutil.disk_usage(above).free
    wanted = captured.budget * (1 + captured.apart)
    if free < wanted:
        text = f"{show_size(free)} are free, and the budget is {show_size(wanted)}"
        yield note(str(folder), text, "Make room, or give a smaller `budget`.")
    else:
        yield ok(str(folder), f"can be written; {show_size(free)} are free for {show_size(wanted)}")


def _refused_hole(path: Path) -> str | None:
    try:
        punch_hole(path, 0, _HOLE_BYTES)
    except OSError as error:
        return error.strerror
    return None


def _iter_sinks(config: Config) -> Iterator[Finding]:
    for chosen in config.sinks:
        try:
            chosen.make(Path(tempfile.gettempdir()) / _CANARY, {"child": _CANARY}).close()
        except (UsageError, ImportError) as error:
            yield problem(f"sinks.{chosen.name}", str(error), "Mend it.")
        else:
            todo = "" if chosen.table.get("kind") == _FILE_KIND else "Ask with --canary whether it takes lines."
            yield ok(f"sinks.{chosen.name}", f"can be made. {todo}".rstrip())


def _iter_canary(config: Config) -> Iterator[Finding]:
    """Capture numbered lines, ship them to every sink, and see whether they are taken, and came."""
    mark = uuid.uuid4().hex
    lines = [f"{_CANARY} {mark} {number} of {CANARY_LINES}" for number in range(1, CANARY_LINES + 1)]
    with tempfile.TemporaryDirectory(prefix=_CANARY) as name:
        folder = Path(name) / _CANARY
        _capture("\n".join(lines) + "\n", folder)
        try:
            sinks = config.make_sinks(folder, {"child": _CANARY})
        except (UsageError, ImportError):
            return  # that was told
        if not sinks:
            yield note("canary", "there is no sink", "Name one in [sinks.NAME].")
            return
        progress = _ship(folder, sinks, config)
    for each, sink in zip(progress, sinks, strict=True):
        yield _verdict(each, sink, lines if config.outgoing is None else None)


def _capture(text: str, folder: Path) -> None:
    recording = Recording(folder, Mode.DIRECT)
    os.write(recording.outputs[1], text.encode())
    recording.close()


def _ship(folder: Path, sinks: Sequence[Sink], config: Config) -> list[Progress]:
    deadline_s = time.monotonic() + CANARY_S
    stage = None if config.outgoing is None else partial(config.outgoing.stage, {"child": _CANARY})

    def goes_on(progress: Sequence[Progress]) -> bool:
        return time.monotonic() < deadline_s and not all(each.done or each.refusals >= _REFUSALS for each in progress)

    return ship_all([Job(folder, sinks, None, stage)], looked=goes_on)


def _verdict(progress: Progress, sink: Sink, lines: Sequence[str] | None) -> Finding:
    about = f"canary to {progress.sink}"
    if progress.trouble or progress.refused:
        return problem(
            about, progress.trouble or progress.refused or "", "Mend that; captured output waits on the disk."
        )
    if progress.rejected:
        return problem(about, f"{progress.rejected} lines are refused for good: {progress.why_rejected}", "Mend that.")
    if not progress.done:
        return problem(about, f"not all was taken within {CANARY_S:.0f} s", "See why it is so slow.")
    path = getattr(sink, "path", None)
    if lines is None or not isinstance(path, Path):
        return ok(about, f"{CANARY_LINES} lines were taken")
    mark = lines[0].split()[1]
    came = [line for line in path.read_text("utf-8", "replace").splitlines() if mark in line]
    if came != list(lines):
        return problem(about, f"of {CANARY_LINES} lines {len(came)} came, not each once and in order", "Report it.")
    return ok(about, f"{CANARY_LINES} lines came, each once and in order")
