"""Bring what is captured to one sink, in a thread of its own, for as long as it takes.

Holds: one batch. It waits for its own sink only. A place is kept after its sink has acknowledged what lies before it,
       never earlier: what is offered again after a crash is the last batch at most.
Plan:  each stream of the folder is a ``feed``; they take turns. A refused batch is offered again, for ever, after a
       random part of a delay that doubles up to MAX_DELAY_S, or after what the sink asks for.
Order: of each stream as written. Loss: none. Twice: the last batch, when we end before its place is kept.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logflume.errors import LogflumeError, SinkRefused
from logflume.ship.cursors import Cursor
from logflume.ship.feed import Bases, Feed
from logflume.sources.captured import SIDE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from logflume.abc import Log, Sink
    from logflume.ship.feed import Batch

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 30.0
"""A sink that refuses is asked again after so long at most, unless it asks for longer."""

MAX_ASKED_S = 300.0
"""No sink can ask for a longer delay."""

LOOK_S = 0.05
"""How often it is looked for more where nothing comes."""

LIST_S = 1.0
"""How often the folder is asked for new streams."""


@dataclass
class Progress:
    """How far one sink is.

    Attributes:
        sink: its name.
        sent_bytes, batches: what it has acknowledged since this process began.
        lost_bytes: what was missing, and it was told so.
        refusals: how often it refused.
        refused: why it refused the batch that it is offered now; None when it does not.
        trouble: what else is wrong.
        done: whether it has all that there is, and nothing more comes.
    """

    sink: str
    sent_bytes: int = 0
    batches: int = 0
    lost_bytes: int = 0
    refusals: int = 0
    refused: str | None = None
    trouble: str | None = None
    done: bool = False


class Delivery(threading.Thread):
    """One sink's thread, from when it is started until it has all or is told to stop."""

    def __init__(
        self, folder: Path, log: Log, sink: Sink, ended: Callable[[], bool], *, state: Path | None = None
    ) -> None:
        """Open nothing yet.

        Args:
            folder: where the streams lie.
            log: what finds them.
            sink: where they go; it is closed at the end.
            ended: tells that nobody writes any more; asked when there is nothing to read.
            state: where the cursor is kept; beside the streams if None.
        """
        super().__init__(name=f"logflume-sink-{sink.name}", daemon=True)
        self.progress = Progress(sink.name)
        self._folder = folder
        self._log = log
        self._sink = sink
        self._ended = ended
        self._stopping = threading.Event()
        self._jitter = random.Random()  # noqa: S311 - it spreads load, it keeps no secret
        kept = state or folder / SIDE / "cursors"
        kept.mkdir(parents=True, exist_ok=True)
        self._cursor = Cursor(kept, sink.name)
        self.progress.trouble = self._cursor.damage
        self._cursor.save({})  # so that whoever keeps a budget knows of this sink
        self._feeds: dict[str, Feed] = {}
        self._listed_s = float("-inf")

    def run(self) -> None:
        """Deliver to the end."""
        try:
            self._deliver_all()
        except Exception as error:  # noqa: BLE001 - the edge of a thread; it is told
            self.progress.trouble = f"{type(error).__name__}: {error}"
        finally:
            for feed in self._feeds.values():
                feed.close()
            self._sink.close()
            self._cursor.close()

    def stop(self) -> None:
        """Let it end after the batch that it is at."""
        self._stopping.set()

    def _deliver_all(self) -> None:
        last = False
        while not self._stopping.is_set():
            self._list(at_once=last)
            moved = False
            for feed in self._feeds.values():
                batch = feed.next_batch(last=last)
                if batch is not None and self._send(batch):
                    moved = True
            self._note_failures()
            if moved:
                continue
            if last:
                self.progress.done = True
                return
            last = self._ended()
            if not last:
                self._stopping.wait(LOOK_S)

    def _list(self, *, at_once: bool) -> None:
        now_s = time.monotonic()
        if not at_once and now_s - self._listed_s < LIST_S:
            return
        self._listed_s = now_s
        for source in self._log.sources():
            if source.name not in self._feeds:
                place = self._cursor.places.get(source.name)
                self._feeds[source.name] = Feed(source, place, Bases(self._folder, source.name).offset_of)

    def _note_failures(self) -> None:
        failed = [feed.failed for feed in self._feeds.values() if feed.failed is not None]
        self.progress.trouble = f"{failed[0].source}: {failed[0].detail}" if failed else self._cursor.damage

    def _send(self, batch: Batch) -> bool:
        """Offer a batch until it is taken, and keep the place; False when we are told to stop before."""
        delay_s = FIRST_DELAY_S
        while not self._stopping.is_set():
            asked_s = self._offer(batch)
            if self.progress.refused is None:
                self._cursor.save({batch.stream: batch.place})
                return True
            self._stopping.wait(self._jitter.uniform(0, delay_s) if asked_s is None else min(asked_s, MAX_ASKED_S))
            delay_s = min(2 * delay_s, MAX_DELAY_S)
        return False

    def _offer(self, batch: Batch) -> float | None:
        """Offer it once; return after how many seconds the sink wants to be asked again, if it says so."""
        try:
            self._sink.write(batch.block)
        except LogflumeError as error:
            self.progress.refusals += 1
            self.progress.refused = str(error)
            return error.retry_after_s if isinstance(error, SinkRefused) else None
        self.progress.refused = None
        self.progress.sent_bytes += len(batch.block)
        self.progress.batches += 1
        self.progress.lost_bytes += batch.lost_bytes
        return None
