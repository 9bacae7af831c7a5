"""The cookie that a browser signs in with.

Holds: a cookie that was changed, is over, or was made with another key is none. It holds no token, only whom it was
       given for: what is revoked is over at once.
Plan:  ``1.<payload>.<signature>`` as a cursor; HMAC-SHA256 with a key of its own, derived from the server's.
       Its name depends on the key: cookies do not tell ports apart, and two servers must not throw out each other's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from logflume.errors import UsageError
from logflume.serve.callers import Caller, Refused, not_signed_in, parse_prefixes

if TYPE_CHECKING:
    from starlette.responses import Response

MAX_COOKIE_CHARS = 3800
"""Browsers keep 4,096 with name and attributes."""

FORM_S = 3600
"""How long a sign-in form can be sent."""

SameSite = Literal["lax", "strict"]

_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cookie counts: below a path, and, when secure, over HTTPS only."""

    is_secure: bool
    path: str


class SignInCookies:
    """Makes and reads them. ``same_site`` is ``lax`` or ``strict``."""

    def __init__(self, key: bytes, *, same_site: SameSite, session_s: int) -> None:
        self._key = hmac.new(key, b"logflume sign-in cookie", hashlib.sha256).digest()
        self._same_site = same_site
        self._session_s = session_s
        self.name = "logflume_" + hashlib.sha256(self._key).hexdigest()[:8]
        self.form_name = self.name + "_form"

    def value(self, caller: Caller, now_s: float) -> tuple[str, int]:
        """Return what to keep for a caller, and for how many seconds.

        Raises:
            Refused: they may read more prefixes than fit.
        """
        ends = [now_s + self._session_s, *([caller.expires_s] if caller.expires_s is not None else [])]
        row: dict[str, object] = {"e": int(min(ends))}
        row |= {"t": caller.token_id} if caller.token_id else {"n": caller.name, "p": caller.prefixes}
        payload = _encode(json.dumps(row, separators=(",", ":")).encode())
        text = f"{_VERSION}.{payload}.{self._signature(payload)}"
        if len(text) > MAX_COOKIE_CHARS:
            raise Refused(403, "not-allowed", "This token lists more prefixes of logs than a browser can keep.")
        return text, max(0, int(min(ends) - now_s))

    def read(self, text: str, now_s: float) -> Caller:
        """Return whom a cookie was given for; with a token's id, that is still to be looked up.

        Raises:
            Refused: it is none of ours, or is over.
        """
        version, _, rest = text[: MAX_COOKIE_CHARS + 1].partition(".")
        payload, _, signature = rest.partition(".")
        expected = self._signature(payload)
        if version != _VERSION or not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
            raise not_signed_in("Sign in again.")
        try:
            row = json.loads(_decode(payload))
            caller = Caller(
                str(row.get("n", "")),
                parse_prefixes(row.get("p", ())),
                expires_s=float(row["e"]),
                token_id=row.get("t"),
            )
        except (ValueError, TypeError, KeyError, UsageError):
            raise not_signed_in("Sign in again.") from None
        if now_s >= (caller.expires_s or 0):
            raise not_signed_in("You were signed in for as long as that lasts; sign in again.")
        return caller

    def give(self, response: Response, caller: Caller, place: Place, *, now_s: float) -> None:
        """Let a browser keep it.

        Raises:
            Refused: it does not fit.
        """
        text, lasts_s = self.value(caller, now_s)
        self._set(response, self.name, text, lasts_s, place)

    def take_back(self, response: Response, place: Place) -> None:
        """Let a browser forget it."""
        self._set(response, self.name, "", 0, place)

    def give_form(self, response: Response, form: str, place: Place) -> None:
        """Let a browser keep what goes with a form."""
        self._set(response, self.form_name, form, FORM_S, place)

    def new_form(self) -> str:
        """Return a random value for the cookie that goes with a form."""
        return secrets.token_hex(16)

    def form_proof(self, form: str) -> str:
        """Return what the form itself has to hold: only who has seen our page with that cookie knows it."""
        return self._signature("form:" + form)

    def _signature(self, payload: str) -> str:
        return _encode(hmac.new(self._key, payload.encode("utf-8", "replace"), hashlib.sha256).digest())

    def _set(self, response: Response, name: str, text: str, lasts_s: int, place: Place) -> None:
        response.set_cookie(
            name,
            text,
            max_age=lasts_s,
            path=place.path,
            secure=place.is_secure,
            httponly=True,
            samesite="strict" if name == self.form_name else self._same_site,
        )


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(error) from None
