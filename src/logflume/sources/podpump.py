"""Reads one container's log in a thread of its own, and goes on where it was when the connection breaks.

Holds: one block and a part of a line, and what ``podplace`` holds; each byte is given out once, in the order written;
where that cannot be known to be all, a Gap says so.

Plan:  one request after the other for the present run of the container: it ends when the log was read to the end of
that run, or (not following) to its present end. A break is followed by a request from the last line's second
on. When the container was restarted under us, the rest of its former run is read, and then the next run.

Not here: the thread and the buffer between it and the reader (``pods``).
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logflume.errors import SourceFailed
from logflume.records import Gap, GapReason
from logflume.sources.cluster import ApiBroken, ApiRefused, iter_items, path_of, plain_text
from logflume.sources.podplace import Incoming, Search, Trail
from logflume.sources.podstate import PodView, Run, why_cut_short

if TYPE_CHECKING:
    from collections.abc import Callable

    from logflume.sources.cluster import ApiStream, Cluster
    from logflume.sources.podplace import Place

RECEIVE_BYTES = 64 * 1024
"""So much is taken from a connection at once."""

SILENCE_S = 60.0
"""A connection on which nothing has come for so long is opened anew: it may lead nowhere any more."""

MAX_TRIES = 5
"""So many requests in a row without a new byte end a reading that does not follow."""

PATIENCE_S = 300.0
"""So long after the last answer one that follows gives up: API servers are replaced, nodes restart."""

FORGIVE_S = 15.0
"""So long may a reading be refused that was allowed before: an API server that was just started knows neither roles nor
accounts yet."""

MAX_DELAY_S = 10.0
"""The longest wait between two requests, but for what the server itself asks for (at most MAX_ASKED_S)."""

MAX_ASKED_S = 30.0

MAX_EVENTS = 50
"""So many events of a pod are looked at for why it has no log."""

MAX_RUNS = 100
"""Positions can be named in so many runs of a container that is restarted again and again."""

_FIRST_DELAY_S = 0.1
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE, _BUSY, _SERVER_ERROR = 401, 403, 404, 410, 429, 500
_CANNOT = re.compile(r'cannot (\w+) resource "([^"]+)"')
_NO_LOG = (
    b"unable to retrieve container logs",
    b"failed to try resolving symlinks in path",
)  # what kubelet sends instead


@dataclass(frozen=True)
class Address:
    """Where a container's log is.

    Attributes:
        cluster: whom to ask.
        namespace: where the pod is.
        pod: its name.
        container: its name.
        previous: the run before the present one.
    """

    cluster: Cluster
    namespace: str
    pod: str
    container: str
    previous: bool = False

    @property
    def name(self) -> str:
        """What the source is called."""
        parts = (self.namespace, self.pod, self.container)
        return "/".join((*parts, "previous") if self.previous else parts)

    def look(self) -> PodView:
        """Return what the pod says of itself.

        Raises:
            ApiRefused: it is not there, or may not be seen.
            ApiBroken: the API server cannot be reached.
        """
        return PodView(self.cluster.read_json(path_of("namespaces", self.namespace, "pods", self.pod)))

    def run_in(self, view: PodView) -> Run | None:
        """Return the run whose log this is; None when there is none."""
        return view.previous_run_of(self.container) if self.previous else view.run_of(self.container)

    def events(self, uid: str) -> list[dict[str, Any]]:
        """Return what has happened to the pod lately; nothing when that may not be seen."""
        fields = f"involvedObject.name={self.pod}" + (f",involvedObject.uid={uid}" if uid else "")
        try:
            answer = self.cluster.read_json(
                path_of("namespaces", self.namespace, "events"), [("fieldSelector", fields), ("limit", MAX_EVENTS)]
            )
        except (ApiRefused, ApiBroken):
            return []
        return list(iter_items(answer))

    def open_log(self, query: list[tuple[str, str | int]], *, previous: bool) -> ApiStream:
        """Begin to read lines with their times.

        Raises:
            ApiRefused: the log may not be seen, or there is none.
            ApiBroken: the API server cannot be reached.
        """
        asked: list[tuple[str, str | int]] = [("container", self.container), ("timestamps", "true"), *query]
        if previous:
            asked.append(("previous", "true"))
        path = path_of("namespaces", self.namespace, "pods", self.pod, "log")
        return self.cluster.open_stream(path, asked, silence_s=SILENCE_S)


def refused_gap(source: str, refusal: ApiRefused) -> Gap:
    """Say why the API server gave nothing, and what to do."""
    said = refusal.message.rstrip(".")
    if refusal.status == _FORBIDDEN:
        return _forbidden_gap(source, said)
    reason, detail, todo = _REFUSED.get(refusal.status, _REFUSED[_SERVER_ERROR])
    return Gap(source, reason, f"{detail.format(refusal.status)}: {said}.", todo)


_REFUSED = {
    _UNAUTHORIZED: (
        GapReason.PERMISSION_DENIED,
        "The cluster does not accept our credentials",
        "Renew the credentials (token, certificate or plugin) of the kubeconfig or service account.",
    ),
    _NOT_FOUND: (
        GapReason.NOT_FOUND,
        "The cluster has no such pod",
        "It may have been deleted when it ended: keep logs elsewhere (remote logging), or keep pods longer.",
    ),
    _GONE: (GapReason.EXPIRED, "The cluster has it no longer", "Look for a copy that was shipped elsewhere."),
    _BUSY: (GapReason.UNREADABLE, "The API server is too busy", "Try again in a minute."),
    _SERVER_ERROR: (
        GapReason.UNREADABLE,
        "The API server answered {}",
        "Try again; see the logs of the API server and of the pod's node.",
    ),
}


def _forbidden_gap(source: str, said: str) -> Gap:
    cannot = _CANNOT.search(said)
    verb, resource = cannot.groups() if cannot else ("get", "pods/log")
    todo = f'Add the verb "{verb}" on "{resource}" to the Role (RBAC) of whoever reads logs.'
    return Gap(source, GapReason.PERMISSION_DENIED, f"The cluster forbids it: {said}.", todo)


def broken_gap(source: str, message: str) -> Gap:
    """Say that the API server could not be reached."""
    todo = "Check the address of the cluster, the network to it, and whether its API server runs."
    return Gap(source, GapReason.UNREADABLE, f"The API server cannot be reached: {message}.", todo)


class Closed(Exception):
    """Reading was ended by its reader."""


class Pump:
    """Reads a container's log and gives its blocks to ``give``, until that says False or ``stop`` is called.

    ``run`` does it all in the calling thread; the rest may be called by any thread.

    Attributes:
        gaps: what was found missing, in order.
        settled: set as soon as it is known whether the place to begin at is still there.
        expired: the place to begin at is gone.
        caught_up: set when all that there was at first has been given out.
    """

    def __init__(
        self,
        address: Address,
        source: str,
        uid: str,
        run: Run,
        give: Callable[[bytes], bool],
        *,
        is_former: bool,
        follow: bool,
        tail_lines: int | None,
        stamps: bool,
        offset: int,
        begin: tuple[Place, int] | None,
    ) -> None:
        """Begin at ``offset``, which is so many bytes after the place of ``begin``, or else after the log's start.

        ``is_former``: the run is not the present one, which follows unless the address is that of the former one.
        """
        self.gaps: list[Gap] = []
        self.settled = threading.Event()
        self.expired = False
        self.caught_up = threading.Event()
        self._address = address
        self._source = source
        self._uid = uid
        self._run = run
        self._previous = is_former
        self._give = give
        self._follow = follow
        self._goes_on = (follow or is_former) and not address.previous
        self._tail_lines = tail_lines
        self._stamps = stamps
        self._begin: Place | None
        self._begin, before = begin or (None, offset)
        self._first_place = self._begin
        self._at = offset - before  # of the next byte that comes
        self._given = offset  # up to here it has been given out
        self._is_doubtful = False  # the last request broke off: another run may be the present one
        self._is_lost = False  # the run cannot be read any more
        self._was_allowed = False
        self._refused_s = 0.0  # since when it is not any more; 0: it is
        self._legs = [_Leg(run.id, self._at, self._trail())]
        self._stopped = threading.Event()
        self._holding = threading.Lock()
        self._stream: ApiStream | None = None

    # any thread

    def stop(self) -> None:
        """End at once what is being read or waited for."""
        self._stopped.set()
        with self._holding:
            if self._stream is not None:
                self._stream.shut_down()

    def place_before(self, offset: int) -> tuple[str, tuple[Place, int] | None]:
        """Return the run that ``offset`` lies in, a place in it, and how many bytes after that it is."""
        leg = next(leg for leg in reversed(self._legs) if leg.begin <= offset or leg is self._legs[0])
        found = leg.trail.place_before(offset)
        if found is None and leg is self._legs[0] and self._first_place is not None:
            found = self._first_place, offset - leg.begin
        return leg.run_id, found

    # the thread of the pump

    def run(self) -> None:
        """Read it all.

        Raises:
            SourceFailed: it cannot be read any further.
            Closed: ``stop`` was called, or ``give`` said False.
        """
        try:
            self._read_run()
            while self._goes_on and self._begin_next_run():
                self._read_run()
        finally:
            self.settled.set()
            self.caught_up.set()

    def _read_run(self) -> None:
        """Read the present run to its end, or (not following) to its present end."""
        while not self._retrying(self._read_once, is_done=self._is_read):
            self._pass_on()
        if cut_short := why_cut_short(self._run, self._source, self._given):
            self.gaps.append(cut_short)

    def _retrying(self, ask: Callable[[], object], is_done: Callable[[], bool]) -> bool:
        """Ask until that works, at a falling pace; then tell whether all is done."""
        tries, answered_s = 0, time.monotonic()
        while True:
            before, asked_s = self._given, 0.0
            try:
                ask()
                if is_done():
                    return True
                broken, answered_s = None, time.monotonic()
            except ApiBroken as error:
                broken = broken_gap(self._source, error.message)
            except ApiRefused as refusal:
                broken, asked_s = self._judge(refusal, tries), refusal.retry_after_s or 0.0
            self._pass_on()
            if self._given > before:
                tries, answered_s = 0, time.monotonic()
            tries += 1
            if broken is not None and self._is_enough(tries, answered_s):
                raise SourceFailed(broken)
            self._wait(tries, asked_s)

    def _judge(self, refusal: ApiRefused, tries: int) -> Gap:
        """Return the gap of a refusal after which another try makes sense.

        Raises:
            SourceFailed: none does.
        """
        gap = refused_gap(self._source, refusal)
        if refusal.status == _NOT_FOUND and self._at > self._legs[0].begin:
            detail = "The pod was deleted while its log was read: the last lines may be missing."
            gap = Gap(self._source, GapReason.VANISHED, detail, gap.next_action, offset=self._given)
        if refusal.status == _BUSY or refusal.status >= _SERVER_ERROR:
            return gap
        if refusal.status == _UNAUTHORIZED and tries == 0:  # credentials may have been renewed meanwhile
            return gap
        if refusal.status in (_UNAUTHORIZED, _FORBIDDEN) and self._was_allowed:
            self._refused_s = self._refused_s or time.monotonic()
            if time.monotonic() - self._refused_s < FORGIVE_S:
                return gap
        raise SourceFailed(gap)

    def _is_enough(self, tries: int, answered_s: float) -> bool:
        return time.monotonic() - answered_s > PATIENCE_S if self._follow else tries >= MAX_TRIES

    def _wait(self, tries: int, asked_s: float) -> None:
        self._stopped.wait(max(min(MAX_DELAY_S, _FIRST_DELAY_S * 2 ** min(tries - 1, 10)), min(asked_s, MAX_ASKED_S)))
        self._pass_on()

    def _pass_on(self) -> None:
        if self._stopped.is_set():
            raise Closed

    # one request

    def _read_once(self) -> None:
        """Read what there is, and then (following) what comes."""
        if self._is_doubtful and not self._find_run():
            return
        self._is_doubtful = True
        if not self._follow or not self.caught_up.is_set():
            self._request(follow=False)
            self.caught_up.set()
        if self._follow:
            self._request(follow=not self._run.is_over)

    def _request(self, *, follow: bool) -> None:
        """Make one request, and give out what is new in its answer."""
        incoming, query = self._ask()
        if follow:
            query.append(("follow", "true"))
        with self._address.open_log(query, previous=self._previous) as stream:
            self._was_allowed, self._refused_s = True, 0.0
            self._hold(stream)
            try:
                while block := stream.read_some(RECEIVE_BYTES):
                    self._take(block, incoming)
            finally:
                self._hold(None)
        rest = incoming.end(is_final=not self._follow or self._run.is_over)
        self._note_found(incoming)
        self._give_out(rest)

    def _ask(self) -> tuple[Incoming, list[tuple[str, str | int]]]:
        """Return what finds where we are, and from when on to ask for that."""
        leg = self._legs[-1]
        place = leg.trail.place
        if place is None:  # no line with a time has come yet: begin again, and pass over what was given
            leg = self._legs[-1] = _Leg(leg.run_id, leg.begin, self._trail())
            self._at, place = leg.begin, self._begin
        if place is not None:
            return Incoming(leg.trail, Search(place)), [("sinceTime", place.since)]
        query: list[tuple[str, str | int]] = []
        if self._tail_lines is not None and len(self._legs) == 1:
            query.append(("tailLines", self._tail_lines))
        return Incoming(leg.trail, None), query

    def _trail(self) -> Trail:
        """Return what notes the lines of a run; before a tail there may be more of its first line's time."""
        if self._begin is None:
            return Trail(is_tail=self._tail_lines is not None)
        return Trail(is_tail=self._begin.head is not None)

    def _hold(self, stream: ApiStream | None) -> None:
        with self._holding:
            self._stream = stream
        if stream is not None:
            self._pass_on()

    def _take(self, block: bytes, incoming: Incoming) -> None:
        if block.startswith(_NO_LOG):
            said = plain_text(block.decode("utf-8", "replace"))
            todo = "Keep the logs of ended pods elsewhere (remote logging), or see the logs of the pod's node."
            raise SourceFailed(Gap(self._source, GapReason.VANISHED, f"The node has no log of it: {said}.", todo))
        new = incoming.feed(block)
        self._note_found(incoming)
        self._give_out(new)

    def _give_out(self, block: bytes) -> None:
        trail = self._legs[-1].trail
        shown = block if self._stamps else trail.without_stamps(block)
        if block:
            trail.note(block, self._at)
        begin, self._at = self._at, self._at + len(shown)
        new = shown[max(0, self._given - begin) :]
        self._given = max(self._given, self._at)
        if new and not self._give(new):
            raise Closed

    def _note_found(self, incoming: Incoming) -> None:
        """Say so, once, when the place to go on at is not there any more."""
        search = incoming.search
        if search is None or search.found:
            self.settled.set()
        elif search.found is False:
            self._require_run()
            incoming.search = None
            self.expired = self._legs[-1].trail.place is None and self._begin is not None
            self._at = max(self._at, self._given)  # what comes is all new
            self._tell_rotated()
            self.settled.set()

    def _require_run(self) -> None:
        """Make sure that the answer is of our run, not of one that was begun just now.

        Raises:
            ApiBroken: it is not.
        """
        run_id, previous = self._run.id, self._previous
        if not self._find_run() or (self._run.id, self._previous) != (run_id, previous):
            raise ApiBroken("the container was restarted")

    def _tell_rotated(self) -> None:
        stamp = self._legs[-1].trail.stamp
        detail = (
            f"Lines after {stamp or 'the place to go on at'} may be missing: the log was rotated before they were read."
        )
        todo = "See a copy that was shipped elsewhere, or let the kubelet keep larger files (containerLogMaxSize)."
        self.gaps.append(Gap(self._source, GapReason.ROTATED_AWAY, detail, todo, offset=self._given))

    # what comes after it

    def _is_read(self) -> bool:
        """After an answer that ended well: whether the run has been read as far as it is to be."""
        if not self._follow or self._run.is_over or self._is_lost:
            return True
        return not self._find_run()

    def _find_run(self) -> bool:
        """Look which run is ours now: whether it is still to be had."""
        view = self._address.look()
        former = view.previous_run_of(self._address.container)
        for run in (self._address.run_in(view), former):
            if run is not None and run.id == self._run.id and view.uid == self._uid:
                self._run, self._previous, self._is_doubtful = run, run is former, False
                return True  # it goes on, or has ended since: then its end is to be read
        self._is_lost = True
        detail = "The container was replaced while its log was read: the last lines of its former run may be missing."
        todo = "See a copy that was shipped elsewhere."
        self.gaps.append(Gap(self._source, GapReason.REPLACED, detail, todo, offset=self._given))
        return False

    def _begin_next_run(self) -> bool:
        """Wait (when following) for the container's next run, if there may be one; whether there is."""
        found: list[Run] = []
        try:
            self._retrying(lambda: found.extend(self._next_runs()), is_done=lambda: bool(found) or not self._follow)
        except _NoMore:
            return False
        if not found:
            return False
        self._run, self._previous, self._begin = found[0], False, None
        self._is_doubtful = self._is_lost = False
        self._legs.append(_Leg(found[0].id, self._at, Trail()))
        del self._legs[1 : max(1, len(self._legs) - MAX_RUNS)]
        return True

    def _next_runs(self) -> list[Run]:
        try:
            view = self._address.look()
        except ApiRefused as refusal:
            if refusal.status == _NOT_FOUND:
                raise _NoMore from None
            raise
        run = view.run_of(self._address.container)
        if run is not None and run.id != self._run.id and view.uid == self._uid:
            return [run]
        if view.uid != self._uid or not view.may_run_again(self._address.container, self._run):
            raise _NoMore
        return []


class _NoMore(Exception):
    """The container will not run again."""


@dataclass(frozen=True)
class _Leg:
    """What was read of one run of the container."""

    run_id: str
    begin: int
    trail: Trail
