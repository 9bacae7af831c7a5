"""logflume: task logs that never block the writer and never exhaust the reader.

The public names, each explained where it lives:

    iter_merged, aiter_merged, where, How     merge
    iter_followed                             follow
    Cursor                                    cursor
    Source, Reader, Log, Catalog, Sink        abc
    LocalSource                               sources.local
    FolderCatalog, log_of_paths               catalog
    Client, AsyncClient                       client
    Level, Output, Dedup, Gap, …              records
    LogflumeError and all others              errors

Each is loaded when it is first asked for, so that `import logflume` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logflume._core import __version__
    from logflume.abc import Catalog, Log, Reader, Sink, Source
    from logflume.catalog import FolderCatalog, log_of_paths
    from logflume.client import AsyncClient, Client
    from logflume.cursor import Cursor
    from logflume.errors import (
        BadCursor,
        BadPattern,
        CursorExpired,
        ForeignServer,
        IndexInvalid,
        LogflumeError,
        LogNotFound,
        NotAllowed,
        ServerRefused,
        ServerUnreachable,
        SignInNeeded,
        SinkRefused,
        SourceFailed,
        SpoolFull,
        UsageError,
    )
    from logflume.follow import iter_followed
    from logflume.merge import How, aiter_merged, iter_merged, where
    from logflume.records import Dedup, Gap, GapReason, Identity, Level, Output, Position, SourceReport

__all__ = [
    "AsyncClient",
    "BadCursor",
    "BadPattern",
    "Catalog",
    "Client",
    "Cursor",
    "CursorExpired",
    "Dedup",
    "FolderCatalog",
    "ForeignServer",
    "Gap",
    "GapReason",
    "How",
    "Identity",
    "IndexInvalid",
    "Level",
    "Log",
    "LogNotFound",
    "LogflumeError",
    "NotAllowed",
    "Output",
    "Position",
    "Reader",
    "ServerRefused",
    "ServerUnreachable",
    "SignInNeeded",
    "Sink",
    "SinkRefused",
    "Source",
    "SourceFailed",
    "SourceReport",
    "SpoolFull",
    "UsageError",
    "__version__",
    "aiter_merged",
    "iter_followed",
    "iter_merged",
    "log_of_paths",
    "where",
]

_HOME = {
    "logflume._core": ("__version__",),
    "logflume.abc": (
        "Catalog",
        "Log",
        "Reader",
        "Sink",
        "Source",
    ),
    "logflume.catalog": (
        "FolderCatalog",
        "log_of_paths",
    ),
    "logflume.client": (
        "AsyncClient",
        "Client",
    ),
    "logflume.cursor": ("Cursor",),
    "logflume.errors": (
        "BadCursor",
        "BadPattern",
        "CursorExpired",
        "ForeignServer",
        "IndexInvalid",
        "LogflumeError",
        "LogNotFound",
        "NotAllowed",
        "ServerRefused",
        "ServerUnreachable",
        "SignInNeeded",
        "SinkRefused",
        "SourceFailed",
        "SpoolFull",
        "UsageError",
    ),
    "logflume.follow": ("iter_followed",),
    "logflume.merge": (
        "How",
        "aiter_merged",
        "iter_merged",
        "where",
    ),
    "logflume.records": (
        "Dedup",
        "Gap",
        "GapReason",
        "Identity",
        "Level",
        "Output",
        "Position",
        "SourceReport",
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for (PEP 562)."""
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'logflume' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
