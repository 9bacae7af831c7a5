"""Make, list and revoke the tokens with which callers sign in at the log server.

Holds: a token is printed once, alone on standard output, and is nowhere else.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logflume.cli.screen import Out, say, visible
from logflume.moments import show_moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logflume.serve.tokens import Token, TokenFile

DAY_S = 86_400
LONGEST_DAYS = 36_500

_HEAD = ("name", "id", "made", "expires", "logs")

_where = click.option(
    "--tokens-file",
    type=click.Path(path_type=Path),
    envvar="LOGFLUME_SERVE_TOKENS_FILE",
    show_envvar=True,
    required=True,
    help="Where tokens are kept, as hashes; the server's setting of that name.",
)


@click.group()
def command() -> None:
    """Make, list and revoke the tokens with which callers sign in at the log server.

    \b
    logflume token create ci --logs 'dag_id=load/' --days 90 --tokens-file tokens
    logflume token list --tokens-file tokens
    logflume token revoke ci --tokens-file tokens
    """


@command.command()
@click.argument("name")
@click.option("--logs", multiple=True, required=True, help="Prefix of the logs that it may read; repeatable.")
@click.option(
    "--days", type=click.IntRange(1, LONGEST_DAYS), help="How long it is valid (default: until it is revoked)."
)
@_where
def create(name: str, logs: tuple[str, ...], days: int | None, tokens_file: Path) -> int:
    """Make a token and print it; it cannot be shown again.

    A prefix ends at a folder: dag_id=load is that folder or log, and all in it. With a star it is text: team_* is all
    that begins so. * is every log.
    """
    text = _file(tokens_file).create(name, logs, valid_s=None if days is None else days * DAY_S)
    say(f"This token of {name} cannot be shown again. Send it as: Authorization: Bearer TOKEN")
    Out().write_text(text + "\n")
    return 0


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@_where
def list_(as_json: bool, tokens_file: Path) -> int:
    """List the tokens there are: names, prefixes and times; no token."""
    tokens = _file(tokens_file).tokens()
    if as_json:
        lines = [json.dumps(_as_json(token)) for token in tokens]
    else:
        lines = _table([_HEAD, *(tuple(map(visible, _cells(token))) for token in tokens)])
    Out().write_text("".join(line + "\n" for line in lines))
    return 0


@command.command()
@click.argument("name")
@_where
def revoke(name: str, tokens_file: Path) -> int:
    """Take a token back, by its name or id; a running server knows within a second."""
    gone = _file(tokens_file).revoke(name)
    Out().write_text(f"revoked {gone.name} ({gone.id})\n")
    return 0


def _file(path: Path) -> TokenFile:
    from logflume.serve.tokens import TokenFile

    return TokenFile(path)


def _cells(token: Token) -> tuple[str, ...]:
    ended = token.expires_s is not None and token.expires_s <= time.time()
    expires = "never" if token.expires_s is None else _shown(token.expires_s) + (" (over)" if ended else "")
    return (token.name, token.id, _shown(token.made_s), expires, " ".join(token.logs))


def _as_json(token: Token) -> dict[str, object]:
    expires = None if token.expires_s is None else _shown(token.expires_s)
    return {
        "name": token.name,
        "id": token.id,
        "made": _shown(token.made_s),
        "expires": expires,
        "logs": list(token.logs),
    }


def _shown(second: int) -> str:
    return show_moment(second * 1_000_000_000)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
