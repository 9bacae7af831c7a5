"""Logs of Kubernetes pods: one source for each container, read through the cluster's API server.

Holds: for each open reader one thread, one connection and a buffer of BUFFER_BYTES; nothing while none is open.
Plan:  ``find_pods`` finds pods by labels, ``PodLog`` is the log of one pod, ``PodSource`` of one container. Lines have
the cluster's time (nanoseconds) before them, as ``kubectl logs --timestamps`` gives them: the merge knows that form.
A reader's thread (``podpump``) fills a bounded buffer, from which the reader is served.

A cluster gives the present file of a log only: what kubelet has rotated away (10 MiB by default) is not to be had.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from logflume.abc import BLOCK_BYTES
from logflume.closing import Closing
from logflume.errors import CursorExpired, SourceFailed, UsageError
from logflume.records import Gap, GapReason, Identity, Position
from logflume.sources.cluster import ApiBroken, ApiRefused, Cluster, iter_items, path_of
from logflume.sources.missing import MissingSource
from logflume.sources.podplace import Head, Place
from logflume.sources.podpump import Address, Closed, Pump, broken_gap, refused_gap
from logflume.sources.podstate import PodView, why_no_log
from logflume.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from logflume.abc import Source
    from logflume.sources.podstate import Run

SCHEME = "k8s://"
"""How the address of a pod begins."""

BUFFER_BYTES = 1024 * 1024
"""What waits between the connection and a reader; then the connection waits."""

MAX_PODS = 100
"""So many pods that labels fit are looked at."""

EVENTS_EVERY_S = 10.0
"""A source is asked no more often for what has happened to its pod."""

CATCH_UP_S = 10.0
"""So long does a reader that follows wait for what was there before it: others that are merged with it wait as long."""

_Begin = tuple[Place, int]
_LOOK_S = 0.02
_SETTLE_S = 30.0  # so long does opening at a position wait to hear whether it is still there
_END_S = 2.0  # a thread that was told to end does so in no time; it may be in the middle of connecting


class WhenLost(enum.Enum):
    """What becomes of a Position in a run, or in a file of it, that is gone.

    ``EXPIRE``: CursorExpired. ``GO_ON``: all that there is now is later than the position, and follows a Gap.
    """

    EXPIRE = "expire"
    GO_ON = "go on"


def find_pods(cluster: Cluster, namespace: str, labels: Mapping[str, str | None]) -> list[PodView]:
    """Return the pods that have these labels (None: any value), newest last; at most MAX_PODS.

    Raises:
        SourceFailed: the cluster does not tell; its gap says why.
        UsageError: no cluster is configured.
    """
    selector = ",".join(key if value is None else f"{key}={value}" for key, value in labels.items())
    source = f"{namespace}/{selector}"
    with _as_failures(source):
        path = path_of("namespaces", namespace, "pods")
        answer = cluster.read_json(path, [("labelSelector", selector), ("limit", MAX_PODS)])
    return sorted((PodView(item) for item in iter_items(answer)), key=lambda view: view.created)


def pod_log_of(address: str, *, follow: bool = False) -> PodLog:
    """Return the log that ``k8s://[CONTEXT@]NAMESPACE/POD[/CONTAINER]`` names; nobody is asked yet.

    Raises:
        UsageError: the address has another form.
    """
    context, _, rest = address.removeprefix(SCHEME).rpartition("@")  # a context may have "@", "/" and ":" itself
    namespace, _, names = rest.partition("/")
    pod, _, container = names.partition("/")
    if not address.startswith(SCHEME) or not namespace or not pod or "/" in container:
        raise UsageError(f"{address}: a pod's address is {SCHEME}[CONTEXT@]NAMESPACE/POD[/CONTAINER]")
    return PodLog(
        Cluster(context=context or None), namespace, pod, containers=[container] if container else None, follow=follow
    )


class PodLog:
    """The log of one pod: a source for each container; see ``logflume.abc.Log``.

    Order:  init containers first, then containers as the pod names them.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        pod: str,
        *,
        containers: Sequence[str] | None = None,
        previous: bool = False,
        follow: bool = False,
        tail_lines: int | None = None,
        stamps: bool = True,
    ) -> None:
        """Ask nobody yet.

        Args:
            cluster: whom to ask.
            namespace: where the pod is.
            pod: its name.
            containers: names of those that are wanted; None: all, init containers too.
            previous: with the run before the present one, for containers that were restarted.
            follow: go on as they write; readers then give ``b""`` when there is nothing at this moment.
            tail_lines: of each container so many last lines; None: all that the cluster has.
            stamps: with the cluster's time before each line; without, for logs that carry their own.

        Raises:
            UsageError: ``tail_lines`` is less than 1.
        """
        if tail_lines is not None and tail_lines < 1:
            raise UsageError(f"tail_lines is 1 or more, or None for all lines, not {tail_lines}")
        self.id = f"{namespace}/{pod}"
        self._address = Address(cluster, namespace, pod, "")
        self._containers = containers
        self._previous = previous
        self._follow = follow
        self._tail_lines = tail_lines
        self._stamps = stamps
        self._found: list[Source] | None = None

    def sources(self) -> list[Source]:
        """Return a source for each container; a pod that cannot be seen is one source that says why.

        They stay the same from the first time on that the pod was seen: asking again asks nobody.

        Raises:
            UsageError: no cluster is configured.
        """
        if self._found is None:
            try:
                with _as_failures(self.id):
                    view = self._address.look()
            except SourceFailed as failure:
                return [MissingSource(failure.gap)]
            names = view.container_names() if self._containers is None else self._containers
            self._found = [source for name in names for source in self._sources_of(view, name)]
        return list(self._found)

    def _sources_of(self, view: PodView, container: str) -> list[Source]:
        address = replace(self._address, container=container)
        present = PodSource(address, follow=self._follow, tail_lines=self._tail_lines, stamps=self._stamps)
        if not self._previous or view.previous_run_of(container) is None:
            return [present]
        former = replace(address, previous=True)
        return [PodSource(former, tail_lines=self._tail_lines, stamps=self._stamps), present]


