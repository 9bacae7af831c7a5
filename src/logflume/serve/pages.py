"""The pages for people: the list of logs, one log, and the viewer they are shown with.

Holds: a page holds no log and nothing secret, only where to ask for it; all its addresses are relative, so that it
       works behind any proxy and under any prefix. Modules are named by their content, and kept by browsers.
Plan:  ``web/`` is built into ``_viewer``: a module for each page, and one that the viewer loads when it wants it. Where
       that was not done, pages say how to do it, and the API is served all the same.
"""

from __future__ import annotations

import gzip
import html
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse

from logflume.serve.problems import Problem

if TYPE_CHECKING:
    from logflume.serve.auth import Gate

BUILT = Path(__file__).parents[1] / "_viewer"

_KEPT = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
{script}
{body}
</html>
"""
_SCRIPT = '<script type="module" src="{up}{name}.js"></script>'
# What the viewer asks first comes while its module does.
_FIRST = '<link rel="preload" as="fetch" crossorigin href="{up}api/v1/logs/{path}/{asked}">\n'
_FIRST_ASKED = ("rows?from=0&amp;n=512&amp;cut=32768", "meta")
_LIST = '<log-list src="{up}api/v1/logs"></log-list>\n<noscript>{noscript}</noscript>'
_LOG = '<task-log src="{up}api/v1/logs/{path}" home="{up}" linked></task-log>\n<noscript>{noscript}</noscript>'
_LOG_ALONE = '<task-log src="{up}api/v1/logs/{path}" linked></task-log>\n<noscript>{noscript}</noscript>'
_NO_SCRIPT = '<p>This page needs JavaScript. The same without it: <a href="{address}">{address}</a></p>'
_NOT_BUILT = """<main>
<h1>The viewer is not built</h1>
<p>This logflume was installed from a source tree without Node.js. In that tree, with Node.js 20 or newer:</p>
<pre>make viewer</pre>
<p>or install it again: <code>pip install '.[serve]'</code>. Then start the server anew.
The API is served all the same: <a href="{up}{address}">{address}</a></p>
</main>"""


class _Module:
    """A built module, read once. Its name ends in a hash of its content."""

    def __init__(self, path: Path) -> None:
        self.code = path.read_bytes()
        self.compressed = gzip.compress(self.code, mtime=0)
        self.name = path.stem


def pages_router(gate: Gate, built: Path = BUILT) -> APIRouter:
    """Return the routes ``/``, ``/logs/ID`` and those of the modules."""
    pages = Pages(built)
    router = APIRouter(include_in_schema=False)
    both = ["GET", "HEAD"]
    known, admitted = [Depends(gate.caller)], [Depends(gate.admit)]
    router.add_api_route("/", pages.list_page, methods=both, dependencies=known)
    router.add_api_route("/logs/{log_id:path}", pages.log_page, methods=both, dependencies=admitted)
    router.add_api_route("/{name}.js", pages.module, methods=both)
    return router


class Pages:
    """Makes the pages around the built modules."""

    def __init__(self, built: Path = BUILT) -> None:
        """Read the modules."""
        modules = [_Module(path) for path in sorted(built.glob("*-*.js"))]
        self._modules = {module.name: module for module in modules}
        self._list = self._entry("list")
        self._viewer = self._entry("viewer")

    def _entry(self, start: str) -> _Module | None:
        return next((module for name, module in self._modules.items() if name.rpartition("-")[0] == start), None)

    async def list_page(self) -> Response:
        """Show which logs there are."""
        return _page("Logs", "", self._list, _LIST, "api/v1/logs")

    async def log_page(self, request: Request, log_id: Annotated[str, InPath(max_length=4096)]) -> Response:
        """Show a log. Whether it is there, the page finds out."""
        path = path_below(request, "/logs/")
        up = "../" * (1 + path.count("/"))
        return _page(log_id, up, self._viewer, _LOG, f"api/v1/logs/{path}/stream", path=path)

    def lone_page(self, title: str, up: str, path: str) -> Response:
        """Show a log, by its encoded path in the API, where there is no list to go back to."""
        return _page(title, up, self._viewer, _LOG_ALONE, f"api/v1/logs/{path}/stream", path=path)

    async def module(self, request: Request, name: str) -> Response:
        """Give a module, for as long as it is the same."""
        if name == "viewer" and self._viewer is not None:
            # The address for pages of others, which stays.
            code = f'export * from "./{self._viewer.name}.js";\n'
            return Response(code, media_type="text/javascript", headers={"Cache-Control": "no-cache"})
        module = self._modules.get(name)
        if module is None:
            raise Problem(404, "no-such-page", "The viewer has changed. Load the page again.")
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers = {**_KEPT, "Content-Encoding": "gzip"}
            return Response(module.compressed, media_type="text/javascript", headers=headers)
        return Response(module.code, media_type="text/javascript", headers=_KEPT)


def _page(title: str, up: str, module: _Module | None, body: str, address: str, *, path: str = "") -> Response:
    shown = {"up": up, "address": html.escape(address), "path": html.escape(path)}
    if module is not None:
        script = _SCRIPT.format(up=up, name=module.name)
        if path:
            script = "".join(_FIRST.format(asked=asked, **shown) for asked in _FIRST_ASKED) + script
        noscript = _NO_SCRIPT.format(address=html.escape(up + address))
        content = body.format(**shown, noscript=noscript)
    else:
        script, content = "", _NOT_BUILT.format(**shown)
    page = _PAGE.format(title=html.escape(f"{title} – logflume"), script=script, body=content)
    return HTMLResponse(page, headers={"Cache-Control": "no-cache"})


def path_below(request: Request, start: str) -> str:
    """Return the rest of the path as the browser wrote it: what is relative to it counts its slashes."""
    root: str = request.scope.get("root_path", "")
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    path = raw.decode("ascii", "replace").partition("?")[0]
    return path.removeprefix(root).removeprefix(start)
