"""The client for threads.

Holds: what one answer is being read of, and one step of it (``asking``). Nothing runs but while something is asked.
Plan:  a question (``asking``) is asked until it is answered; between two tries it waits (``patience``). Here is only
       what touches the network, and ``aio`` is the same for an event loop.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

import httpx

from logflume.client.address import API, log_path
from logflume.client.answers import MAX_PROBLEM_BYTES, Failure, Hit, unreachable
from logflume.client.asking import Blocks, BrokenOff, Download, Hits, params_of
from logflume.client.connecting import (
    JSON,
    MAX_ANSWER_BYTES,
    TIMEOUT_S,
    WAIT_S,
    BrokenAnswer,
    Options,
    check_answer,
    failure_of,
    is_ok,
    json_object,
    name_place,
    refused,
    wait_params,
    which_params,
)
from logflume.client.patience import GIVE_UP_S, Patience
from logflume.client.told import OfBlocks, OfDownload, OfHits
from logflume.closing import Closing
from logflume.errors import UsageError
from logflume.records import Output

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Unpack

    from logflume.client.answers import LogEntry, Meta, Page, Place, Rows, Summary
    from logflume.client.asking import Asking, Params
    from logflume.client.connecting import Which
    from logflume.errors import LogflumeError

T = TypeVar("T")

_TRY = (httpx.RequestError, BrokenAnswer, BrokenOff)


class Asker:
    """One server, and the connections to it. Any thread may ask."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.met = False
        self._http = httpx.Client(**options.for_httpx())

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def ask(self, path: str, params: Params) -> dict[str, Any]:
        """Ask for an object until it is answered."""
        patience = Patience(self.options.give_up_s, met=self.met)
        never = threading.Event()
        while True:
            try:
                return self._ask_once(path, params)
            except _TRY as error:
                failure = failure_of(self.options.base, error)
            self.wait(patience, failure, never)

    def _ask_once(self, path: str, params: Params) -> dict[str, Any]:
        with self.opened(path, params, JSON) as answer:
            check_answer(self.options.base, answer, JSON)
            body = _read(answer, MAX_ANSWER_BYTES)
        return json_object(self.options.base, body)

    @contextlib.contextmanager
    def opened(
        self, path: str, params: Params, accept: str, more: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Ask once; leave the body to be read.

        Raises:
            BrokenAnswer: it is refused.
            httpx.RequestError: the network.
        """
        if self._http.is_closed:
            raise UsageError("this client is closed")
        headers = {**self.options.headers(accept), **(more or {})}
        with self._http.stream("GET", self.options.base + path, params=tuple(params), headers=headers) as answer:
            if not is_ok(answer):
                body = b"" if answer.is_redirect else _read(answer, MAX_PROBLEM_BYTES)
                raise refused(self.options.base, answer, body)
            self.met = True
            yield answer

    def wait(self, patience: Patience, failure: Failure, stop: threading.Event) -> None:
        """Wait for the next try.

        Raises:
            LogflumeError: there is none.
        """
        if self.options.is_renewed(failure):
            return
        wait_s = patience.wait_s(failure)
        if self.options.on_wait is not None:
            self.options.on_wait(failure.error, wait_s)
        stop.wait(wait_s)


def _read(answer: httpx.Response, most_bytes: int) -> bytes:
    """Return the body of an answer, or a little more than ``most_bytes`` of it."""
    pieces, size = [], 0
    for piece in answer.iter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > most_bytes:
            break
    return b"".join(pieces)


class Client(Closing):
    """A log server. Any thread may ask; what is asked for is read by one thread each. A context manager.

    Every method may raise, beside what it says itself:
        ServerUnreachable: nobody answers, or not any more after ``give_up_s`` of trying.
        SignInNeeded, NotAllowed, ServerRefused: it answers, but not with that.
        ForeignServer: what is there is no log server.
        LogNotFound: with the nearest names.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
        give_up_s: float = GIVE_UP_S,
        compress: bool = False,
        on_wait: Callable[[LogflumeError, float], None] | None = None,
    ) -> None:
        """Name a server; nothing is sent yet.

        Args:
            address: ``https://logs.example.com``, with the path that a proxy serves it under, if there is one.
            token: says who asks. Without it and ``token_file``: what LOGFLUME_TOKEN is, or the file that
                LOGFLUME_TOKEN_FILE names.
            token_file: a file with the token; it is read again when the server refuses it.
            ca_file: certificates (PEM) that count, instead of those that this system trusts.
            tls: everything else about TLS, such as a certificate of our own.
            timeout_s: a connection on which nothing comes for so long is cut, and made again.
            give_up_s: after so long without getting on, what went wrong is raised.
            compress: have answers compressed: for slow networks.
            on_wait: is told what went wrong, and for how many seconds it waits before it tries again.

        Raises:
            UsageError: an address, token or certificate that cannot be used.
        """
        options = Options.of(
            address,
            token=token,
            token_file=token_file,
            ca_file=ca_file,
            tls=tls,
            timeout_s=timeout_s,
            give_up_s=give_up_s,
            compress=compress,
            on_wait=on_wait,
        )
        self._asker = Asker(options)

    @property
    def address(self) -> str:
        """That of the server."""
        return self._asker.options.base

    def __repr__(self) -> str:
        return f"Client({self.address!r})"

    # what there is

    def logs(self, prefix: str = "") -> Iterator[LogEntry]:
        """Yield the logs whose ids start with ``prefix``, in the order of their ids, asking for a page at a time."""
        after: str | None = ""
        while after is not None:
            page = self._asker.ask(API, params_of(prefix=prefix, after=after, limit=1000))
            yield from page["logs"]
            after = page["after"]

    def meta(self, log_id: str) -> Meta:
        """Return what a log is made of: bytes, lines, times, levels, sources, state."""
        return cast("Meta", self._asker.ask(log_path(log_id), []))

    def wait(self, log_id: str, version: str, *, wait_s: float = WAIT_S) -> Meta:
        """Return ``meta`` as soon as its ``version`` is not this one any more, or when the time is over.

        Args:
            log_id: which log.
            version: that of an earlier ``Meta``.
            wait_s: 0 to 60 s; it is no more than half of the client's ``timeout_s``. It begins again after a cut, and
                ends early when the server does.

        Raises:
            UsageError: a time beyond that.
        """
        params = wait_params(version, wait_s, self._asker.options.timeout_s)
        return cast("Meta", self._asker.ask(log_path(log_id), params))

    # reading

    def stream(
        self,
        log_id: str,
        *,
        output: Output = Output.NDJSON,
        follow: bool = False,
        tail: int | None = None,
        after: str | None = None,
        limit: int | None = None,
        records: int | None = None,
        **which: Unpack[Which],
    ) -> Stream:
        """Read a log; iterate over the result for blocks of whole lines. Nothing is sent before the first one.

        Args:
            log_id: which one.
            output: JSON or text; ``Output.NONE``: nothing comes, and ``.lines`` and ``.records`` are counted.
            follow: go on as it grows, until it ends.
            tail: begin so many lines before the end.
            after: go on after a cursor: ``Stream.cursor``, or that of an error.
            limit: end after so many lines, at the end of a record.
            records: end after so many records.
            **which: which records; see ``logflume.client.connecting.Which``.

        Raises:
            UsageError: they do not go together, or a time is none.
            BadCursor, CursorExpired, BadPattern: while iterating; as for ``iter_merged``.

        Order:  that of the merge; of a follow that of ``iter_followed``.
        Loss:   none, and no line twice, however often the connection is cut or the server starts again; what the
                server cannot read is a Gap in ``.gaps``.
        Memory: what comes between two cursors: a mebibyte and a record, rarely more.
        """
        question = Blocks(
            self.address,
            log_id,
            which_params(**which),
            output=output,
            follow=follow,
            after=after,
            tail=tail,
            limit=limit,
            records=records,
        )
        return Stream(self._asker, question)

    def pages(
        self, log_id: str, *, after: str | None = None, limit: int = 1000, **which: Unpack[Which]
    ) -> Iterator[Page]:
        """Yield a log a page at a time, each with the cursor after it, until its present end."""
        path, params = log_path(log_id, "stream"), which_params(**which)
        while True:
            page = cast("Page", self._asker.ask(path, params + params_of(after=after, limit=limit)))
            yield page
            if page["end"]:
                return
            after = page["after"]

    def raw(self, log_id: str, *, source: str | None = None) -> Raw:
        """Download a source as it is on disk, or the whole log as text; iterate over the result for its bytes.

        Raises:
            CursorExpired: while iterating: the connection was cut, and the log has changed since. ``stream`` goes on
                in a log that grows.

        Order:  that of the file, or of the merge. Loss: none. Memory: what comes at once, some 64 KiB.
        """
        params = params_of(source=source)
        return Raw(self._asker, Download(self.address, log_id, params))

    def rows(self, log_id: str, first: int = 0, n: int = 100) -> Rows:
        """Return ``n`` lines (at most 1,000) from line ``first`` on; below 0 it counts from the end."""
        return cast("Rows", self._asker.ask(log_path(log_id, "rows"), params_of(from_=first, n=n)))

    # finding

    def locate(
        self,
        log_id: str,
        *,
        seq: int | None = None,
        ts: str | None = None,
        error: Literal["next", "previous"] | None = None,
        level: Literal["warning", "error", "critical"] = "error",
    ) -> Place:
        """Return the place of a line, of a time, or of the ``next`` or ``previous`` error seen from line ``seq``."""
        params = params_of(seq=seq, ts=ts, error=error, level=level)
        return cast("Place", self._asker.ask(log_path(log_id, "locate"), params))

    def summary(self, log_id: str, buckets: int = 240) -> Summary:
        """Return counts of records by time and level."""
        return cast("Summary", self._asker.ask(log_path(log_id, "summary"), params_of(buckets=buckets)))

    def search(self, log_id: str, *, limit: int | None = None, **which: Unpack[Which]) -> Search:
        """Look for records; iterate over the result for hits, as they are found. Closing it ends the search.

        Where the server ends a search because it has taken long, it goes on from there. Of a log that grows, the
        ordinals of hits are those of the moment.

        Raises:
            UsageError: a time or level that is none; the server also refuses a search for nothing.
        """
        return Search(self._asker, Hits(self.address, log_id, which_params(**which), limit=limit))

    def close(self) -> None:
        """Close all connections."""
        self._asker.close()


