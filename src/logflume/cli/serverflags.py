"""The settings of the server as flags: made of their declaration, so that none is missing.

Holds: a flag that is not given is None, or an empty tuple, so that the environment and the file count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from logflume.kinds import ListOf, OneOf, YesNo
from logflume.serve.settings import declared

if TYPE_CHECKING:
    from collections.abc import Callable

    from logflume.serve.settings import ServerSetting

Command = TypeVar("Command", bound="Callable[..., Any]")

ARGUMENTS = frozenset(("folders",))
"""What is an argument of the command, and no flag."""


def settings_flags(command: Command) -> Command:
    """Give a command ``--config`` and a flag for each setting; their values are for ``load_settings``."""
    for each in reversed([each for each in declared().values() if each.name not in ARGUMENTS]):
        command = _flag(each)(command)
    return click.option("--config", metavar="FILE", help="A TOML file with settings.")(command)


def _flag(each: ServerSetting) -> Callable[[Command], Command]:
    text = each.meaning.replace("`", "")
    if isinstance(each.kind, YesNo):
        return click.option(each.flag, each.name, is_flag=True, default=None, help=text)
    default = "" if each.default in (None, "", ()) else f" [default: {_shown(each.default)}]"
    metavar = "|".join(each.kind.words) if isinstance(each.kind, OneOf) else "VALUE"
    many = isinstance(each.kind, ListOf)
    return click.option(each.flag, each.name, multiple=many, metavar=metavar, help=text + default)


def _shown(default: object) -> str:
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)
