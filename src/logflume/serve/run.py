"""Make the application for a folder."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from logflume.catalog import ByPattern, FolderCatalog
from logflume.indexcache import IndexCache
from logflume.serve.app import create_app
from logflume.serve.shelf import Shelf

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import FastAPI

_KEY_BYTES = 32
_KEY_NAME = "cursor.key"


def app_for(folder: Path, *, pattern: str | None = None, cache_folder: Path | None = None) -> FastAPI:
    """Return the application that serves the logs under ``folder``.

    Cursors are signed with a key that is kept in the cache folder, so that they outlive the server.
    """
    cache = IndexCache(cache_folder)
    catalog = FolderCatalog(folder, layout=ByPattern(pattern) if pattern else None)
    return create_app(Shelf(catalog, key=kept_key(cache.folder), cache=cache))


def kept_key(folder: Path) -> bytes:
    """Return the key of a folder, made when there is none; a key of this process alone where none can be kept."""
    path = folder / _KEY_NAME
    fresh = secrets.token_bytes(_KEY_BYTES)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return _read_key(path) or fresh
    except OSError:
        return fresh
    with os.fdopen(descriptor, "wb") as file:
        file.write(fresh)
    return fresh


def _read_key(path: Path) -> bytes | None:
    try:
        key = path.read_bytes()
    except OSError:
        return None
    return key if len(key) == _KEY_BYTES else None
