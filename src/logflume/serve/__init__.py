"""The HTTP API: merged logs over HTTP (``logflume[serve]``).

``create_app`` gives the ASGI application; ``logflume serve`` runs it. Both names are loaded when they are first asked
for: settings and tokens are read without loading a server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logflume.serve.app import create_app
    from logflume.serve.shelf import Shelf

__all__ = ["Shelf", "create_app"]

_HOME = {"Shelf": "logflume.serve.shelf", "create_app": "logflume.serve.app"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
