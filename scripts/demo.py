"""``make demo``: make the log that once took 4 GB to read, merge it, and show what that costs.

Holds: figures are those of whole commands in processes of their own; no merge is praised whose lines do not add up.
Plan:  generate (once), merge before the reader's eyes and count, then time it in turn with ``sort -m``, and stream it
       once from a server to a client; at last, look at it in a browser, beside a log that grows.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import itertools
import json
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from rich.table import Table

from bench.data import LOGFLUME, ROOT, SEED
from bench.measure import Contestant, Runs, run_once
from bench.rows import driver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FOLDER = ROOT / "build" / "demo"
READ_BYTES = 1 << 20
ROUNDS = 3
GROW_S = 0.2

console = Console()


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--lines", type=int, default=SEED.lines, help="size of the log (default: %(default)s, 830 MB)")
    lines = parser.parse_args().lines
    files = generate(lines)
    size = sum(path.stat().st_size for path in files)
    console.print(
        f"{len(files)} interleaved sources, {lines:,} lines, {size / 1e6:,.0f} MB in {FOLDER.relative_to(ROOT)}"
    )
    merged = merge_in_view(files, size)
    counted = count_lines(files)
    if merged != counted:
        console.print(f"[bold red]The merge gave {merged:,} lines, and wc -l counts {counted:,} in the files.[/]")
        return 1
    console.print(f"{merged:,} lines came out, as many as `wc -l` counts in the files.")
    console.print(compare(files, size))
    show(files)
    return 0


def show(files: Sequence[Path]) -> None:
    """Serve the log, with a live one beside it, to a browser: until Ctrl-C on a terminal, else for a moment."""
    folder = FOLDER / "served"
    shutil.rmtree(folder, ignore_errors=True)
    for path in files:
        (folder / "large").mkdir(parents=True, exist_ok=True)
        (folder / "large" / path.name).symlink_to(path)
    grown = folder / "live" / "growing.log"
    grown.parent.mkdir()
    words: list[str | Path] = [LOGFLUME, "serve", folder, "--pattern", "{kind}/{*file}.log", "--port", "0"]
    with subprocess.Popen([*words, "--access-log", "off"], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None  # noqa: S101 - asked for in the line above
        address = re.search(r"http://\S+", server.stderr.readline())
        try:
            if address is None:
                sys.exit("logflume serve did not start")
            console.print(f"Both logs, the large one and a live one, are shown at [bold]{address[0]}[/]")
            if sys.stdout.isatty():
                console.print("Ctrl-C ends it.")
            with contextlib.suppress(KeyboardInterrupt):
                grow(grown, float("inf") if sys.stdout.isatty() else 1.0)
        finally:
            server.terminate()


def grow(path: Path, seconds: float) -> None:
    """Write a line now and then."""
    end_s = time.monotonic() + seconds
    with path.open("a", encoding="utf-8", buffering=1) as log:
        for number in itertools.count(1):
            level = "error" if number % 97 == 0 else "warning" if number % 31 == 0 else "info"
            now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="microseconds")
            log.write(json.dumps({"timestamp": now, "level": level, "event": f"order {number} is shipped"}) + "\n")
            if time.monotonic() >= end_s:
                return
            time.sleep(GROW_S)


def generate(lines: int) -> list[Path]:
    """Return the demo's files, making them first when they are not there."""
    folder = FOLDER / str(lines)
    if not folder.exists():
        beside = folder.with_suffix(".part")
        console.print("making the log (once) …")
        words = ["--lines", str(lines), "--sources", "3", "--pattern", "interleaved", "--format", "json"]
        subprocess.run([LOGFLUME, "gen", beside, *words], check=True, stdout=subprocess.DEVNULL)
        beside.rename(folder)
    return sorted(folder.glob("*.log"))


def merge_in_view(files: Sequence[Path], size: int) -> int:
    """Merge with a bar to look at; return how many lines came out."""
    columns = [TextColumn("merging"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn()]
    lines = 0
    command: list[str | Path] = [LOGFLUME, "cat", "--output", "ndjson", *files]
    with Progress(*columns, console=console) as progress, subprocess.Popen(command, stdout=subprocess.PIPE) as merge:
        bar = progress.add_task("merging", total=size)
        assert merge.stdout is not None  # noqa: S101 - asked for in the line above
        while block := merge.stdout.read(READ_BYTES):
            lines += block.count(b"\n")
            progress.advance(bar, len(block))
    if merge.returncode:
        sys.exit(f"logflume cat failed with exit code {merge.returncode}")
    return lines


def count_lines(files: Sequence[Path]) -> int:
    """Ask ``wc -l``."""
    said = subprocess.run(["wc", "-l", "--", *files], capture_output=True, text=True, check=True).stdout
    return int(said.splitlines()[-1].split()[0])


def compare(files: Sequence[Path], size: int) -> Table:
    """Time both merges in turn; return the table."""
    commands = {
        "logflume cat --output ndjson": Contestant("", [LOGFLUME, "cat", "--output", "ndjson", *files]),
        "LC_ALL=C sort -m": Contestant("", ["sort", "-m", *files], env={"LC_ALL": "C"}),
    }
    caption = f"to /dev/null, median of {ROUNDS}; from the server once, over loopback"
    table = Table("who", "seconds", "MB/s", "first byte", "peak memory", caption=caption)
    with console.status("timing it beside sort -m …"):
        rounds = [{name: run_once(command) for name, command in commands.items()} for _ in range(ROUNDS)]
        first = {name: run_once(command, "first").first_byte_s for name, command in commands.items()}
    for name in commands:
        runs = Runs(name, [each[name] for each in rounds])
        table.add_row(
            name,
            f"{runs.wall_s:.2f}",
            f"{size / runs.wall_s / 1e6:,.0f}",
            f"{(first[name] or 0) * 1e3:.0f} ms",
            f"{runs.rss_bytes / (1 << 20):.0f} MiB",
        )
    with console.status("streaming it from a server …"):
        served = run_once(driver("serve.py", "stream", *files))
    table.add_row(
        "logflume serve, to a client",
        f"{served.wall_s:.2f}",
        f"{size / served.wall_s / 1e6:,.0f}",
        f"{(served.first_byte_s or 0) * 1e3:.0f} ms",
        f"grew by {served.report['growth_mib']:.0f} MiB",
    )
    return table


if __name__ == "__main__":
    sys.exit(main())