class PodSource:
    """The log of one container; see ``logflume.abc.Source``.

    Order:  as written.
    Loss:   what kubelet has rotated away; where that may have happened under the reader, a Gap says so.
    Memory: BUFFER_BYTES and two blocks for each reader; a thread and a connection.
    """

    seekable = False

    def __init__(
        self,
        address: Address,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        stamps: bool = True,
        when_lost: WhenLost = WhenLost.EXPIRE,
    ) -> None:
        """Ask nobody yet; the arguments are those of ``PodLog``."""
        self.name = address.name
        self._address = address
        self._follow = follow
        self._tail_lines = tail_lines
        self._stamps = stamps
        self._when_lost = when_lost
        self._asked_events_s = -EVENTS_EVERY_S
        self._events: list[dict[str, Any]] = []

    def open(self, start: int | Position = 0) -> PodReader:
        """Open at an offset, which costs reading what is before it, or at a position, which costs a second's lines.

        Raises:
            SourceFailed: there is no log, and why; or the cluster does not give it.
            CursorExpired: a Position in a run, or in a file of it, that is gone.
            UsageError: no cluster is configured; an offset below 0.
        """
        with _as_failures(self.name):
            view = self._address.look()
            run = self._address.run_in(view)
            if isinstance(start, Position):
                return self._open_at(view, start)
            if start < 0:
                raise UsageError(f"an offset is 0 or more, not {start}")
            if run is None:
                raise SourceFailed(self._why_none(view))
        return self._reader(view, run, start)

    def _why_none(self, view: PodView) -> Gap:
        if self._address.previous:
            detail, todo = "The container was not restarted: there is no former run.", "Read the present one."
            return Gap(self.name, GapReason.NOT_FOUND, detail, todo)
        now_s = time.monotonic()
        if now_s - self._asked_events_s > EVENTS_EVERY_S:  # one that waits for its pod opens it again and again
            self._asked_events_s, self._events = now_s, self._address.events(view.uid)
        return why_no_log(view, self._address.container, self.name, self._events)

    def _open_at(self, view: PodView, start: Position) -> PodReader:
        run_key, begin = _parsed(start.identity.key)
        present, former = self._address.run_in(view), view.previous_run_of(self._address.container)
        for run in (present, former):
            if run is not None and _run_key(view, run) == run_key:
                reader = self._reader(view, run, start.offset, begin, is_former=run is former)
                if self._when_lost is WhenLost.EXPIRE:
                    reader.require_place()
                return reader
        detail = f"{self.name}: the pod or container in which this position was named is gone"
        if self._when_lost is WhenLost.EXPIRE:
            raise CursorExpired(detail)
        if present is None:
            raise SourceFailed(self._why_none(view))
        todo = "See a copy that was shipped elsewhere."
        detail = "The container was replaced since the last look: the last lines of its former run may be missing."
        return self._reader(view, present, 0, lost=Gap(self.name, GapReason.REPLACED, detail, todo, offset=0))

    def _reader(
        self,
        view: PodView,
        run: Run,
        offset: int,
        begin: _Begin | None = None,
        *,
        is_former: bool = False,
        lost: Gap | None = None,
    ) -> PodReader:
        spool = Spool(name=self.name, memory_bytes=BUFFER_BYTES, disk_bytes=0)
        pump = Pump(
            self._address,
            self.name,
            view.uid,
            run,
            spool.write,
            is_former=is_former or self._address.previous,
            follow=self._follow,
            tail_lines=self._tail_lines if lost is None else None,
            stamps=self._stamps,
            offset=offset,
            begin=begin,
        )
        if lost is not None:
            pump.gaps.append(lost)
        return PodReader(pump, spool, self.name, view.uid, offset, follow=self._follow)

    def peek_size(self) -> None:
        """Return None: the cluster does not tell."""

    def peek_identity(self) -> Identity | None:
        """Name the present run of the container; None when there is none, or it cannot be seen."""
        try:
            view = self._address.look()
        except (ApiRefused, ApiBroken):
            return None
        run = self._address.run_in(view)
        return None if run is None else _identity(_run_key(view, run))


