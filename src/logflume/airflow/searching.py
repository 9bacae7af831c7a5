"""The log of a try in Elasticsearch or OpenSearch, page by page, by the provider's own query.

Holds: one page, and the names of the documents that share the last offset (MAX_TIED).
Plan:  the provider's query asks for what is behind an offset. Documents may share one: lines that were written before
and after a task was deferred count from the same number. So each page is asked for from the last offset on, that
offset included, and documents that were given are left out. A store that answers a part only has failed.

Order:  by offset; of equal ones as the store gives them. Loss: none that does not raise.
"""

from __future__ import annotations

import copy
import functools
import importlib
import json
import uuid
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TIED = 10_000
"""So many documents may share one offset: what these stores let anybody page through (``index.max_result_window``)."""


class SearchFailed(Exception):
    """The store answered, but not with all it has."""


class LogDocuments:
    """The documents of one try."""

    def __init__(self, io: Any, module: str, read: str, ti: Any) -> None:  # noqa: ANN401 - a provider's, Airflow's row
        """Ask for nothing yet.

        Args:
            io: the provider's ``RemoteLogIO``.
            module: of the provider, with the helpers of its class.
            read: name of the method that reads a page.
            ti: whose log.
        """
        self._io = io
        self._home = importlib.import_module(module)
        self._read = read
        self._ti = ti
        self.log_id = self._home._render_log_id(io.log_id_template, ti, ti.try_number)  # noqa: SLF001 - no public way

    def are_there(self) -> bool:
        """Tell whether there is any.

        Raises:
            Exception: what the store's client raised.
        """
        return next(self._iter_pages(), None) is not None

    def lines(self) -> Iterator[bytes]:
        """Yield each as a line of JSON, in the form that the provider gives it.

        Raises:
            SearchFailed: the store left something out.
            Exception: what the store's client raised.
        """
        for page in self._iter_pages():
            for hit in page:
                fields = self._home._build_log_fields(hit.to_dict())  # noqa: SLF001 - there is no public way
                yield json.dumps(fields, default=str).encode() + b"\n"

    def _iter_pages(self) -> Iterator[list[Any]]:
        own = copy.copy(self._io)  # with a client of this walk alone; the original serves others meanwhile
        vars(own).update(vars(self._io))  # a copy of an attrs class has its fields only
        own.client = client = _Telling(self._io.client)
        page_of = functools.partial(getattr(own, self._read), self.log_id)
        offset_of = attrgetter(own.offset_field)
        own.PAGE, last, given = 0, -1, set[tuple[str, str]]()
        while hits := client.told(page_of(last - 1, self._ti)):
            if new := [hit for hit in hits if _key(hit) not in given]:
                yield new
            end = int(offset_of(hits[-1]))
            if end > last:
                own.PAGE, last, given = 0, end, set()
            else:
                own.PAGE += 1
            given |= {_key(hit) for hit in hits if int(offset_of(hit)) == last}
            if len(given) > MAX_TIED:
                raise SearchFailed(f"more than {MAX_TIED} lines have the same {own.offset_field}")


def _key(hit: Any) -> tuple[str, str]:  # noqa: ANN401 - a class of the provider
    return hit.meta.index, hit.meta.id


class _Telling:
    """A search client whose errors are kept: the providers swallow them, and an error looks like the end."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - the provider's client
        self._client = client
        self._copy = uuid.uuid4().hex
        self._error: Exception | None = None

    def search(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - as above
        try:
            # Of equal offsets, each copy of a shard has an order of its own: all pages are asked of the same one.
            found = self._client.search(*args, preference=self._copy, **kwargs)
            _check(found)
        except Exception as error:
            self._error = error
            raise
        return found

    def told(self, page: Any) -> list[Any]:  # noqa: ANN401 - a class of the provider, or None
        """Return the hits of a page.

        Raises:
            Exception: what the client raised meanwhile.
        """
        if self._error is not None:
            raise self._error
        return [] if page is None else list(page)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        return getattr(self._client, name)


def _check(found: Any) -> None:  # noqa: ANN401 - the client's answer
    failed = (found.get("_shards") or {}).get("failed", 0)
    if failed or found.get("timed_out"):
        why = f"{failed} of its shards failed" if failed else "it ran out of time"
        raise SearchFailed(f"the store gave a part of the lines only: {why}")
