"""Bring what a folder holds to several sinks: a process of its own, so that no sink can harm a capture.

Holds: a thread and a batch for each sink, MAX_SINKS of them; none waits for another.
Plan:  a ``delivery`` for each sink. They end when nobody captures into the folder any more, nobody has its newest file
       open for writing, and all is delivered; or when they are told to stop.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from logflume.catalog import log_of_paths
from logflume.errors import UsageError
from logflume.ship.delivery import Delivery
from logflume.ship.holes import has_writers
from logflume.sources.captured import SIDE, is_captured
from logflume.sources.opening import is_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from logflume.abc import Sink
    from logflume.ship.delivery import Progress
    from logflume.ship.outgoing import Stage

MAX_SINKS = 64
"""Each costs a thread, a batch and descriptors."""

_CHANGED = "outgoing"

NOTE_S = 0.5
"""How often progress is noted beside the streams, for ``logflume status``."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one folder holds, and where it goes.

    Attributes:
        folder: a capture's, or any with log files.
        sinks: where it goes; they are closed at the end.
        state: where cursors are kept; in the folder if None.
        stage: makes what is applied to each stream on its way; None: they leave as they are.
    """

    folder: Path
    sinks: Sequence[Sink]
    state: Path | None = None
    stage: Callable[[], Stage] | None = None


def ship(
    folder: Path,
    sinks: Sequence[Sink],
    *,
    follow: bool = False,
    state: Path | None = None,
    ends_at_once: bool = False,
    looked: Callable[[Sequence[Progress]], bool] = lambda _: True,
) -> list[Progress]:
    """Deliver what is in ``folder``, and what comes while it is being captured into, to every sink; return how far.

    Args:
        folder: a capture's, or any with log files.
        sinks: where it goes; they are closed at the end.
        follow: go on although nobody captures.
        state: where cursors are kept; in the folder if None.
        ends_at_once: end with what is there, although somebody captures.
        looked: is told the progress now and then; False lets all end after their present batch.

    Raises:
        UsageError: too many sinks, or two of one name; another process ships to one of them from here.
        OSError: cursors cannot be kept.

    Order:  of each stream as written, for each sink.
    Loss:   none; what was given up before it was read is a line in its place.
    Memory: a batch for each sink, and a reader for each of its streams.
    """
    return ship_all([Job(folder, sinks, state)], follow=follow, ends_at_once=ends_at_once, looked=looked)


def ship_all(
    jobs: Sequence[Job],
    *,
    follow: bool = False,
    ends_at_once: bool = False,
    looked: Callable[[Sequence[Progress]], bool] = lambda _: True,
) -> list[Progress]:
    """Do the same for several folders; the progress of all of them is one list, folder by folder."""
    for job in jobs:
        names = [sink.name for sink in job.sinks]
        if not names or len(set(names)) < len(names):
            raise UsageError(f"name 1 to {MAX_SINKS} sinks, each once")
        _refuse_to_ship_itself(job.folder, job.state)
    if not 0 < sum(len(job.sinks) for job in jobs) <= MAX_SINKS:
        raise UsageError(f"name 1 to {MAX_SINKS} sinks, counted for each folder")
    deliveries = {job.folder: _deliveries(job, follow=follow, ends_at_once=ends_at_once) for job in jobs}
    for job in jobs:
        if job.stage is not None:
            _note_change(job.folder)
    threads = [delivery for each in deliveries.values() for delivery in each]
    for delivery in threads:
        delivery.start()
    progress = [delivery.progress for delivery in threads]
    try:
        while any(delivery.is_alive() for delivery in threads):
            _note_all(deliveries)
            if not looked(progress):
                break
            _join_for(threads, NOTE_S)
    finally:
        for delivery in threads:
            delivery.stop()
        _note_all(deliveries)
    return progress


def _deliveries(job: Job, *, follow: bool, ends_at_once: bool) -> list[Delivery]:
    log = log_of_paths([job.folder])

    def ended() -> bool:
        return ends_at_once or (not follow and not is_written(job.folder))

    return [Delivery(job.folder, log, sink, ended, state=job.state, stage=job.stage) for sink in job.sinks]


def _refuse_to_ship_itself(folder: Path, state: Path | None) -> None:
    """Refuse a state that would be taken for logs of the folder; what is hidden is not.

    Raises:
        UsageError: it is so.
    """
    if state is None or not is_inside(str(state), str(folder)):
        return
    within = state.resolve().relative_to(folder.resolve()).parts
    if not any(part.startswith(".") for part in within):
        raise UsageError(f"{state} lies in {folder}, and would be shipped to the sinks: choose another folder for it")


def is_written(folder: Path) -> bool:
    """Tell whether somebody captures into a folder, or a process that was captured still writes to it."""
    if is_captured(folder):
        return True
    for path in folder.glob("*.log"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if (folder / SIDE / f"{path.name}.lock").exists() and has_writers(file.fileno()):
                return True
    return False


def _join_for(deliveries: Sequence[Delivery], seconds: float) -> None:
    deadline_s = time.monotonic() + seconds
    for delivery in deliveries:
        delivery.join(max(0.0, deadline_s - time.monotonic()))


def _note_change(folder: Path) -> None:
    """Note that what is shipped from a folder is not what lies there: whoever ships from it later should know."""
    with contextlib.suppress(OSError):  # a note only
        (folder / SIDE).mkdir(exist_ok=True)
        (folder / SIDE / _CHANGED).touch()


def is_changed(folder: Path) -> bool:
    """Tell whether what was shipped from a folder was changed on its way: redacted, say."""
    return (folder / SIDE / _CHANGED).exists()


def _note_all(deliveries: Mapping[Path, Sequence[Delivery]]) -> None:
    for folder, each in deliveries.items():
        _note(folder, [delivery.progress for delivery in each])


def _note(folder: Path, progress: Sequence[Progress]) -> None:
    note = {"pid": os.getpid(), "time_ns": time.time_ns(), "sinks": [asdict(each) for each in progress]}
    beside = folder / SIDE / "shipper.part"
    with contextlib.suppress(OSError):  # a note only
        beside.write_text(json.dumps(note) + "\n", encoding="utf-8")
        beside.replace(beside.with_suffix(".json"))
