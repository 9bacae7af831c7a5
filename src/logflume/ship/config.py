"""``logflume.toml``: what is captured, how it is kept, and where it goes.

Holds: nothing is passed over in silence: an unknown key, a value that does not fit, a name that nothing has are
       refused, with the file, the key, and what was expected.
Plan:  each table is a dataclass whose fields are declared by ``settings``; the reference
       (docs/reference/capture-settings.md) is made of the same declarations. ``[capture]`` counts for every child,
       ``[children.NAME.capture]`` for one.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, TypeVar

from logflume.errors import UsageError
from logflume.kinds import APath, ListOf, Member, Number, OneOf, Pairs, Seconds, Size, Text, Whole, Words, YesNo
from logflume.settings import (
    BadSetting,
    as_table,
    declared_by,
    read_table,
    read_toml,
    refuse_unknown,
    required,
    setting,
)
from logflume.ship.conditions import KINDS as CONDITIONS
from logflume.ship.conditions import SIGNALS, Condition
from logflume.ship.outgoing import OutgoingTable, Redact, Sample, check_pattern
from logflume.ship.outgoing import Rules as Outgoing
from logflume.ship.recording import Mode
from logflume.ship.segments import BUDGET_BYTES, MIN_BUDGET_BYTES, Fsync, Reclaim, Rules, WhenOver
from logflume.ship.sinks import Chosen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from logflume.abc import Sink

MAX_CHILDREN = 100
"""Each costs some threads and descriptors."""

MAX_CONDITIONS = 20
"""Of one child; each is a thread."""

TABLES = ("capture", "supervise", "children", "sinks", "outgoing")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MANY = 1_000_000
_PARTS = ("capture", "limits", "share", "conditions")

T = TypeVar("T")
P = TypeVar("P", Redact, Sample)


class Restart(enum.Enum):
    """When a child that has ended is started again: ``ALWAYS``, ``ON_FAILURE`` (a code other than 0), or ``NEVER``."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


class Leftovers(enum.Enum):
    """What becomes of what is left of a child's process group when it has ended: it must ``STOP``, or may go on."""

    STOP = "stop"
    LEAVE = "leave"


