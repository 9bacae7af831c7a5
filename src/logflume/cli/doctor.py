"""``logflume doctor``: why is there no log?

Holds: each finding is a line of its own, and each problem says what to do.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logflume.cli import options as ask
from logflume.cli.findings import Finding, Verdict, problem
from logflume.cli.screen import Out, visible, wants_colours
from logflume.cli.setup_checks import iter_setup_findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HEALTHY = 0
ILL = 1

_COLOURS = {Verdict.OK: "\x1b[32m", Verdict.NOTE: "\x1b[33m", Verdict.PROBLEM: "\x1b[31m"}
_RESET = "\x1b[0m"


@click.command()
@ask.paths(required=False)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Check what this file of settings wants captured, kept and shipped.",
)
@click.option("--canary", is_flag=True, help="With --config: send numbered lines the whole way, to every sink.")
@ask.timing
@ask.color
def command(paths: tuple[str, ...], config: Path | None, canary: bool, color: str, **timing: object) -> int:
    """Say why there is no log, and check the set-up.

    Without PATH it checks Python, the core, limits and folders; with PATH also whether that is there, may be read,
    holds anything, is intact, has times that are known, and grows.

    \b
    logflume doctor
    logflume doctor /var/log/airflow/dag_id=load/
    logflume doctor --config logflume.toml --canary

    Exit code: 0 all well, 1 there are problems.
    """
    if canary and config is None:
        raise click.UsageError("--canary needs --config FILE, which names the sinks")
    findings = itertools.chain(
        iter_setup_findings(), _iter_path_findings(paths, timing), _iter_config_findings(config, canary=canary)
    )
    return doctor(findings, Out(), colours=wants_colours(color))


def doctor(findings: Iterable[Finding], out: Out, *, colours: bool) -> int:
    """Print findings as they come; return the exit code."""
    problems = 0
    for finding in findings:
        out.write_text(_line(finding, colours=colours))
        problems += finding.verdict is Verdict.PROBLEM
    return ILL if problems else HEALTHY


def _line(finding: Finding, *, colours: bool) -> str:
    word = f"{finding.verdict.value:<8}"
    if colours:
        word = f"{_COLOURS[finding.verdict]}{word}{_RESET}"
    text = f"{finding.subject}: {finding.text.rstrip('.')}. {finding.todo}".rstrip()
    return f"{word} {visible(text)}\n"


def _iter_config_findings(config: Path | None, *, canary: bool) -> Iterator[Finding]:
    if config is not None:
        from logflume.cli.capture_checks import iter_capture_findings

        yield from iter_capture_findings(config, canary=canary)


def _iter_path_findings(paths: Sequence[str], timing: dict[str, object]) -> Iterator[Finding]:
    if not paths:
        return
    try:
        from logflume.cli.asked import Asked
        from logflume.cli.path_checks import iter_path_findings
    except ImportError as error:
        yield problem("paths", f"were not looked at: {error}", "Install logflume again, then ask again.")
        return
    how = Asked.of({"paths": paths, **timing}).how(levels=True)
    for path in paths:
        yield from iter_path_findings(path, how)
