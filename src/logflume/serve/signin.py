"""The page on which a browser signs in with a token, and out.

Holds: a token comes in a body and never in an address; a form counts only with the cookie that was given with it; after
       it a browser is led to a page of this server and nowhere else. The page needs no script.
"""

from __future__ import annotations

import hmac
import html
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import ClientDisconnect

from logflume.serve.attempts import Attempts
from logflume.serve.callers import Refused
from logflume.serve.cookies import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logflume.serve.auth import Gate
    from logflume.serve.cookies import SignInCookies

MAX_FORM_BYTES = 16 * 1024
MAX_NEXT_CHARS = 2048

_HERE = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")
"""A path of this server: what a browser would take for another one does not fit."""

_FORM = "application/x-www-form-urlencoded"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Sign in to logflume</title>
<main>
<h1>Sign in</h1>
{said}<form method="post" action="sign-in">
<p><label for="token">Token</label>
<input id="token" name="token" type="password" required autofocus autocomplete="current-password" size="48"></p>
<input name="proof" type="hidden" value="{proof}">
<input name="next" type="hidden" value="{next}">
<p><button>Sign in</button></p>
</form>
<p>Whoever runs this server makes tokens: <code>logflume token create</code>.</p>
</main>
</html>
"""


def signin_router(gate: Gate) -> APIRouter:
    """Return the routes ``/sign-in`` and ``/sign-out``; none where browsers do not sign in."""
    router = APIRouter(include_in_schema=False)
    if gate.cookies is None:
        return router
    pages = _Pages(gate, gate.cookies)
    router.add_api_route("/sign-in", pages.show, methods=["GET", "HEAD"], response_class=HTMLResponse)
    router.add_api_route("/sign-in", pages.sign_in, methods=["POST"], response_class=HTMLResponse)
    router.add_api_route("/sign-out", pages.sign_out, methods=["POST"], response_class=HTMLResponse)
    return router


class _Pages:
    def __init__(self, gate: Gate, cookies: SignInCookies) -> None:
        self._gate = gate
        self._cookies = cookies
        self._attempts = Attempts()

    async def show(self, request: Request, next: Annotated[str, Query()] = "") -> Response:  # noqa: A002
        """Show the form."""
        return self._form(request, next, 200)

    async def sign_in(self, request: Request) -> Response:
        """Take a token; give the cookie and lead on, or show the form again."""
        fields = await _read_form(request)
        wanted = fields.get("next", "")
        if not self._is_our_form(request, fields.get("proof", "")):
            return self._form(request, wanted, 403, "This form was open for too long. Try once more.")
        address = request.client.host if request.client else ""
        try:
            self._attempts.check(address)
            caller = await self._gate.caller_of_token(fields.get("token", "").strip())
            answer = RedirectResponse(wanted if _is_here(wanted) else _home(request), 303)
            self._cookies.give(answer, caller, _place(request), now_s=time.time())
        except Refused as refused:
            if refused.status == HTTPStatus.UNAUTHORIZED:
                self._attempts.failed(address)
            return self._form(request, wanted, refused.status, refused.detail, refused.headers)
        request.state.caller = caller
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def sign_out(self, request: Request) -> Response:
        """Let the browser forget."""
        if not _is_same_site(request):
            raise _foreign()
        answer = RedirectResponse(_home(request) + "sign-in", 303)
        self._cookies.take_back(answer, _place(request))
        return answer

    def _is_our_form(self, request: Request, proof: str) -> bool:
        form = request.cookies.get(self._cookies.form_name, "")
        expected = self._cookies.form_proof(form)
        fits = hmac.compare_digest(proof.encode("utf-8", "replace"), expected.encode())
        return bool(form) and fits and _is_same_site(request)

    def _form(
        self, request: Request, wanted: str, status: int, said: str = "", headers: Mapping[str, str] | None = None
    ) -> Response:
        form = self._cookies.new_form()
        page = _PAGE.format(
            said=f'<p role="alert">{html.escape(said)}</p>\n' if said else "",
            proof=self._cookies.form_proof(form),
            next=html.escape(wanted if _is_here(wanted) else ""),
        )
        answer = HTMLResponse(page, status, {"Cache-Control": "no-store", **(headers or {})})
        self._cookies.give_form(answer, form, _place(request))
        return answer


def signin_address(request: Request) -> str:
    """Return where a browser is to be led that has not signed in, and back from there."""
    home = _home(request)
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"{home}sign-in" + (f"?{urlencode({'next': wanted})}" if _is_here(wanted) else "")


async def _read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        Refused: it is none, or too large.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Refused(415, "bad-request", f"Expected a form: {_FORM}.")
    data = b""
    try:
        async for block in request.stream():
            data += block
            if len(data) > MAX_FORM_BYTES:
                raise Refused(413, "bad-request", f"Expected a form of at most {MAX_FORM_BYTES} bytes.")
    except ClientDisconnect:
        raise Refused(400, "bad-request", "The form was not sent to its end.") from None
    try:
        fields = parse_qs(data.decode("ascii"), keep_blank_values=True, max_num_fields=10, errors="strict")
    except ValueError:
        raise Refused(400, "bad-request", "Expected a form.") from None
    return {name: values[0] for name, values in fields.items()}


def _is_here(path: str) -> bool:
    return len(path) <= MAX_NEXT_CHARS and _HERE.fullmatch(path) is not None


def _is_same_site(request: Request) -> bool:
    """Tell whether a browser says that a page of ours sent this; those that say nothing pass."""
    return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def _foreign() -> Refused:
    return Refused(403, "not-allowed", "Only a page of this server can ask for that.")


def _home(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/") + "/"


def _place(request: Request) -> Place:
    return Place(request.url.scheme == "https", _home(request).rstrip("/") or "/")
