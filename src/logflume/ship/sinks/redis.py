"""A Redis stream as a sink: each line is an entry, its bytes as they were written.

Holds: the requests on their way, one for each stream, and a connection.
Plan:  the core writes the commands. A request is one transaction, and with it goes a note up to where the captured
       stream is in Redis: one whose answer did not come is looked up before it is sent again.
Order: as written. Loss: none; with ``max_length`` Redis itself removes the oldest entries.
Twice: only what was on its way when we were killed and is cut differently the next time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logflume import _core
from logflume.errors import SinkRefused, UsageError
from logflume.kinds import Seconds, Size, Text, Whole
from logflume.settings import required, setting
from logflume.ship.requests import TAKEN, Receipt, Requests
from logflume.ship.run import run_of
from logflume.ship.sinks import SinkKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logflume.ship.requests import Packer, Request
    from logflume.ship.sinks import Origin

MAX_EVENTS = 1000
BATCH_BYTES = 1024 * 1024
MAX_EVENT_BYTES = 64 * 1024 * 1024
"""Redis itself takes 512 MiB; no line that is shipped is longer than a piece of 1 MiB."""

TIMEOUT_S = 30.0

_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"


@dataclass(frozen=True, kw_only=True)
class RedisOptions:
    """The options of this kind."""

    url: str = required(
        Text("an address: redis://HOST:6379/0, rediss://… or unix://…", r"(redis|rediss|unix)://.+"), "Where Redis is."
    )
    key: str = setting(Text(), "logflume:{stream}", "The stream in Redis; `{stream}` is the name of the captured file.")
    field: str = setting(Text(), "line", "The field of an entry that holds the line.")
    max_length: int | None = setting(
        Whole(1, 10**12), None, "About so many entries are kept; Redis removes older ones."
    )
    batch_bytes: int = setting(Size(1024), BATCH_BYTES, "A request of that size is full.")
    linger_s: float = setting(Seconds(0, 60), 0.2, "How long lines wait at most for a request to become full.")
    max_bytes_per_s: int | None = setting(Size(1024), None, "No more is sent in a second.")


class RedisSink(Requests):
    """See ``logflume.ship.requests.RequestSink``."""

    in_flight = 1

    def __init__(self, options: RedisOptions, origin: Origin) -> None:
        """Open nothing yet."""
        self._options, self._folder = options, origin.folder
        self._key = origin.fill(options.key)
        self.name = origin.name or f"{_without_secrets(options.url)}#{options.key}"
        self.linger_s, self.max_bytes_per_s = options.linger_s, options.max_bytes_per_s
        self._client: Any = None
        self._unsure: set[str] = set()
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def packer(self, stream: str) -> Packer:
        """Begin a stream."""
        words: list[bytes] = [b"XADD", self._key_of(stream).encode()]
        if self._options.max_length is not None:
            words += [b"MAXLEN", b"~", b"%d" % self._options.max_length]
        words += [b"*", self._options.field.encode()]
        return _core.Packer(
            "redis",
            max_events=MAX_EVENTS,
            max_bytes=self._options.batch_bytes,
            max_event_bytes=MAX_EVENT_BYTES,
            opening=_MULTI,
            before=b"*%d\r\n" % (len(words) + 1) + b"".join(map(_word, words)),
        )

    def _key_of(self, stream: str) -> str:
        return self._key.replace("{stream}", stream)

    def send(self, request: Request) -> Receipt:
        """Add the entries of a request.

        Raises:
            SinkRefused: Redis did not take them, or could not be asked.
        """
        try:
            from redis.exceptions import RedisError
        except ImportError as error:
            raise SinkRefused(self.name, "redis is missing: pip install 'logflume[redis]'") from error
        with self._lock:
            try:
                self._send(request)
            except (RedisError, OSError) as error:
                self._unsure.add(request.stream)
                raise SinkRefused(self.name, " ".join(str(error).split()) or type(error).__name__) from error
        return TAKEN

    def _send(self, request: Request) -> None:
        client = self._connect()
        note = f"{self._key_of(request.stream)}:logflume:{run_of(self._folder)}:{request.stream}"
        if request.end is not None and self._may_be_there(request.stream):
            known = client.get(note)
            if known is not None and int(known) >= request.end:
                return
        self._unsure.discard(request.stream)
        self._seen.add(request.stream)
        noted = b"" if request.end is None else _command(b"SET", note.encode(), b"%d" % request.end)
        self._run(client, request.payload + noted + _EXEC, request.events + bool(noted))

    def _may_be_there(self, stream: str) -> bool:
        return stream in self._unsure or stream not in self._seen

    def _run(self, client: Any, commands: bytes, count: int) -> None:  # noqa: ANN401 - redis types its client loosely
        """Send a transaction as it is; read an answer for each command, and that of the whole."""
        pool = client.connection_pool
        connection = pool.get_connection()
        try:
            connection.send_packed_command([commands])
            for _ in range(count + 1):
                connection.read_response()
            results = connection.read_response()
            failed = next((each for each in results or () if isinstance(each, Exception)), None)
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)
        if results is None or failed is not None:
            raise OSError(f"the transaction was not run: {failed}")

    def _connect(self) -> Any:  # noqa: ANN401 - as above
        if self._client is None:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry

            try:
                self._client = redis.Redis.from_url(
                    self._options.url,
                    socket_timeout=TIMEOUT_S,
                    socket_connect_timeout=TIMEOUT_S,
                    retry=Retry(NoBackoff(), 0),
                )
            except ValueError as error:
                raise OSError(f"this is no address of Redis: {error}") from error
        return self._client

    def close(self) -> None:
        """Release the connection."""
        if self._client is not None:
            self._client.close()
            self._client.connection_pool.disconnect()
            self._client = None


def _word(word: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(word), word)


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(map(_word, words))


def _without_secrets(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _words(words: str) -> Mapping[str, object] | None:
    address, _, key = words.partition("#")
    if not address.startswith(("redis://", "rediss://")):
        return None
    return {"url": address, **({"key": key} if key else {})}


def _make(options: RedisOptions, origin: Origin) -> RedisSink:
    if not _without_secrets(options.url).partition("://")[2]:
        raise UsageError("the address of Redis is redis://HOST:PORT/NUMBER")
    return RedisSink(options, origin)


KIND = SinkKind(RedisOptions, _make, _words)
