from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from logflume.cli.serverflags import ARGUMENTS, settings_flags
from logflume.serve.settings import Folder, Settings, declared, load_settings
from logflume.settings import BadSetting


def load(*words: str, **environ: str) -> Settings:
    """Return the settings that a command line and an environment make."""
    found: list[Settings] = []

    @click.command()
    @click.argument("folders", nargs=-1)
    @settings_flags
    def command(**flags: object) -> None:
        found.append(load_settings(flags, environ))

    CliRunner().invoke(command, words, catch_exceptions=False)
    return found[0]


def test_no_flag() -> None:
    """Without flags the environment counts, and else the defaults."""
    assert load() == Settings()
    assert load(LOGFLUME_SERVE_PORT="5", LOGFLUME_SERVE_FOLDERS="/x").port == 5


def test_flags() -> None:
    """Each kind can be given, and wins over the environment."""
    words = ["/a", "--port", "7", "--frame-ancestors", "https://x", "--frame-ancestors", "https://y"]
    settings = load(*words, "--allow-unauthenticated-network", "--cookie", "off", LOGFLUME_SERVE_PORT="5")
    assert settings.folders == (Folder(None, Path("/a")),)
    assert (settings.port, settings.cookie, settings.allow_unauthenticated_network) == (7, "off", True)
    assert settings.frame_ancestors == ("https://x", "https://y")


def test_every_setting_has_a_flag() -> None:
    """None is missing in the help."""

    @click.command()
    @settings_flags
    def command(**flags: object) -> None: ...

    text = CliRunner().invoke(command, ["--help"]).output
    assert [each.flag for each in declared().values() if each.name not in ARGUMENTS and each.flag not in text] == []


def test_a_mistake_names_the_flag() -> None:
    """What does not fit is said of the flag as it was written."""
    with pytest.raises(BadSetting, match="--max-readers: expected a whole number"):
        load("--max-readers", "many")