class WhenKilled(enum.Enum):
    """What becomes of children when the supervisor is killed: they ``GO_ON`` and are found again, or ``STOP``."""

    GO_ON = "go-on"
    STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class Captured:
    """How output is captured and kept."""

    mode: Mode = setting(Member(Mode), Mode.DIRECT, "How it gets to the disk.")
    apart: bool = setting(YesNo(), default=False, meaning="Standard error goes into a file of its own.")
    budget: int = setting(Size(MIN_BUDGET_BYTES), BUDGET_BYTES, "What all files of one stream may take.")
    when_over: WhenOver = setting(Member(WhenOver), WhenOver.DROP_OLDEST, "What happens beyond the budget.")
    max_age_s: float | None = setting(Seconds(1), None, "Begin a new file when the newest is so old; not with direct.")
    fsync: Fsync = setting(Member(Fsync), Fsync.NEVER, "What a power failure may take: some 30 s, 0.5 s, nothing.")

    reclaim: Reclaim = setting(
        Member(Reclaim),
        Reclaim.OVER_BUDGET,
        "When space comes back: beyond the budget, or once every sink has it.",
    )
    keep_s: float | None = setting(
        Seconds(1), None, "A full file goes when its last byte came so long ago; what some sink has not had is counted."
    )

    def rules(self) -> Rules:
        """Return how segments are kept."""
        return Rules(self.budget, self.when_over, None, self.max_age_s, self.fsync, self.reclaim, self.keep_s)


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """What counts for all children together."""

    folder: Path = required(APath(), "Where the output of each child is kept, in a folder of its name.")
    listen: str | None = setting(
        Text("an address and a port such as 127.0.0.1:9390", r"[0-9A-Za-z.:\[\]-]{1,255}:[0-9]{1,5}"),
        None,
        "Where `/health` and `/metrics` are answered. Everybody who reaches that address may ask.",
    )
    stop_s: float = setting(Seconds(), 60.0, "How long all children together are given to end, before SIGKILL.")
    drain_s: float = setting(Seconds(), 10.0, "How long sinks are waited for at the end; shipping goes on without us.")
    when_killed: WhenKilled = setting(
        Member(WhenKilled), WhenKilled.GO_ON, "What becomes of the children when the supervisor itself is killed."
    )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits that the system keeps for each process of a child (setrlimit)."""

    address_space: int | None = setting(Size(1), None, "What it may map.")
    cpu_s: int | None = setting(Whole(1, 1_000_000_000), None, "Seconds of processor time; then SIGXCPU.")
    open_files: int | None = setting(Whole(3, 1_000_000_000), None, "Descriptors.")
    processes: int | None = setting(Whole(1, 1_000_000_000), None, "Processes of its user.")
    core_size: int | None = setting(Size(), None, "What is kept of it when it crashes.")


@dataclass(frozen=True, kw_only=True)
class Share:
    """What all processes of a child together may take: a control group (v2), where we may make one."""

    memory: int | None = setting(Size(1024 * 1024), None, "Memory; beyond it the system ends a process of it.")
    cpus: float | None = setting(Number(0.01, 10_000), None, "Processors, such as 1.5.")
    processes: int | None = setting(Whole(1, 1_000_000_000), None, "Processes and threads.")


@dataclass(frozen=True, kw_only=True)
class ChildTable:
    """How a child is run."""

    command: tuple[str, ...] = required(Words(), "What is run. No shell is used.")
    after: tuple[str, ...] = setting(
        ListOf(Text(), ","),
        (),
        'Children that must be well before: they run and their conditions hold; with `restart = "never"` and no '
        "condition, they have ended with 0.",
    )
    restart: Restart = setting(Member(Restart), Restart.ALWAYS, "When it is started again after it has ended.")
    backoff_s: float = setting(Seconds(), 1.0, "How long to wait before; doubled each time, up to `max_backoff_s`.")
    max_backoff_s: float = setting(Seconds(), 60.0, "The longest wait.")
    well_after_s: float = setting(Seconds(), 60.0, "After so long a run, the wait is `backoff_s` again.")
    max_restarts: int | None = setting(Whole(0, _MANY), None, "So many runs that were too short, and it is given up.")
    essential: bool = setting(
        YesNo(), default=False, meaning="When it has ended for good, all others are stopped, and its exit code is ours."
    )
    stop_signal: str = setting(OneOf(SIGNALS), "TERM", "What asks it to end.")
    stop_whom: str = setting(
        OneOf(("group", "command")),
        "group",
        "Who gets that: its whole process group, or the command alone, which then ends the others itself.",
    )
    stop_s: float = setting(Seconds(), 30.0, "How long it is given then, before SIGKILL.")
    leftovers: Leftovers = setting(
        Member(Leftovers), Leftovers.STOP, "What becomes of processes of its group that are left when it has ended."
    )
    environment: Mapping[str, str] | None = setting(Pairs(), None, "Variables, beside our own.")
    working_folder: Path | None = setting(APath(), None, "Where it runs.")
    user: str | None = setting(Text(), None, "As whom; only root can choose. Its groups are that user's.")
    group: str | None = setting(Text(), None, "Its first group.")
    umask: str | None = setting(Text("octal digits such as 027", r"0?[0-7]{3}"), None, "Rights that new files lack.")


@dataclass(frozen=True, kw_only=True)
class ChildSettings:
    """One child: what it is called, how it is run, captured, limited, and what must hold of it."""

    name: str
    run: ChildTable
    captured: Captured
    limits: Limits
    share: Share
    conditions: Mapping[str, Condition]


@dataclass(frozen=True, kw_only=True)
class Config:
    """All of a file.

    Attributes:
        path: the file.
        captured: how output is kept where a child says nothing else.
        supervised: None when there is no such table.
        children: in the order in which they start.
        sinks: what is shipped to.
        outgoing: what becomes of lines on their way there; None when nothing does.
    """

    path: Path
    captured: Captured = field(default_factory=Captured)
    supervised: Supervised | None = None
    children: tuple[ChildSettings, ...] = ()
    sinks: tuple[Chosen, ...] = ()
    outgoing: Outgoing | None = None

    def folders(self) -> Iterator[tuple[str, Path]]:
        """Yield each child's name, and the folder that its output is kept in."""
        if self.supervised is not None:
            for child in self.children:
                yield child.name, self.supervised.folder / child.name

    def make_sinks(self, folder: Path, tags: Mapping[str, str]) -> list[Sink]:
        """Make every sink, for what lies in a folder.

        Raises:
            BadSetting: there is one that cannot be made.
        """
        return [sink.make(folder, tags) for sink in self.sinks]


