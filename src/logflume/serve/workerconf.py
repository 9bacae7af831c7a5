"""What a worker's log server has to know of its Airflow: the folder, the key, how far clocks may differ.

Holds: the key comes from a file or the environment, never from a command line, and is in no error.
Plan:  as Airflow finds its options: ``AIRFLOW__SECTION__KEY``, then ``airflow.cfg``, then the default. Airflow itself
       is not imported: this runs where it need not be installed.
"""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from logflume.errors import UsageError
from logflume.serve.smallfile import read_small

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logflume.serve.settings import Settings

_KEY = ("api", "secret_key")
_OLD_KEY = ("webserver", "secret_key")  # its name before Airflow 3
_FOLDER = ("logging", "base_log_folder")
_GRACE = ("webserver", "log_request_clock_grace")
_DEFAULT_GRACE_S = 30
_MAX_GRACE_S = 3600


@dataclass(frozen=True, slots=True)
class WorkerConf:
    """What is served, and by which key and clock tokens count."""

    folder: Path
    secret_key: str
    leeway_s: int

    def __repr__(self) -> str:
        return f"WorkerConf({self.folder}, leeway_s={self.leeway_s})"


def worker_conf(settings: Settings, environ: Mapping[str, str]) -> WorkerConf:
    """Find out.

    Raises:
        UsageError: there is no key, or an option cannot be used; with where to put it.
    """
    options = _Options(environ)
    if len(settings.folders) > 1:
        raise UsageError("a worker's log server serves one folder: [logging] base_log_folder")
    given = settings.folders[0].path if settings.folders else options.get(_FOLDER)
    folder = Path(given) if given else options.home / "logs"
    return WorkerConf(folder.expanduser().absolute(), _secret_key(settings, options), _grace_s(options))


def _secret_key(settings: Settings, options: _Options) -> str:
    if settings.airflow_secret_file is not None:
        try:
            key = read_small(settings.airflow_secret_file).data.decode().strip()
        except OSError as error:
            raise UsageError(f"{settings.airflow_secret_file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UsageError(f"{settings.airflow_secret_file}: expected text") from None
        if not key:
            raise UsageError(f"{settings.airflow_secret_file}: expected [api] secret_key; it is empty")
        return key
    key = options.get(_KEY) or options.get(_OLD_KEY) or ""
    if key:
        return key
    for suffix in ("_CMD", "_SECRET"):
        if (name := _variable(_KEY) + suffix) in options.environ:
            raise UsageError(f"{name} is for Airflow alone: name a file that holds the key: --airflow-secret-file")
    raise UsageError(
        "expected the key with which Airflow signs requests for logs, [api] secret_key of the deployment: in "
        f"{_variable(_KEY)}, in {options.file}, or in the file that --airflow-secret-file names"
    )


def _grace_s(options: _Options) -> int:
    text = options.get(_GRACE) or str(_DEFAULT_GRACE_S)
    if not text.isascii() or not text.isdecimal() or int(text[:9]) > _MAX_GRACE_S:
        raise UsageError(f"{_variable(_GRACE)}: expected seconds, at most {_MAX_GRACE_S}")
    return int(text)


class _Options:
    """Airflow's options, as far as they are written down."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.home = Path(environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
        self.file = Path(environ.get("AIRFLOW_CONFIG") or self.home / "airflow.cfg").expanduser()
        self._parser = configparser.RawConfigParser(strict=False)
        self._read()

    def _read(self) -> None:
        try:
            self._parser.read_string(read_small(self.file).data.decode())
        except FileNotFoundError:
            pass
        except OSError as error:
            raise UsageError(f"{self.file}: {error.strerror}") from None
        except (UnicodeDecodeError, configparser.Error):
            raise UsageError(f"{self.file}: it cannot be read as a configuration of Airflow") from None

    def get(self, option: tuple[str, str]) -> str | None:
        """Return what is written, with variables and ``~`` as Airflow takes them."""
        text = self.environ.get(_variable(option)) or self._parser.get(*option, fallback=None)
        return None if text is None else os.path.expandvars(text.strip())


def _variable(option: tuple[str, str]) -> str:
    return f"AIRFLOW__{option[0].upper()}__{option[1].upper()}"
