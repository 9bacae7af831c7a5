"""Who is asking: from a bearer token, or the cookie of a browser that has shown one.

Holds: where callers sign in, nobody is let in without a token that counts. One that was revoked, or whose file cannot
       be read any more, has ended a second later. No refusal has a secret in it; a token in an address is not read.
Plan:  ``Gate.admit`` is the dependency of routes that show logs, ``Gate.caller`` of others; both leave the caller in
       ``request.state.caller``. A cookie counts for reading only (GET, HEAD), so that no other site can have a browser
       change something.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from starlette.requests import HTTPConnection  # noqa: TC002 - FastAPI looks at it when it runs

from logflume.errors import UsageError
from logflume.serve import tokens, webtokens
from logflume.serve.callers import ANYBODY, Caller, Refused, bad_token, not_signed_in
from logflume.serve.cookies import SignInCookies
from logflume.serve.smallfile import SmallFile, read_small

if TYPE_CHECKING:
    from logflume.serve.settings import Settings
    from logflume.serve.smallfile import Read

T = TypeVar("T")

MAX_TOKEN_CHARS = 8192
"""A longer one is refused unread."""

KEY_BYTES = 32

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750, 2.1


class Gate:
    """Tells callers apart. For one event loop."""

    def __init__(self, settings: Settings, key: bytes) -> None:
        """Read the files of tokens and keys.

        Raises:
            UsageError: one of them cannot be read or used.
        """
        self._tokens = SmallFile(settings.tokens_file, tokens.read_tokens) if settings.tokens_file else None
        self._keys = SmallFile(settings.jwks_file, webtokens.read_keys) if settings.jwks_file else None
        self._expected = webtokens.Expected(
            audience=settings.jwt_audience or "",
            issuer=settings.jwt_issuer,
            leeway_s=settings.jwt_leeway_s,
            logs_claim=settings.jwt_logs_claim,
            default_logs=settings.jwt_default_logs,
        )
        self.cookies: SignInCookies | None = None
        if settings.signs_in and settings.cookie != "off":
            same_site = cast("Literal['lax', 'strict']", settings.cookie)
            self.cookies = SignInCookies(key, same_site=same_site, session_s=settings.session_s)
        self.signs_in = settings.signs_in

    async def caller(self, connection: HTTPConnection) -> Caller:
        """Return who makes a request, and leave it in ``connection.state.caller``.

        Raises:
            Refused: nobody that is known here; or the file that would tell cannot be read.
        """
        caller = await self._find(connection) if self.signs_in else ANYBODY
        connection.state.caller = caller
        return caller

    async def admit(self, connection: HTTPConnection) -> Caller:
        """Return who makes a request, who may read the log that its path names as ``log_id``, if it names one.

        Raises:
            Refused: nobody that is known here, or somebody who may not; whether or not there is such a log.
        """
        caller = await self.caller(connection)
        log_id = connection.path_params.get("log_id")
        if log_id is not None:
            caller.check(log_id)
        return caller

    async def recheck(self, caller: Caller) -> None:
        """Make sure that a caller still is one; for answers that last, such as those that follow a log.

        Raises:
            Refused: their token has ended or was revoked; or the file that would tell cannot be read.
        """
        if caller.expires_s is not None and time.time() >= caller.expires_s:
            raise bad_token("This token has expired; ask for a new one.")
        if caller.token_id is not None and self._tokens:
            tokens.caller_of_id(await _current(self._tokens), caller.token_id, time.time())

    async def caller_of_token(self, text: str) -> Caller:
        """Return whose a token is.

        Raises:
            Refused: nobody's; or the file that would tell cannot be read.
        """
        if len(text) > MAX_TOKEN_CHARS or not _TOKEN.fullmatch(text):
            raise bad_token("This is no token.")
        if text.startswith(tokens.MARK) and self._tokens:
            return tokens.find_caller(await _current(self._tokens), text, time.time())
        if self._keys:
            return webtokens.find_caller(await _current(self._keys), self._expected, text)
        raise bad_token("This token is not known here, or was revoked.")

    async def problems(self) -> list[str]:
        """Return why callers cannot be told at the moment, for who runs the server: with its paths."""
        found = []
        for file in (self._tokens, self._keys):
            if file:
                if file.is_due():
                    await asyncio.to_thread(file.look)
                try:
                    file.value()
                except UsageError as error:
                    found.append(str(error))
        return found

    async def _find(self, connection: HTTPConnection) -> Caller:
        given = connection.headers.getlist("authorization")
        if given:
            scheme, _, text = given[0].partition(" ")
            if len(given) > 1 or scheme.lower() != "bearer":
                raise not_signed_in("Expected one header Authorization: Bearer TOKEN.")
            return await self.caller_of_token(text.strip())
        cookie = connection.cookies.get(self.cookies.name) if self.cookies else None
        if cookie and connection.scope.get("method") in ("GET", "HEAD"):
            return await self._of_cookie(cookie)
        raise not_signed_in("Sign in, or send the header Authorization: Bearer TOKEN.")

    async def _of_cookie(self, text: str) -> Caller:
        assert self.cookies is not None  # noqa: S101 - where there are none, none is read
        now_s = time.time()
        caller = self.cookies.read(text, now_s)
        if caller.token_id is None and self._keys:
            return caller
        if caller.token_id is None or self._tokens is None:
            raise not_signed_in("Sign in again.")
        return tokens.caller_of_id(await _current(self._tokens), caller.token_id, now_s)


async def _current(file: SmallFile[T]) -> T:
    if file.is_due():
        await asyncio.to_thread(file.look)
    try:
        return file.value()
    except UsageError:
        detail = "Who you are cannot be told at the moment. The reason is in what this server writes about itself."
        raise Refused(503, "cannot-tell-callers", detail, {"Retry-After": "5"}) from None


def read_key(path: Path) -> bytes:
    """Return the key that signs cursors and cookies; made, with the mode 0600, when the file is not there.

    Several processes may call this at once: all have the same key.

    Raises:
        UsageError: the file cannot be read or made, others can read it, or it is not as it was made.
    """
    try:
        if not path.exists():
            _make_key(path)
        return _key_of(read_small(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _make_key(path: Path) -> None:
    """Make the whole file at once, unless another process was faster."""
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # of mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(new)
    finally:
        Path(new).unlink()


def _key_of(read: Read) -> bytes:
    if not read.is_private():
        raise UsageError(f"others can read it (mode {read.mode:04o}), and it is a secret: chmod 600 it")
    if not re.fullmatch(rb"[0-9a-f]{%d}\n?" % (2 * KEY_BYTES), read.data):
        raise UsageError(f"expected {2 * KEY_BYTES} hexadecimal digits; remove it to have one made")
    return bytes.fromhex(read.data.decode())
