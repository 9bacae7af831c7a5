"""The files of one try in the log folder of this machine.

Holds: no file of another try or map index, and none that a link leads to outside of the folder, is among them.
Plan:  the log's own name, and what Airflow and rotation append to it after a dot: ``attempt=1.log.trigger.7.log``,
       ``attempt=1.log.1``. One folder is listed; a file and its rotated predecessors are one source.
"""

from __future__ import annotations

import os

from logflume.abc import Found
from logflume.catalog import live_name
from logflume.sources.local import LocalSource

MAX_FILES = 256
"""Live files of one try: each trigger run makes one."""


def local_files(base_folder: str, path: str) -> Found:
    """Find the files of the log at ``path`` below the folder, the worker's own first.

    Order:  by name. Loss: a file beyond MAX_FILES is not read, and a message says so.
    Memory: the names of one folder.
    """
    folder, name = os.path.split(os.path.join(base_folder, path))  # noqa: PTH118 - strings, as everywhere below
    found: set[str] = set()
    messages: list[str] = []
    try:
        with os.scandir(folder) as entries:
            found = {live_name(entry.name) for entry in entries if is_of(entry.name, name)}
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        messages.append(f"The log folder {folder} cannot be listed: {error.strerror}. Let this user list it.")
        found = {name}
    names = sorted(found)
    if len(names) > MAX_FILES:
        messages.append(
            f"{len(names) - MAX_FILES} of {len(names)} files of this try are not shown, from {names[MAX_FILES]} on."
        )
    sources = [LocalSource(os.path.join(folder, each), root=base_folder) for each in names[:MAX_FILES]]  # noqa: PTH118
    return Found([*(source.name for source in sources), *messages], [*sources])


def is_of(name: str, log: str) -> bool:
    """Tell whether a file or an object of this name is a part of a log."""
    return name == log or name.startswith(log + ".")
