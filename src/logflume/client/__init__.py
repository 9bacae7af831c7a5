"""A client for log servers (``logflume[client]``): what a server has, as blocks, rows and places.

``Client`` and ``AsyncClient`` are the same, one for threads and one for an event loop. A cut of the connection, a
server that starts again or is busy, and a proxy that loses patience are nothing that their caller has to know of: they
ask again from the last place they were told, and give no line twice and none too few.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logflume.client.aio import AsyncClient, AsyncRaw, AsyncSearch, AsyncStream
    from logflume.client.answers import Hit, LogEntry, Meta, Page, Place, Rows, Summary
    from logflume.client.sync import Client, Raw, Search, Stream

__all__ = [
    "AsyncClient",
    "AsyncRaw",
    "AsyncSearch",
    "AsyncStream",
    "Client",
    "Hit",
    "LogEntry",
    "Meta",
    "Page",
    "Place",
    "Raw",
    "Rows",
    "Search",
    "Stream",
    "Summary",
]

_HOME = {
    "logflume.client.aio": ("AsyncClient", "AsyncRaw", "AsyncSearch", "AsyncStream"),
    "logflume.client.answers": ("Hit", "LogEntry", "Meta", "Page", "Place", "Rows", "Summary"),
    "logflume.client.sync": ("Client", "Raw", "Search", "Stream"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    except ModuleNotFoundError as missing:
        if missing.name != "httpx":
            raise
        raise ModuleNotFoundError("a client needs more: pip install 'logflume[client]'", name="httpx") from None