class PodReader(Closing):
    """Reads a PodSource; see ``logflume.abc.Reader``. Any thread may close it, which ends a read at once."""

    def __init__(self, pump: Pump, spool: Spool, name: str, uid: str, offset: int, *, follow: bool) -> None:
        """Begin nothing yet: the first read does."""
        self.start = offset
        self._pump = pump
        self._spool = spool
        self._name = name
        self._uid = uid
        self._at = offset
        self._follow = follow
        self._caught_up_by_s = 0.0
        self._broke = False
        self._thread: threading.Thread | None = None

    def _begin(self) -> None:
        """Begin to read, in a thread of its own."""
        if self._thread is None:
            self._caught_up_by_s = time.monotonic() + CATCH_UP_S
            self._thread = threading.Thread(target=self._work, name=f"logflume-pod-{self._name}", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        try:
            self._pump.run()
        except Closed:
            self._spool.finish()
        except Exception as error:  # noqa: BLE001 - the edge of a thread: the reader raises it
            self._broke = True
            self._spool.finish(error)
        else:
            self._spool.finish()

    def require_place(self) -> None:
        """Wait until it is known that the place to begin at is still there.

        Raises:
            CursorExpired: it is not.
        """
        self._begin()
        self._pump.settled.wait(_SETTLE_S)
        if self._pump.expired:
            self.close()
            raise CursorExpired(f"{self._name}: the log was rotated, and what this position names is gone")

    @property
    def gaps(self) -> list[Gap]:
        """What was found missing up to the last block."""
        return [gap for gap in list(self._pump.gaps) if gap.offset is None or gap.offset <= self._at]

    def read_block(self, max_bytes: int = BLOCK_BYTES) -> bytes:
        """Return the next bytes, waiting for them.

        Following, it waits for what was there when it was opened (for CATCH_UP_S at most, all calls together);
        from then on it gives ``b""`` when there is nothing at this moment.

        Raises:
            SourceFailed: the cluster gives no more; what was read stays valid.
            UsageError: the reader is closed, before the call or during it.
        """
        self._begin()
        block = self._spool.read_block(max_bytes, timeout_s=0) if self._follow else self._spool.read_block(max_bytes)
        while not block and self._is_to_come():
            block = self._spool.read_block(max_bytes, timeout_s=_LOOK_S)
        self._at += len(block)
        return block

    def _is_to_come(self) -> bool:
        """Whether bytes will come that were there before: then a merge that follows has them in order."""
        if not self._follow or time.monotonic() > self._caught_up_by_s:
            return False
        if self._pump.caught_up.is_set():
            self._caught_up_by_s = 0.0  # what was given before that is in the spool: one more look
        return True

    @property
    def ended(self) -> bool:
        """Whether the container has ended, and all that it wrote was read; a read of what broke off raises instead."""
        return self._spool.ended and not self._broke

    def position(self, offset: int) -> Position:
        """Name ``offset``, by the time of a line before it."""
        run_id, found = self._pump.place_before(offset)
        key = f"{self._uid} {run_id}"
        if found is not None and offset > 0:
            place, after = found
            key += " " + json.dumps([place.stamp.decode(), after, *(place.head or ())], separators=(",", ":"))
        return Position(_identity(key), offset)

    def interrupt(self) -> None:
        """End a read under way, and every later one."""
        self._pump.stop()
        self._spool.close()

    def close(self) -> None:
        """End the thread and the connection."""
        self.interrupt()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_END_S)


@contextlib.contextmanager
def _as_failures(source: str) -> Iterator[None]:
    """Turn what the API server refuses into a failure of this source."""
    try:
        yield
    except ApiRefused as refusal:
        raise SourceFailed(refused_gap(source, refusal)) from None
    except ApiBroken as broken:
        raise SourceFailed(broken_gap(source, broken.message)) from None


def _run_key(view: PodView, run: Run) -> str:
    return f"{view.uid} {run.id}"


def _identity(key: str) -> Identity:
    """Return an identity by the runtime's id of a run, which is given once: it stands for the first bytes, too."""
    return Identity(key, hashlib.blake2b(key.encode(), digest_size=16).hexdigest(), 1)


def _parsed(key: str) -> tuple[str, _Begin | None]:
    """Return the run that a position's key names, a place in it, and how many bytes after that the position is."""
    uid, _, rest = key.partition(" ")
    run_id, _, where = rest.partition(" ")
    if not where:
        return f"{uid} {run_id}", None
    with contextlib.suppress(ValueError, TypeError, AttributeError, IndexError):
        stamp, after, *head = json.loads(where)
        place = Place(stamp.encode(), head=Head(int(head[0]), str(head[1])) if head else None)
        if place.since:
            return f"{uid} {run_id}", (place, max(0, int(after)))
    raise CursorExpired("this position was not named by logflume, or was changed")
