"""The options that several commands share.

Holds: each is declared once, here, and means the same in each command; ``asked`` has the same names. Nothing is
       imported here that needs the core, so that the doctor can say that it does not load.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from logflume.records import Level
from logflume.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

Command = TypeVar("Command", bound="Callable[..., Any]")


def options(*groups: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Give a command several options, in that order in its help."""

    def decorate(command: Command) -> Command:
        for option in reversed(groups):
            command = option(command)
        return command

    return decorate


def paths(*, required: bool = True) -> Callable[[Command], Command]:
    """Files, folders, - for standard input; or the address of a log on a server."""
    return click.argument("paths", metavar="PATH...", nargs=-1, required=required, type=click.Path(readable=False))


config = click.option(
    "--config",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A TOML file that says how output is kept and names sinks, [sinks.NAME].",
)
plain = click.option(
    "--plain", is_flag=True, help="Send lines as they are, although [outgoing] of a file changed them before."
)
quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress. What could not be read is said anyway.")
color = click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colour; auto: on a terminal, unless NO_COLOR is set.",
)

timing = options(
    click.option("--zone", default="UTC", metavar="ZONE", help="Zone of times that name none. [default: UTC]"),
    click.option("--time-format", metavar="FORMAT", help="This log's times, as for strptime: '%d.%m.%Y %H:%M:%S'."),
)

reaching = options(
    click.option("--token-file", metavar="FILE", help="For an address: the token to sign in with; or LOGFLUME_TOKEN."),
    click.option("--ca-file", metavar="FILE", help="For an address: the certificates to trust (PEM)."),
)

merging = options(
    click.option("--source", multiple=True, metavar="GLOB", help="Only sources of such a name; may be repeated."),
    click.option("--no-dedup", is_flag=True, help="Show a record once for each source that holds it."),
    timing,
    quiet,
    color,
)

printing = options(
    click.option("--output", type=click.Choice(["text", "ndjson"]), default="text", help="Lines as written, or JSON."),
    click.option("--raw", is_flag=True, help="Send control characters to a terminal as they are."),
)

filtering = options(
    click.option("--since", metavar="TIME", help="Records from then on: 2024-11-20T12:34:56Z, 12:34, 15m (ago)."),
    click.option("--until", metavar="TIME", help="Records before then."),
    click.option(
        "--level",
        type=click.Choice([level.name.lower() for level in Level if level], case_sensitive=False),
        help="Records of that level or a higher one.",
    ),
)

patterns = options(
    click.option("--grep", "literal", metavar="TEXT", help="Records that hold this text."),
    click.option("--regex", metavar="REGEX", help="Records that match this expression."),
)

matching = options(
    click.option("-i", "--ignore-case", is_flag=True, help="Upper and lower case are alike."),
    click.option("-v", "--invert", is_flag=True, help="Records that do not match."),
)


def size(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """Read a size as people write it; for ``callback=``."""
    try:
        return None if text is None else parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
