"""An executor that gives its logs, asked as ``logflume.abc.ExecutorLogs`` says.

Holds: nothing; the streams are not read here.
Plan:  streams when it advertises or has them, each of which becomes a source; whole texts otherwise, which follow each
other in one. A source that is opened again asks the executor again, for a stream can be read once.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from logflume.abc import Found
from logflume.sources.streamed import StreamedSource, iter_texts, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from logflume.abc import Source

_BASE = "airflow.executors.base_executor"


def ask_executor(executor: object, ti: Any, try_number: int, *, name: str) -> Found:  # noqa: ANN401 - Airflow's own
    """Ask an executor for the log of a try; its sources are called after ``name``.

    Raises:
        Exception: whatever the executor raises; NotImplementedError is no reason to, it has no logs then.

    Order:  as the executor gives it. Loss: none; a stream that breaks is a Gap of its source.
    Memory: streams: a spool each, while they are read. Texts: as the executor holds them, once.
    """
    for method, lines_of in _ways(executor):
        try:
            messages, streams = _answer(method(ti, try_number))
        except NotImplementedError:
            continue
        asked = _Asked(streams, method, ti, try_number, lines_of)
        return Found([str(text) for text in messages], asked.sources(name))
    return Found()


def _ways(executor: object) -> Iterator[tuple[Callable[[Any, int], Any], Callable[[Any], Iterator[bytes]]]]:
    """Yield how it can be asked, best first."""
    if _streams(type(executor)):
        yield executor.get_streaming_task_log, _iter_lines  # type: ignore[attr-defined] # it was looked for
    legacy = getattr(executor, "get_task_log", None)
    if legacy is not None:
        yield _as_one(legacy), iter_texts


def _streams(cls: type) -> bool:
    """Tell whether it has the method, or says so; what Airflow's base class has and says counts for nothing."""
    own = [vars(each) for each in cls.__mro__ if each.__module__ != _BASE]
    says = next((each["supports_streaming_logs"] for each in own if "supports_streaming_logs" in each), None)
    has = any("get_streaming_task_log" in each for each in own)
    return has and says is not False


def _iter_lines(stream: Iterable[Any]) -> Iterator[bytes]:
    try:
        yield from map(line_of, stream)
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


def _as_one(legacy: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
    """Return what asks for whole texts, and takes them for the parts of one log, as Airflow does."""

    def ask(ti: Any, try_number: int) -> Any:  # noqa: ANN401 - Airflow's own
        messages, texts = _answer(legacy(ti, try_number))
        parts = list(texts)
        return messages, [parts] if parts else []

    return ask


def _answer(answer: Any) -> tuple[Iterable[str], Iterable[Any]]:  # noqa: ANN401 - the executor's own
    """Return messages and streams; nothing at all stands for none of either."""
    messages, streams = answer or ([], [])
    return messages or [], streams or []


class _Asked:
    """What an executor answered: each stream once, and then asked for again."""

    def __init__(
        self,
        streams: Iterable[Any],
        method: Callable[[Any, int], Any],
        ti: Any,  # noqa: ANN401 - as above
        try_number: int,
        lines_of: Callable[[Any], Iterator[bytes]],
    ) -> None:
        self._unread = dict(enumerate(streams))
        self._method = method
        self._ti = ti
        self._try_number = try_number
        self._lines_of = lines_of
        self._taking = threading.Lock()

    def sources(self, name: str) -> list[Source]:
        names = {number: name if number == 0 else f"{name} {number + 1}" for number in self._unread}
        return [StreamedSource(names[number], self._maker(number)) for number in self._unread]

    def _maker(self, number: int) -> Callable[[], Iterator[bytes]]:
        return lambda: self._lines_of(self._take(number))

    def _take(self, number: int) -> Any:  # noqa: ANN401 - a stream, or a text
        with self._taking:
            if number in self._unread:
                return self._unread.pop(number)
        _, streams = _answer(self._method(self._ti, self._try_number))
        again = list(streams)
        return again[number] if number < len(again) else []
