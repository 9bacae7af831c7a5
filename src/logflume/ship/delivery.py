"""Bring what is captured to one sink, in a thread of its own, for as long as it takes.

Holds: for each stream a block and a request that is not full; and what is on its way. It waits for its own sink only. A
       place is kept after its sink has acknowledged all that lies before it, never earlier: what is offered again after
       a crash is what was on its way, at most.
Plan:  each stream of the folder is a ``lane``: a ``feed`` that reads and a packer that makes requests. Lanes take
       turns; ``senders`` bring requests to the sink, several at a time if it likes.
Order: of each stream as written. Loss: none, but for what the sink says that it will never take; that is counted.
Twice: what was on its way when we ended.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from logflume.abc import BLOCK_BYTES
from logflume.ship.cursors import Cursor
from logflume.ship.feed import Bases, Feed
from logflume.ship.lane import Lane
from logflume.ship.requests import requests_of
from logflume.ship.senders import Senders
from logflume.sources.captured import SIDE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from logflume.abc import Log, Sink
    from logflume.ship.cursors import Place
    from logflume.ship.outgoing import Stage
    from logflume.ship.requests import Receipt, Request

LOOK_S = 0.05
"""How often it is looked for more where nothing comes."""

LIST_S = 1.0
"""How often the folder is asked for new streams."""

END_S = 5.0
"""How long what is on its way may take to end, when we are told to stop."""


@dataclass
class Progress:
    """How far one sink is.

    Attributes:
        sink: its name.
        sent_bytes, batches, events: what it has acknowledged since this process began: requests, and what is in them.
        parts: how many of these events are parts of lines that were too long for one.
        rejected, why_rejected: how many events it will never take, and why it said so the last time.
        lost_bytes: what was missing, and it was told so.
        refusals: how often it refused.
        refused: why it refused the batch that it is offered now; None when it does not.
        trouble: what else is wrong.
        done: whether it has all that there is, and nothing more comes.
        redacted, left_out: how many places were covered on the way, and how many lines left out.
        counts: how many lines matched each pattern that is counted.
    """

    sink: str
    sent_bytes: int = 0
    batches: int = 0
    events: int = 0
    parts: int = 0
    rejected: int = 0
    why_rejected: str | None = None
    lost_bytes: int = 0
    refusals: int = 0
    refused: str | None = None
    trouble: str | None = None
    done: bool = False
    redacted: int = 0
    left_out: int = 0
    counts: dict[str, int] = field(default_factory=dict)


class Delivery(threading.Thread):
    """One sink's thread, from when it is started until it has all or is told to stop."""

    def __init__(
        self,
        folder: Path,
        log: Log,
        sink: Sink,
        ended: Callable[[], bool],
        *,
        state: Path | None = None,
        stage: Callable[[], Stage] | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            folder: where the streams lie.
            log: what finds them.
            sink: where they go; it is closed at the end.
            ended: tells that nobody writes any more; asked when there is nothing to read.
            state: where the cursor is kept; beside the streams if None.
            stage: makes what is applied to each stream on its way; None: they leave as they are.
        """
        super().__init__(name=f"logflume-sink-{sink.name}", daemon=True)
        self.progress = Progress(sink.name)
        self._folder = folder
        self._log = log
        self._sink = requests_of(sink)
        self._ended = ended
        self._stage = stage
        self._stopping = threading.Event()
        self._counting = threading.Lock()
        self._senders = Senders(self._sink, self, self._stopping)
        kept = state or folder / SIDE / "cursors"
        kept.mkdir(parents=True, exist_ok=True)
        self._cursor = Cursor(kept, sink.name)
        self.progress.trouble = self._cursor.damage
        self._cursor.save({})  # so that whoever keeps a budget knows of this sink
        self._unsaved: dict[str, Place] = {}
        self._save_failed_s = float("-inf")
        self._save_trouble: str | None = None
        self._lanes: dict[str, Lane] = {}
        self._listed_s = float("-inf")

    def run(self) -> None:
        """Deliver to the end."""
        try:
            self._deliver_all()
        except Exception as error:  # noqa: BLE001 - the edge of a thread; it is told
            self.progress.trouble = f"{type(error).__name__}: {error}"
        finally:
            self._stopping.set()
            self._senders.end(END_S)
            for lane in self._lanes.values():
                lane.feed.close()
            self._sink.close()
            self._cursor.close()

    def stop(self) -> None:
        """Let it end after what is on its way."""
        self._stopping.set()

    def _deliver_all(self) -> None:
        last = False
        while not self._stopping.is_set():
            self._list(at_once=last)
            moved = self._keep_places()
            for lane in self._lanes.values():
                moved |= self._senders.has_room and self._advance(lane, last=last)
            self._note_failures()
            if moved:
                continue
            if self._senders.busy or any(lane.waits for lane in self._lanes.values()):
                self._senders.wait(LOOK_S)
                last = last or self._ended()
            elif last:
                self.progress.done = True
                return
            else:
                last = self._ended()
                if not last:
                    self._stopping.wait(LOOK_S)

    def _list(self, *, at_once: bool) -> None:
        now_s = time.monotonic()
        if not at_once and now_s - self._listed_s < LIST_S:
            return
        self._listed_s = now_s
        for source in self._log.sources():
            if source.name not in self._lanes:
                place = self._cursor.places.get(source.name)
                stage = None if self._stage is None else self._stage()
                feed = Feed(source, place, Bases(self._folder, source.name), None if stage is None else stage.lines)
                self._lanes[source.name] = Lane(feed, self._sink.packer(source.name), place, stage)

    def _note_failures(self) -> None:
        failed = [lane.feed.failed for lane in self._lanes.values() if lane.feed.failed is not None]
        told = f"{failed[0].source}: {failed[0].detail}" if failed else self._cursor.damage
        self.progress.trouble = self._save_trouble or told

    def _advance(self, lane: Lane, *, last: bool) -> bool:
        """Read a block of a stream, or send a request of it; False when there is nothing to do."""
        read = False
        packed = lane.take(everything=False)
        if packed is None:
            batch = lane.feed.next_batch(last=last)
            if batch is not None:
                self.progress.lost_bytes += batch.lost_bytes
                lane.add(batch)
                self._note_stages()
            read = batch is not None
            more = batch is not None and len(batch.block) >= BLOCK_BYTES // 2  # a full request needs no patience
            overdue = lane.waited_s >= self._sink.linger_s and not more
            packed = lane.take(everything=overdue or (last and not read))
        if packed is not None:
            lane.sent(packed, self._senders.submit)
        return read or packed is not None

    def _keep_places(self) -> bool:
        """Keep the place of each stream behind what has arrived with all before it; tell whether anything has."""
        moved = self._senders.collect([ticket for lane in self._lanes.values() for ticket in lane.on_their_way()])
        if moved or self._stage is not None:
            places = {name: place for name, lane in self._lanes.items() if (place := lane.arrived_place()) is not None}
            self._unsaved.update(places)
        if self._unsaved and (moved or time.monotonic() - self._save_failed_s >= LIST_S):
            self._save()
        return moved

    def _note_stages(self) -> None:
        stages = [lane.stage for lane in self._lanes.values() if lane.stage is not None]
        self.progress.redacted = sum(stage.redacted for stage in stages)
        self.progress.left_out = sum(stage.left_out for stage in stages)
        for name in stages[0].counts if stages else ():
            self.progress.counts[name] = sum(stage.counts[name] for stage in stages)

    def _save(self) -> None:
        """Keep places; a disk that refuses keeps no sink waiting, and is asked again."""
        try:
            self._cursor.save(self._unsaved)
        except OSError as error:
            self._save_failed_s = time.monotonic()
            self._save_trouble = (
                f"how far it is cannot be kept: {error.strerror or error}; after a crash it comes again"
            )
        else:
            self._unsaved.clear()
            self._save_trouble = None

    def refused(self, error: Exception) -> None:
        """Note why the sink refuses; called by those who send."""
        with self._counting:
            self.progress.refusals += 1
            self.progress.refused = str(error)

    def taken(self, request: Request, receipt: Receipt) -> None:
        """Count what the sink has taken; called by those who send."""
        with self._counting:
            progress = self.progress
            progress.refused = None
            progress.sent_bytes += len(request.payload)
            progress.batches += 1
            progress.events += request.events
            progress.parts += request.parts
            progress.rejected += receipt.rejected
            progress.why_rejected = receipt.why or progress.why_rejected
