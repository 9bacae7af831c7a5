"""Headers that tell browsers what our answers may do: an ASGI middleware.

Holds: blocks pass as they are, at once; only the head of an answer is changed. What an answer says itself stays.
Plan:  for all answers: no guesses about types, no page of others that reads them, and no store that keeps a log,
       unless the answer says what may be kept. For pages also: no script, style or image but from this server, no frame
       but those allowed, no address told to others. For what is no page a browser is told to load nothing for it: a
       poll is answered so often that its headers should be short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    # No text becomes markup, whatever a script does. Lit's templates are its own strings.
    "require-trusted-types-for 'script'",
    "trusted-types lit-html",
)

_OF_ALL = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_OF_DATA = (*_OF_ALL, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"))
_NO_PAGES = (
    b"application/json",
    b"application/problem+json",
    b"application/x-ndjson",
    b"text/event-stream",
    b"text/plain",
)


class SecurityHeaders:
    """Adds the headers that an answer has not set itself."""

    def __init__(self, app: ASGIApp, *, frame_ancestors: Iterable[str] = ()) -> None:
        """Wrap an application; pages of these origins may show it in a frame, beside its own."""
        self._app = app
        policy = "; ".join([*_POLICY, " ".join(["frame-ancestors 'self'", *frame_ancestors])])
        self._of_pages = (
            *_OF_ALL,
            (b"content-security-policy", policy.encode("ascii")),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._completed(message.get("headers", ()))}
            await send(message)

        await self._app(scope, receive, send_more)

    def _completed(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        given = list(headers)
        said = {name.lower(): value for name, value in given}
        is_page = not said.get(b"content-type", b"text/html").startswith(_NO_PAGES)
        return given + [header for header in (self._of_pages if is_page else _OF_DATA) if header[0] not in said]
