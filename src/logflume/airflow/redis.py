"""Task logs in Redis, for ``REMOTE_TASK_LOG`` of a logging configuration: the one provider without a ``RemoteLogIO``.

Airflow's provider for Redis has a handler only, which nothing in Airflow 3 calls while a task runs. This writes a log's
file when its task has ended, as the providers of object stores do, and reads what it or that handler has written.

Holds: PAGE_LINES lines at a time.
Plan:  one list for each file, named by its path below the log folder; beside it a set with the names of its triggers'.
       A list is written under another name first, so that nobody reads a part of it.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

PAGE_LINES = 1000
"""So many lines are written or asked for at once."""

TTL_S = 28 * 24 * 60 * 60
"""How long Redis keeps a log: as long as the provider's handler has it."""

_TRIGGER = ".trigger."
_PARTS = ":parts"


class RedisRemoteLog:
    """Logs in Redis.

    Order:  as written. Loss: beyond ``max_lines`` the oldest lines of a file, and a line in their place says how many.
    Memory: PAGE_LINES lines.
    """

    processors = ()

    def __init__(
        self, redis_conn_id: str = "redis_default", *, max_lines: int | None = None, ttl_s: int = TTL_S
    ) -> None:
        """Name the connection; nothing is opened yet.

        Args:
            redis_conn_id: Airflow's connection.
            max_lines: of one file that are kept, the newest; None: all.
            ttl_s: seconds after which Redis forgets a log.
        """
        self.redis_conn_id = redis_conn_id
        self.max_lines = max_lines
        self.ttl_s = ttl_s

    def upload(self, path: str | os.PathLike[str], ti: object = None) -> None:  # noqa: ARG002 - Airflow's
        """Write a file of the log folder, in the place of what was written of it before.

        Raises:
            redis.RedisError: the server cannot be asked.
        """
        from airflow.configuration import conf

        folder = Path(conf.get("logging", "base_log_folder")).resolve()
        file = (folder / path).resolve()
        if not file.is_file() or not file.is_relative_to(folder):
            return
        self._write(file.relative_to(folder).as_posix(), file)

    def _write(self, key: str, file: Path) -> None:
        client, aside = self._client(), f"{key}:uploading"
        client.delete(aside)
        with file.open("rb") as lines:
            stripped = (line.removesuffix(b"\n") for line in lines)
            while page := list(itertools.islice(stripped, PAGE_LINES)):
                client.rpush(aside, *page)
        if not client.exists(aside):
            return
        self._cut(client, aside)
        client.rename(aside, key)
        client.expire(key, self.ttl_s)
        if _TRIGGER in key:
            parts = key.partition(_TRIGGER)[0] + _PARTS
            client.sadd(parts, key)
            client.expire(parts, self.ttl_s)

    def _cut(self, client: Any, key: str) -> None:  # noqa: ANN401 - a Redis client
        if self.max_lines is None or (dropped := client.llen(key) - self.max_lines) <= 0:
            return
        client.ltrim(key, dropped, -1)
        told = f"{dropped} lines before this one were not kept: max_lines of RedisRemoteLog is {self.max_lines}."
        client.lpush(key, json.dumps({"timestamp": None, "level": "warning", "event": told}))

    def stream(self, relative_path: str, ti: object) -> tuple[list[str], list[Iterator[bytes]]]:  # noqa: ARG002 - Airflow's
        """Return the list of this name and those of its triggers, each page by page.

        Raises:
            redis.RedisError: the server cannot be asked.
        """
        client = self._client()
        parts = sorted(name.decode() for name in client.smembers(relative_path + _PARTS))
        keys = [key for key in (relative_path, *parts) if client.exists(key)]
        if not keys:
            return [f"There is no log redis:{relative_path}."], []
        return [f"redis:{key}" for key in keys], [_iter_list(client, key) for key in keys]

    def read(self, relative_path: str, ti: object) -> tuple[list[str], list[str] | None]:
        """Return the same as texts, whole."""
        messages, streams = self.stream(relative_path, ti)
        return messages, [b"".join(stream).decode("utf-8", "replace") for stream in streams] or None

    def _client(self) -> Any:  # noqa: ANN401 - a Redis client
        from airflow.providers.redis.hooks.redis import RedisHook

        return RedisHook(redis_conn_id=self.redis_conn_id).get_conn()


def _iter_list(client: Any, key: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
    at = 0
    while page := client.lrange(key, at, at + PAGE_LINES - 1):
        yield from (line + b"\n" for line in page)
        at += len(page)
