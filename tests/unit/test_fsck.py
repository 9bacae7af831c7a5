from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from logflume.errors import UsageError
from logflume.ship.fsck import check, repair
from logflume.ship.replay import replay
from logflume.ship.segments import Rules, Segments
from logflume.ship.shipper import Job, ship
from logflume.sources.captured import SIDE
from tests.integration.command import run
from tests.unit.test_delivery import ListSink, lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "out.log"


@pytest.fixture
def captured(tmp_path: Path) -> Path:
    """Give a folder with a captured stream in several segments, shipped to a sink."""
    segments = Segments(tmp_path, NAME, Rules(1 << 20, segment_bytes=100_000))
    for start in range(0, 20_000, 1000):
        segments.append(lines(1000, start))
        segments.tick()
    segments.close()
    ship(tmp_path, [ListSink()])
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    """Return every captured byte, by file."""
    return {path.name: path.read_bytes() for path in folder.glob(f"{NAME}*")}


def index(folder: Path, number: int) -> Path:
    """Return the index of a segment, the oldest first."""
    return sorted((folder / SIDE).glob("*.index"))[number]


def test_a_whole_capture_has_no_faults(captured: Path) -> None:
    """What is as it came is said to be so."""
    assert check(captured) == []
    assert repair(captured) == []


def flip(path: Path, at: int) -> None:
    """Change a byte of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte of a segment": (lambda folder: flip(folder / f"{NAME}.2", 50_000), "are not what came"),
    "the end of the newest": (lambda folder: os.truncate(folder / NAME, 60_000), "are not there"),
    "a whole segment": (lambda folder: (folder / f"{NAME}.2").unlink(), "bytes before it are not there"),
    "an index": (lambda folder: index(folder, 1).unlink(), "it has no index"),
    "the head of an index": (lambda folder: flip(index(folder, 1), 9), "it has no index"),
    "the end of an index": (lambda folder: flip(index(folder, 1), 60), "its end is damaged"),
    "the losses": (lambda folder: (folder / SIDE / f"{NAME}.losses").write_text("{torn"), "lines of it are damaged"),
    "a cursor": (lambda folder: flip(next((folder / SIDE / "cursors").glob("*.cursor")), 30), "checksum"),
    "a note": (lambda folder: (folder / SIDE / "capture.json").write_text("{"), "it is no JSON"),
    "a write that broke off": (lambda folder: (folder / SIDE / "out.part").write_text("x"), "was not finished"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_put_in_order(captured: Path, damage: str) -> None:
    """Each damage is named; putting it in order changes no captured byte, and leaves no fault."""
    spoil, said = DAMAGES[damage]
    spoil(captured)
    before = content(captured)
    faults = check(captured)
    assert any(said in fault.what for fault in faults), faults
    assert content(captured) == before
    assert repair(captured) == faults
    assert content(captured) == before
    assert check(captured) == []
    lost_bytes = sum(fault.lost_bytes for fault in faults)
    segments = Segments(captured, NAME, Rules(1 << 20, segment_bytes=100_000))
    assert segments.losses.lost_bytes == lost_bytes
    segments.close()
    sink = ListSink("another")
    assert ship(captured, [sink])[0].done
    kept = b"".join(before[name] for name in sorted(before, key=lambda name: -int("0" + name[8:])))
    told = [line for line in sink.all.splitlines(keepends=True) if not line.startswith(b"{")]
    assert b"".join(told).rstrip(b"\n") == kept.rstrip(b"\n")


def test_nothing_is_put_in_order_while_somebody_captures(tmp_path: Path) -> None:
    """Looking is allowed at any time, and finds nothing wrong with what is being written; changing is refused."""
    segments = Segments(tmp_path, NAME)
    segments.append(lines(10_000))
    segments.tick()
    segments.append(lines(100))
    assert check(tmp_path) == []
    with pytest.raises(UsageError, match="is being captured into"):
        repair(tmp_path)
    segments.close()


def test_fsck_says_what_it_finds(captured: Path) -> None:
    """The command names the file and what repairing does; its exit code tells whether all is well."""
    assert run("fsck", captured).text == f"{captured}: all is as it came\n"
    flip(captured / f"{NAME}.2", 50_000)
    found = run("fsck", captured)
    assert found.code == 1
    assert f"{NAME}.2: " in found.text
    assert "with --repair they are written down as lost" in found.text
    (fault,) = json.loads(run("fsck", "--json", captured).text)
    assert fault["lost_bytes"] > 0
    assert run("fsck", "--repair", captured).code == 0
    assert run("fsck", captured).code == 0
    (captured / "empty").mkdir()
    assert run("fsck", captured / "empty").code == 2


def test_a_replay_moves_no_cursor(captured: Path) -> None:
    """All that is kept comes again, although the sink had it; what is captured later is shipped from where it was."""
    again = ListSink()
    assert replay(Job(captured, [again]))[0].done
    assert again.all == lines(20_000)
    segments = Segments(captured, NAME, Rules(1 << 20, segment_bytes=100_000))
    segments.append(lines(10, 20_000))
    segments.close()
    sink = ListSink()
    ship(captured, [sink])
    assert sink.all == lines(10, 20_000)


def test_a_replay_from_a_time_on(tmp_path: Path) -> None:
    """What came before is left out, as the index tells."""
    segments = Segments(tmp_path, NAME, Rules(1 << 20, segment_bytes=100_000))
    now_ns = time.time_ns()
    for second in range(10):
        segments.append(lines(1000, second * 1000))
        segments.tick(now_ns + second * 10**9, to_end=True)
    segments.close()
    for since, first in ((-1, 0), (4, 4000), (8.5, 9000), (60, 10_000)):
        sink = ListSink()
        assert replay(Job(tmp_path, [sink]), since_ns=now_ns + int(since * 1e9))[0].done
        assert sink.all == lines(10_000 - first, first), since


def test_replay_and_drain_as_commands(captured: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Both bring what is there to a sink; drain waits for those that had some, and says what is missing."""
    out = tmp_path_factory.mktemp("out")
    assert run("replay", captured, "--sink", f"file:{out / 'again'}").code == 0
    assert (out / "again").read_bytes() == lines(20_000)
    assert run("drain", captured, "--sink", f"file:{out / 'drained'}").code == 0
    assert (out / "drained").read_bytes() == lines(20_000)
    assert run("drain", captured, "--timeout", "60").code == 0
    segments = Segments(captured, NAME, Rules(1 << 20, segment_bytes=100_000))
    segments.append(lines(10))
    segments.close()
    late = run("drain", captured, "--timeout", "0")
    assert late.code == 2
    assert "list has not had 200 B" in late.err
    bare = out / "bare"
    bare.mkdir()
    assert run("drain", bare).code == 2
