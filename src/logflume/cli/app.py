"""The commands and their names; errors become one line and an exit code.

Holds: a command's module is imported when it is called, and not to list it.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import click

from logflume.cli import FAILED
from logflume.cli.screen import STDOUT, say
from logflume.errors import LogflumeError

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "logflume"
COMPLETE_VARIABLE = "_LOGFLUME_COMPLETE"

COMMANDS = {
    "cat": "Merge logs by time and print them.",
    "tail": "Print the last lines, and with -f what comes.",
    "grep": "Print the records that match a pattern.",
    "stat": "Show what a log is made of: sources, levels, a timeline.",
    "doctor": "Say why there is no log, and check the set-up.",
    "serve": "Serve the logs of a folder over HTTP.",
    "token": "Make, list and revoke tokens for the log server.",
    "run": "Run a command; keep and show its output.",
    "supervise": "Run several commands; watch, keep and ship what they write.",
    "ship": "Bring the logs of a folder to sinks.",
    "drain": "Wait until sinks have what is there.",
    "replay": "Send what is kept in a folder again.",
    "fsck": "See whether a captured folder is whole, and put it in order.",
    "status": "Show how a capture stands: kept, lost, not shipped yet.",
    "gen": "Make a log for demos, tests and benchmarks.",
    "completion": "Print what makes a shell complete our words.",
}


class Commands(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"logflume.cli.{cmd_name}")
        command: click.Command = module.command
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called.

        Raises:
            click.UsageError: there is none of that name; it says what may have been meant.
        """
        name = args[0]
        if name in COMMANDS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"no command is called {name!r}. {_meant(name)}", ctx)


def _meant(word: str) -> str:
    if os.path.lexists(word):
        return f"Did you mean '{NAME} cat {word}'?"
    import difflib

    near = difflib.get_close_matches(word, COMMANDS, 1)
    return f"Did you mean '{near[0]}'?" if near else f"There are: {', '.join(COMMANDS)}."


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from logflume import _core

        click.echo(f"{NAME} {_core.__version__}")
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 nothing found (grep) or problems (doctor), 2 wrong usage or something unreadable.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def commands() -> None:
    """Read task logs of any size: merged by time from many files, in bounded memory.

    \b
    logflume cat attempt=1.log attempt=1.log.trigger.1.log
    logflume tail -f logs/dag_id=load/
    logflume grep -i error app.log
    """


def run(arguments: Sequence[str]) -> int:
    """Run a command line; return its exit code."""
    if instruction := os.environ.get(COMPLETE_VARIABLE):
        from click.shell_completion import shell_complete

        return shell_complete(commands, {}, NAME, COMPLETE_VARIABLE, instruction)
    try:
        with commands.make_context(NAME, list(arguments) or ["--help"]) as ctx:
            code: int = commands.invoke(ctx)
            return code
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        say(_one_line(error))
    except LogflumeError as error:
        say(str(error))
    except ImportError as error:
        say(f"logflume does not load: {error}. Run: logflume doctor")
    except OSError as error:
        say(": ".join(str(part) for part in (error.filename, error.strerror) if part))
        _forget_output()
    return FAILED


def _forget_output() -> None:
    """Lead standard output nowhere: Python would try at exit to write what it still holds, and complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


def _one_line(error: click.ClickException) -> str:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    see = f" See '{ctx.command_path} --help'." if ctx else ""
    return " ".join(error.format_message().split()) + see
