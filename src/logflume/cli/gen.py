"""``logflume gen``: make a log; the same options give the same bytes, on every machine.

Holds: one block; see ``logflume.generate``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from logflume.cli import options as ask
from logflume.cli.bar import Bar
from logflume.cli.screen import Out, visible
from logflume.generate import SEED_LINES, Layout, LineFormat, Pattern, Plan, write_log
from logflume.sizes import show_size

if TYPE_CHECKING:
    from enum import Enum

FRACTION = click.FloatRange(0, 1)


def _names(kind: type[Enum]) -> click.Choice[str]:
    return click.Choice([member.value for member in kind])


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--lines", type=click.IntRange(min=0), help=f"Lines in all, without copies. [default: {SEED_LINES}]")
@click.option(
    "--bytes", "size_bytes", metavar="SIZE", callback=ask.size, help="Size of all files instead: 830MB, 10GB."
)
@click.option("--sources", type=click.IntRange(min=1), default=3, show_default=True, help="How many files.")
@click.option("--pattern", type=_names(Pattern), default="interleaved", help="How lines are spread over the files.")
@click.option("--format", "line_format", type=_names(LineFormat), default="json", help="What a line looks like.")
@click.option("--duplicates", type=FRACTION, default=0.0, help="Fraction of records that stand in another file, too.")
@click.option("--ties", type=FRACTION, default=0.0, help="Fraction of records that have the time of the one before.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Another seed makes another log.")
@click.option("--layout", type=_names(Layout), default="flat", help="What the files are called.")
@ask.quiet
def command(
    folder: Path,
    lines: int | None,
    size_bytes: int | None,
    sources: int,
    pattern: str,
    line_format: str,
    duplicates: float,
    ties: float,
    seed: int,
    layout: str,
    quiet: bool,
) -> int:
    """Make a log in DIR: for demos, tests and benchmarks.

    Without options it is 830 MB: 8,670,000 lines in three interleaved files. Files of the same names are overwritten.

    \b
    logflume gen demo --lines 100000
    logflume gen big --bytes 10GB --sources 8 --format plain --pattern runs
    logflume gen logs --lines 1000 --layout airflow --duplicates 0.1
    """
    plan = Plan(
        lines=lines,
        bytes=size_bytes,
        sources=sources,
        pattern=Pattern(pattern),
        format=LineFormat(line_format),
        duplicates=duplicates,
        ties=ties,
        seed=seed,
    )
    return gen(folder, plan, Layout(layout), with_bar=not quiet)


def gen(folder: Path, plan: Plan, layout: Layout, *, with_bar: bool) -> int:
    """Write the log and say what was made; return the exit code."""
    so_far = [0, 0]  # bytes written, bytes expected

    def progress(done_bytes: int, expected_bytes: int) -> None:
        so_far[:] = done_bytes, expected_bytes

    with Bar("writing", lambda: so_far[0], lambda: so_far[1], wanted=with_bar):
        files = write_log(folder, plan, layout=layout, progress=progress)
    Out().write_text(f"{len(files)} files, {show_size(so_far[0])}, in {visible(str(folder))}\n")
    return 0
