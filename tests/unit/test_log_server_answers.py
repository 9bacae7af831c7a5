"""What a log server may answer, and what is made of it."""

from __future__ import annotations

import gzip
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from logflume.errors import SourceFailed
from logflume.records import GapReason
from logflume.sources import logserver
from logflume.sources.hosts import AllowedHosts
from logflume.sources.logserver import LogServerSource, Served

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = b"".join(b"line %d\n" % number for number in range(5000))
OK = b"HTTP/1.1 200 OK\r\n"


class Asked(list[str]):
    """The heads of the requests that came."""


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[LogServerSource, Asked]]:
    """Answer each connection with the next of these bytes, the last one again and again, and close it."""
    asked = Asked()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def run() -> None:
            number = 0
            while True:
                connection, _ = listening.accept()
                with connection:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        piece = connection.recv(4096)
                        if not piece:
                            break
                        head += piece
                    if head.startswith(b"END"):
                        return
                    asked.append(head.decode())
                    connection.sendall(answers[min(number, len(answers) - 1)])
                    number += 1

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield LogServerSource(served(port)), asked
        finally:
            with socket.create_connection(("127.0.0.1", port)) as last:
                last.sendall(b"END\r\n\r\n")
            thread.join()


def served(port: int, *, read_s: float = 5.0) -> Served:
    """Return a place on this machine."""
    return Served("127.0.0.1", port, "/log/a%20b.log", lambda: "secret-token", AllowedHosts.of([]), read_s=read_s)


def chunked(data: bytes) -> bytes:
    """Encode a body without its length."""
    cuts = range(0, len(data), 1000)
    return b"".join(b"%x\r\n%s\r\n" % (len(data[at : at + 1000]), data[at : at + 1000]) for at in cuts) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: %d\r\n\r\n" % len(LOG) + LOG,
        OK + b"\r\n" + LOG,
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(LOG),
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(LOG),
        OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(gzip.compress(LOG)),
    ],
    ids=["with length", "until it closes", "chunked", "gzip", "gzip, chunked"],
)
def test_every_form_of_answer_is_read(answer: bytes) -> None:
    """With a length or without, plain or gzipped: all bytes come."""
    beyond = b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */%d\r\nContent-Length: 0\r\n\r\n" % len(LOG)
    with answering(answer, beyond) as (source, asked), source.open() as reader:
        blocks = list(iter(reader.read_block, b""))
    assert b"".join(blocks) == LOG
    assert "authorization: secret-token\r\n" in asked[0].lower()
    assert asked[0].startswith("GET /log/a%20b.log HTTP/1.1\r\n")


def test_a_connection_that_breaks_is_resumed() -> None:
    """An answer that is cut off goes on where it broke, on a new connection."""
    cut = OK + b"Content-Length: %d\r\n\r\n" % len(LOG) + LOG[:7000]
    rest = b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n\r\n" % len(LOG[7000:]) + LOG[7000:]
    with answering(cut, rest) as (source, asked), source.open() as reader:
        read = b""
        while len(read) < len(LOG):
            read += reader.read_block()
    assert read == LOG
    assert "range: bytes=7000-\r\n" in asked[1].lower()


def test_a_server_without_ranges_is_resumed_too() -> None:
    """What was read before is passed over."""
    cut = OK + b"Content-Length: %d\r\n\r\n" % len(LOG) + LOG[:7000]
    whole = OK + b"Content-Length: %d\r\n\r\n" % len(LOG) + LOG
    with answering(cut, whole) as (source, _), source.open() as reader:
        read = b""
        while len(read) < len(LOG):
            read += reader.read_block()
    assert read == LOG


def test_one_that_breaks_off_again_and_again_is_given_up() -> None:
    """After some tries without a byte, the source fails and says so."""
    nothing = OK + b"Content-Length: 100\r\n\r\n"
    broken = pytest.raises(SourceFailed, match="breaks off")
    with answering(nothing) as (source, asked), source.open() as reader, broken:
        reader.read_block()
    assert len(asked) == logserver.MAX_RESUMES + 1


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", GapReason.PERMISSION_DENIED, "same 'secret_key'"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", GapReason.NOT_FOUND, "remote logging"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", GapReason.UNREADABLE, "answers 500"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", GapReason.UNREADABLE, "answers 204"),
        (b"no HTTP at all\r\n\r\n", GapReason.UNREADABLE, "does not answer"),
        (b"", GapReason.UNREADABLE, "does not answer"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(answer: bytes, reason: GapReason, words: str) -> None:
    """Each answer that is no log becomes a gap with its reason; no secret is in it."""
    with answering(answer) as (source, _), pytest.raises(SourceFailed, match=words) as failed:
        source.open()
    assert failed.value.gap.reason is reason
    assert "secret-token" not in str(failed.value)


def test_no_token_follows_a_redirect() -> None:
    """A log server that sends elsewhere is not followed, whoever it names."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") as (other, elsewhere):
        where = other.name.encode()
        answer = b"HTTP/1.1 302 Found\r\nLocation: " + where + b"\r\nContent-Length: 0\r\n\r\n"
        with answering(answer) as (source, _), pytest.raises(SourceFailed, match="sends elsewhere"):
            source.open()
    assert elsewhere == []


def test_no_token_leaves_for_a_host_that_is_not_allowed() -> None:
    """A host outside of the rules is not even connected to."""
    with answering(OK + b"\r\n") as (source, asked):
        port = int(source.name.split(":")[2].split("/")[0])
        strict = Served("127.0.0.1", port, "/log/x", lambda: "secret-token", AllowedHosts.of(["10.0.0.0/8"]))
        with pytest.raises(SourceFailed, match="log_server_hosts") as failed:
            LogServerSource(strict).open()
    assert asked == []
    assert failed.value.gap.reason is GapReason.PERMISSION_DENIED


def test_one_that_says_nothing_is_left() -> None:
    """A server that takes the connection and never answers fails after its time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = LogServerSource(served(silent.getsockname()[1], read_s=0.2))
        with pytest.raises(SourceFailed, match="does not answer"):
            source.open()


def test_a_small_answer_that_unpacks_to_much_comes_in_pieces() -> None:
    """A gzip bomb is read a bounded piece at a time."""
    packed = gzip.compress(bytes(50_000_000))
    with answering(OK + b"Content-Encoding: gzip\r\n\r\n" + packed) as (source, _), source.open() as reader:
        sizes = [len(reader.read_block()) for _ in range(100)]
    assert max(sizes) <= logserver.PIECE_BYTES


def test_an_encoding_that_was_not_asked_for_is_refused() -> None:
    """What cannot be decoded is not shown as a log."""
    refused = pytest.raises(SourceFailed, match="encoded as br")
    with answering(OK + b"Content-Encoding: br\r\n\r\nxyz") as (source, _), source.open() as reader, refused:
        reader.read_block()
