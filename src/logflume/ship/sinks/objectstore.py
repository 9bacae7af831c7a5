"""An object store as a sink: S3, Google Cloud Storage, Azure, a folder.

Holds: for each stream one part that is not full, and those on their way. An object is written once and never read or
       written again, but for a small manifest. What was captured is there after ``linger_s``, and a folder that was
       lost with its pod is not needed to read it.
Plan:  ``URL/STREAM/RUN/START-END-SIZE-CRC.log``: RUN is of the folder that was captured into, START and END are places
       in the stream. A part that is sent again has the same name, and one that overlaps another is seen by its name:
       ``logflume.sources.objectstore`` reads each byte once. The manifest says how many parts there are, and when the
       last one was written.
Order: by name. Loss: none. Twice: nothing that a reader would see of what logflume captured. Files that somebody else
       writes have no places that outlast their rotation: what was on its way when we were killed comes again behind it.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logflume.errors import SinkRefused, UsageError
from logflume.kinds import OneOf, Pairs, Seconds, Size, Text, Whole
from logflume.settings import required, setting
from logflume.ship.requests import TAKEN, Blocks, Receipt, Requests
from logflume.ship.run import run_of
from logflume.ship.sinks import SinkKind
from logflume.sources.objectstore import (
    MANIFEST,
    MAX_PART_BYTES,
    Part,
    first_line,
    is_address,
    open_store,
    part_of,
    pieces_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logflume.ship.requests import Packer, Request
    from logflume.ship.sinks import Origin

PART_BYTES = 4 * 1024 * 1024
"""A part of that size is full."""

MANIFEST_S = 30.0
"""How often the manifest is written, and at the end."""

_THROTTLED = re.compile(r"\bSlowDown\b|\bServerBusy\b|\b429 Too Many Requests\b")


@dataclass(frozen=True, kw_only=True)
class ObjectStoreOptions:
    """The options of this kind."""

    url: str = required(
        Text("an address such as s3://BUCKET/PREFIX, gs://…, az://… or file:///FOLDER", r"[a-z0-9]+:///?[^/].*"),
        "Where to; streams are below it.",
    )
    options: Mapping[str, str] | None = setting(
        Pairs(), None, "Of the service, as obstore names them; else the environment's are taken."
    )
    part_bytes: int = setting(Size(64 * 1024), PART_BYTES, "A part of that size is full.")
    linger_s: float = setting(Seconds(0, 3600), 3.0, "How long lines wait at most for a part to become full.")
    compress: str = setting(OneOf(("none", "zstd")), "none", "Whether parts are compressed.")
    in_flight: int = setting(Whole(1, 16), 2, "How many parts are on their way at once.")
    max_bytes_per_s: int | None = setting(Size(1024), None, "No more is sent in a second.")


@dataclass
class _Stream:
    """What was written of one stream since we began; ``base``: where we began, if nobody else counts it."""

    run: str
    base: int | None = None
    end: int | None = None
    parts: int = 0
    written_bytes: int = 0
    manifest_s: float = float("-inf")


class ObjectStoreSink(Requests):
    """See ``logflume.ship.requests.RequestSink``."""

    def __init__(self, options: ObjectStoreOptions, origin: Origin) -> None:
        """Open nothing yet.

        Raises:
            UsageError: parts that are too large to be read again, or an address of no service that we know.
        """
        if options.part_bytes > MAX_PART_BYTES // 2:
            raise UsageError(f"part_bytes is at most {MAX_PART_BYTES // 2}")
        url = origin.fill(options.url).rstrip("/")
        if not is_address(url):
            raise UsageError(f"{url.partition('://')[0]}:// is no object store; there are s3, gs, az and file")
        self._url, self._options, self._folder = url, options, origin.folder
        self.name = origin.name or url
        self.in_flight, self.linger_s = options.in_flight, options.linger_s
        self.max_bytes_per_s = options.max_bytes_per_s
        self._stores: dict[str, Any] = {}
        self._streams: dict[str, _Stream] = {}
        self._lock = threading.Lock()

    def packer(self, stream: str) -> Packer:
        """Begin a stream."""
        with self._lock:
            self._streams.setdefault(stream, _Stream(run_of(self._folder)))
        return Blocks(self._options.part_bytes)

    def send(self, request: Request) -> Receipt:
        """Write a part.

        Raises:
            SinkRefused: the store did not take it, or could not be asked.
        """
        try:
            with self._lock:
                store = self._store_of(request.stream)
                part = self._part_of(request, store)
            self._put(store, part.name, self._encoded(request.payload))
            self._count(request.stream, store, part)
        except UsageError as error:
            raise SinkRefused(self.name, str(error)) from error
        except SinkRefused:
            raise
        except Exception as error:
            throttled = _THROTTLED.search(str(error)) is not None
            raise SinkRefused(self.name, first_line(error), throttled=throttled) from error
        return TAKEN

    def _store_of(self, stream: str) -> Any:  # noqa: ANN401 - there is one class for each service
        if stream not in self._stores:
            self._stores[stream] = open_store(f"{self._url}/{stream}", dict(self._options.options or {}))
        return self._stores[stream]

    def _part_of(self, request: Request, store: Any) -> Part:  # noqa: ANN401 - as above
        known, size_bytes = self._streams[request.stream], len(request.payload)
        start, end = request.start, request.end
        if end is None:  # nobody counts this stream, so we go on behind what is there
            if known.base is None:
                known.base = _end_of(store, known.run)
            end = known.base + request.packed_end
            start = end - size_bytes
        elif start is None:
            start = max(0, end - size_bytes)
        return Part(known.run, start or 0, end, size_bytes, zlib.crc32(request.payload), self._compresses)

    @property
    def _compresses(self) -> bool:
        return self._options.compress == "zstd"

    def _encoded(self, payload: bytes) -> bytes:
        if not self._compresses:
            return payload
        import zstandard

        return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(payload)

    def _put(self, store: Any, name: str, data: bytes) -> None:  # noqa: ANN401 - as above
        import obstore

        obstore.put(store, name, data)

    def _count(self, stream: str, store: Any, part: Part) -> None:  # noqa: ANN401 - as above
        with self._lock:
            known = self._streams[stream]
            known.parts += 1
            known.written_bytes += part.size_bytes
            known.end = max(known.end or 0, part.end)
            now_s = time.monotonic()
            due = now_s - known.manifest_s >= MANIFEST_S
            if due:
                known.manifest_s = now_s
        if due:
            self._write_manifest(stream, store)

    def _write_manifest(self, stream: str, store: Any) -> None:  # noqa: ANN401 - as above
        with self._lock:
            known = self._streams[stream]
            about = {
                "format": 1,
                "stream": stream,
                "run": known.run,
                "end": known.end,
                "parts_since_start": known.parts,
                "bytes_since_start": known.written_bytes,
                "time_ns": time.time_ns(),
            }
        self._put(store, f"{known.run}/{MANIFEST}", json.dumps(about).encode() + b"\n")

    def close(self) -> None:
        """Write the manifests, and release connections."""
        for stream, known in self._streams.items():
            if known.parts and stream in self._stores:
                with contextlib.suppress(Exception):  # a note only; the parts say all
                    self._write_manifest(stream, self._stores[stream])
                known.parts = 0
        self._stores.clear()


def _end_of(store: Any, run: str) -> int:  # noqa: ANN401 - as above
    """Return where the next part of a run begins, by those that are there."""
    import obstore

    found = (part_of("/" + each["path"]) for page in obstore.list(store, prefix=run) for each in page)
    pieces = pieces_of(part for part in found if part is not None)
    return pieces[-1].part.end if pieces else 0


def _words(words: str) -> Mapping[str, object] | None:
    url = words.removeprefix("objectstore:")
    return {"url": url} if is_address(url) else None


KIND = SinkKind(ObjectStoreOptions, ObjectStoreSink, _words)
