"""``logflume completion``: what makes a shell complete commands, options and values.

Holds: the shell asks ``logflume`` itself each time, so that it knows the options of the version installed.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from logflume.cli.app import COMPLETE_VARIABLE, NAME, commands
from logflume.cli.screen import Out


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print what makes SHELL complete the words of logflume.

    \b
    eval "$(logflume completion bash)"         in ~/.bashrc
    eval "$(logflume completion zsh)"          in ~/.zshrc
    logflume completion fish | source          in ~/.config/fish/config.fish
    """
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"this version of click knows nothing of {shell}")
    Out().write_text(completion(commands, {}, NAME, COMPLETE_VARIABLE).source() + "\n")
    return 0
