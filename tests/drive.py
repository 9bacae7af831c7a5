"""Drive the core's merger in all the ways it may be driven."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from random import Random
from typing import TYPE_CHECKING

from logflume._core import Filter, Merger
from logflume.records import Output

if TYPE_CHECKING:
    from tests.oracle import Dates, Rules

MAX_TAKES = 1_000_000


@dataclass
class Feeder:
    """Gives one source to a merger, block by block: as it is, or scanned apart, or scanned by guess first."""

    merger: Merger
    source: int
    blocks: list[bytes]
    scanned: bool
    guessed: bool = False
    dates: Dates | None = None
    offset: int = field(default=0, init=False)
    finished: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.dates:
            self.merger.date(self.source, self.dates.until, self.dates.latest_ns)
        self.scanner = self.merger.scanner(self.source) if self.scanned else None

    def give_one(self) -> None:
        """Feed the next block, or tell that there is none."""
        if self.blocks:
            self._feed(self.blocks.pop(0))
        else:
            self._finish()

    def _feed(self, block: bytes) -> None:
        came = self._came(len(block))
        if self.scanner and self.guessed:
            prescan = self.scanner.prescanner().prescan(block)
            self.merger.push(self.source, self.scanner.scan_prescanned(prescan, came))
        elif self.scanner:
            self.merger.push(self.source, self.scanner.scan(block, came))
        else:
            self.merger.feed(self.source, block, came)

    def _came(self, size: int) -> list[tuple[int, int]]:
        """Return when the next bytes came: what was noted before them, too, as far as it is about them."""
        start, self.offset = self.offset, self.offset + size
        times = self.dates.times if self.dates else []
        before = [(0, ns) for first, ns in times if first < start]
        return before[-1:] + [(first - start, ns) for first, ns in times if start <= first < start + size]

    def _finish(self) -> None:
        if self.scanner:
            self.merger.push(self.source, self.scanner.finish())
        self.merger.finish(self.source)
        self.finished = True


@dataclass
class Drive:
    """One merge of whole sources.

    Attributes:
        sources: what each source gives, as blocks.
        luck: decides who is fed when more than one could be, and who is fed early; None feeds in order.
        max_bytes: sizes of takes, one after the other, the last for ever.
        scanned: whether sources come through scanners; by luck for each when None.
        dates: when the bytes of each source came, if anybody noted it.
    """

    merger: Merger
    sources: list[list[bytes]]
    luck: Random = field(default_factory=lambda: Random(0))
    max_bytes: tuple[int, ...] = (1 << 18,)
    scanned: bool | None = False
    dates: list[Dates | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.taken: list[bytes] = []
        dates = self.dates or [None] * len(self.sources)
        self.feeders = [
            Feeder(self.merger, number, list(blocks), self._is_scanned(), self.luck.random() < 0.5, dates[number])
            for number, blocks in enumerate(self.sources)
        ]

    def _is_scanned(self) -> bool:
        return self.luck.random() < 0.5 if self.scanned is None else self.scanned

    def run(self) -> bytes:
        """Merge to the end and return everything."""
        while self.step():
            pass
        return b"".join(self.taken)

    def step(self) -> bool:
        """Take one block, feeding what it needs; False at the end."""
        for _ in range(MAX_TAKES):
            size = self.max_bytes[min(len(self.taken), len(self.max_bytes) - 1)]
            if block := self.merger.take(size):
                self.taken.append(block)
                return True
            if self.merger.done:
                return False
            self._feed_somebody()
        raise AssertionError("the merger takes and takes, and gives nothing")

    def _feed_somebody(self) -> None:
        wanted = self.merger.wanted()
        assert wanted, "nothing comes out, nothing is wanted, and it is not done"
        assert not [source for source in wanted if self.feeders[source].finished], "a finished source is wanted"
        self.feeders[self.luck.choice(wanted)].give_one()
        early = [feeder for feeder in self.feeders if not feeder.finished]
        if early and self.luck.random() < 0.2:
            self.luck.choice(early).give_one()


def merger(
    n_sources: int,
    *,
    output: Output = Output.TEXT,
    dedup: bool = True,
    rules: Rules | None = None,
    zone: str = "UTC",
    time_format: str | None = None,
    reference_ns: int = 0,
    levels: bool = False,
    max_record_bytes: int = 1 << 20,
) -> Merger:
    """Make a merger, of text where nothing else is said, with the oracle's words for a filter."""
    return Merger(
        n_sources,
        output=output,
        dedup=dedup,
        filter=Filter(**asdict(rules)) if rules else None,
        zone=zone,
        time_format=time_format,
        reference_ns=reference_ns,
        levels=levels,
        max_record_bytes=max_record_bytes,
    )


def merge_whole(
    sources: list[bytes], output: Output = Output.TEXT, *, dedup: bool = True, rules: Rules | None = None
) -> bytes:
    """Merge sources given as one block each."""
    core = merger(len(sources), output=output, dedup=dedup, rules=rules)
    return Drive(core, [[source] for source in sources]).run()
