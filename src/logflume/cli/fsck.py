"""``logflume fsck``: see whether a captured folder is whole, and put it in order.

Holds: nothing; see ``logflume.ship.fsck``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logflume.cli.screen import Out, visible
from logflume.errors import UsageError
from logflume.ship.fsck import check, repair, streams_of

if TYPE_CHECKING:
    from logflume.ship.fsck import Fault

_FAULTS = 1


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--repair", "wanted", is_flag=True, help="Put it in order; nobody may capture into FOLDER meanwhile.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def command(folder: Path, wanted: bool, as_json: bool) -> int:
    """Compare what was captured into FOLDER with its checksums.

    Indexes, cursors and notes are looked at, too. Nothing is changed without --repair. With it no captured byte is
    changed either: what is damaged beside them is set aside as NAME.damaged and made anew, and bytes that are not what
    came are written down as lost.

    \b
    logflume fsck logs/job
    logflume fsck --repair logs/job
    """
    if not streams_of(folder):
        raise UsageError(f"nothing was captured into {folder}")
    faults = repair(folder) if wanted else check(folder)
    if as_json:
        text = json.dumps([{**asdict(fault), "path": str(fault.path)} for fault in faults], indent=2)
    else:
        text = "\n".join(_line(fault, folder, done=wanted) for fault in faults) or f"{folder}: all is as it came"
    Out().write_text(text + "\n")
    return 0 if wanted or not faults else _FAULTS


def _line(fault: Fault, folder: Path, *, done: bool) -> str:
    name = visible(str(fault.path.relative_to(folder)))
    return f"{name}: {fault.what}; {'' if done else 'with --repair '}{fault.repair}"
