"""The HTTP API: merged logs over HTTP (``logflume[serve]``).

``create_app`` gives the ASGI application; ``logflume serve`` runs it.
"""

from __future__ import annotations

from logflume.serve.app import create_app
from logflume.serve.shelf import Shelf

__all__ = ["Shelf", "create_app"]