class _Running(Closing, Generic[T]):
    """A question that is being answered: an iterator, and a context manager. One thread reads; any may close it."""

    def __init__(self, asker: Asker, question: Asking[T]) -> None:
        self._asker = asker
        self._question = question
        self._stop = threading.Event()
        self._answer: httpx.Response | None = None
        self._patience = Patience(asker.options.give_up_s, met=asker.met)
        self._items = self._iter()
        self.cuts = 0

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        """Return the next one, waiting for it.

        Raises:
            StopIteration: that was all, or this was closed.
        """
        return next(self._items)

    def _iter(self) -> Iterator[T]:
        while not self._question.ended and not self._stop.is_set():
            try:
                yield from self._try()
                continue
            except _TRY as error:
                failure = failure_of(self._question.address, error)
            if not self._stop.is_set():
                self.cuts += 1
                name_place(failure, self._question.cursor)
                self._asker.wait(self._patience, failure, self._stop)

    def _try(self) -> Iterator[T]:
        """Ask once, and yield what comes of it.

        Raises:
            BrokenAnswer, BrokenOff, httpx.RequestError: it did not come to an end.
        """
        question, place = self._question, self._question.place()
        with self._asker.opened(question.path, question.params(), question.accept, question.headers()) as answer:
            check_answer(question.address, answer, question.accept)
            self._patience.answered()
            self._answer = answer
            question.began(answer.headers)
            packed = "content-encoding" in answer.headers
            for data in answer.iter_bytes() if packed else answer.iter_raw():
                yield from question.feed(data)
                if question.ended or self._stop.is_set():
                    return
                if question.follow:
                    self._patience.heard()
                if question.place() != place:
                    place = question.place()
                    self._patience.got_on()
            question.finished()
        if not question.complete:
            raise BrokenAnswer(unreachable(question.address, "it broke off"))

    def close(self) -> None:
        """End it; a thread that waits for more is woken. From any thread."""
        self._stop.set()
        answer = self._answer
        if answer is not None and not answer.is_closed:
            with contextlib.suppress(Exception):  # it may have been closed meanwhile
                answer.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(ValueError):  # another thread is in it, and leaves it now
            self._items.close()  # type: ignore[attr-defined]  # it is a generator


class Stream(OfBlocks, _Running[bytes]):
    """Blocks of whole lines of a log; see ``Client.stream``.

    Attributes:
        cuts: how often it was asked again.
    """

    _question: Blocks

    def __init__(self, asker: Asker, question: Blocks) -> None:
        super().__init__(asker, question)


class Search(OfHits, _Running[Hit]):
    """Hits of a search; see ``Client.search``."""

    _question: Hits

    def __init__(self, asker: Asker, question: Hits) -> None:
        super().__init__(asker, question)


class Raw(OfDownload, _Running[bytes]):
    """Bytes of a source; see ``Client.raw``."""

    _question: Download

    def __init__(self, asker: Asker, question: Download) -> None:
        super().__init__(asker, question)