def read_config(path: Path) -> Config:
    """Read a file.

    Raises:
        BadSetting: with the file, the key, and what was expected.
    """
    return _File(path).read()


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._where = str(path)
        self._base = path.absolute().parent
        self._found = read_toml(path)

    def read(self) -> Config:
        for name in self._found:
            refuse_unknown(self._where, name, TABLES, f"There are the tables {', '.join(TABLES)}.")
        shared = self._table("capture")
        captured = self._captured(shared, "capture.")
        supervise = self._table("supervise") if "supervise" in self._found else None
        return Config(
            path=self._path,
            captured=captured,
            supervised=None if supervise is None else self._read(Supervised, supervise, "supervise."),
            children=tuple(self._in_order([*self._iter_children(shared)])),
            sinks=tuple(self._iter_sinks()),
            outgoing=self._outgoing(self._table("outgoing")) if "outgoing" in self._found else None,
        )

    def _table(self, name: str) -> dict[str, object]:
        return as_table(self._found.get(name, {}), self._where, name)

    def _read(self, settings: type[T], table: Mapping[str, object], under: str) -> T:
        return read_table(settings, table, self._where, self._base, under=under)

    def _captured(self, table: Mapping[str, object], under: str) -> Captured:
        captured = self._read(Captured, table, under)
        if captured.mode is Mode.DIRECT:
            wrong = {
                "when_over": captured.when_over is WhenOver.WAIT,
                "fsync": captured.fsync is Fsync.ALWAYS,
                "max_age_s": captured.max_age_s is not None,
            }
            for name in (name for name, is_wrong in wrong.items() if is_wrong):
                raise BadSetting(self._where, f"{under}{name}", "this needs another mode than direct, such as pipe")
        return captured

    def _iter_sinks(self) -> Iterator[Chosen]:
        for name, value in self._named("sinks", self._found.get("sinks", {})):
            yield Chosen(name, value, self._where, self._base)

    def _outgoing(self, table: dict[str, object]) -> Outgoing:
        redact = [
            (f"outgoing.redact.{name}.", each) for name, each in self._named("outgoing.redact", table.pop("redact", {}))
        ]
        sample = table.pop("sample", None)
        for key in table:
            known = (*declared_by(OutgoingTable), "redact", "sample")
            refuse_unknown(self._where, key, known, f"There are: {', '.join(known)}.", under="outgoing.")
        plain = self._read(OutgoingTable, table, "outgoing.")
        if plain.tags and plain.format != "records":
            raise BadSetting(self._where, "outgoing.tags", 'this needs format = "records"')
        rules = Outgoing(
            plain,
            tuple(self._pattern(self._read(Redact, each, under), under) for under, each in redact),
            None if sample is None else self._sample(as_table(sample, self._where, "outgoing.sample")),
        )
        for name, pattern in (plain.count or {}).items():
            check_pattern(pattern, self._where, f"outgoing.count.{name}")
        return rules

    def _sample(self, table: dict[str, object]) -> Sample:
        return self._pattern(self._read(Sample, table, "outgoing.sample."), "outgoing.sample.")

    def _pattern(self, known: P, under: str) -> P:
        check_pattern(known.pattern, self._where, f"{under}pattern")
        return known

    def _named(self, what: str, value: object) -> Iterator[tuple[str, dict[str, object]]]:
        """Yield the tables of a table by their names, which are fit for a path."""
        for name, each in as_table(value, self._where, what).items():
            if not _NAME.fullmatch(name):
                raise BadSetting(
                    self._where, f"{what}.{name[:64]!r}", "a name is letters, digits, and -_. within, 64 at most"
                )
            yield name, as_table(each, self._where, f"{what}.{name}")

    def _iter_children(self, shared: Mapping[str, object]) -> Iterator[ChildSettings]:
        found = list(self._named("children", self._found.get("children", {})))
        if len(found) > MAX_CHILDREN:
            raise BadSetting(self._where, "children", f"expected {MAX_CHILDREN} at most")
        for name, table in found:
            yield self._child(name, table, shared)

    def _child(self, name: str, table: dict[str, object], shared: Mapping[str, object]) -> ChildSettings:
        under = f"children.{name}."
        inner = {part: as_table(table.pop(part, {}), self._where, under + part) for part in _PARTS}
        for key in table:
            known = (*declared_by(ChildTable), *_PARTS)
            refuse_unknown(self._where, key, known, f"There are: {', '.join(known)}.", under=under)
        return ChildSettings(
            name=name,
            run=self._read(ChildTable, table, under),
            captured=self._captured({**shared, **inner["capture"]}, f"{under}capture."),
            limits=self._read(Limits, inner["limits"], f"{under}limits."),
            share=self._read(Share, inner["share"], f"{under}share."),
            conditions=dict(self._iter_conditions(inner["conditions"], f"{under}conditions")),
        )

    def _iter_conditions(self, table: dict[str, object], under: str) -> Iterator[tuple[str, Condition]]:
        found = list(self._named(under, table))
        if len(found) > MAX_CONDITIONS:
            raise BadSetting(self._where, under, f"expected {MAX_CONDITIONS} at most")
        for name, each in found:
            kind = each.pop("kind", None)
            if not isinstance(kind, str) or kind not in CONDITIONS:
                raise BadSetting(self._where, f"{under}.{name}.kind", f"expected one of {', '.join(CONDITIONS)}")
            condition = self._read(CONDITIONS[kind], each, f"{under}.{name}.")
            try:
                condition.check()
            except UsageError as error:
                raise BadSetting(self._where, f"{under}.{name}", str(error)) from None
            yield name, condition

    def _in_order(self, children: list[ChildSettings]) -> Iterator[ChildSettings]:
        """Yield children behind those that they come after.

        Raises:
            BadSetting: one comes after itself, or after one that is not there.
        """
        known = {child.name: child for child in children}
        graph: dict[str, tuple[str, ...]] = {}
        for child in children:
            for before in child.run.after:
                see = f"There are: {', '.join(known)}."
                refuse_unknown(self._where, before, known, see, under=f"children.{child.name}.after = ", what="child")
            graph[child.name] = child.run.after
        try:
            yield from (known[name] for name in TopologicalSorter(graph).static_order())
        except CycleError as error:
            circle = " after ".join(error.args[1])
            raise BadSetting(self._where, "children", f"no child can come after itself: {circle}") from None
