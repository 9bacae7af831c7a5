from __future__ import annotations

import asyncio
import html
import json
import logging
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from fastapi import Depends, FastAPI, Request, Response
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from logflume.errors import UsageError
from logflume.serve.attempts import MAX_ADDRESSES, MAX_FAILURES, WITHIN_S, Attempts
from logflume.serve.auth import MAX_TOKEN_CHARS, Gate, read_key
from logflume.serve.callers import ANYBODY, Caller, Refused
from logflume.serve.cookies import SignInCookies
from logflume.serve.settings import Settings
from logflume.serve.signin import MAX_FORM_BYTES, signin_address, signin_router
from logflume.serve.tokens import TokenFile
from tests.unit.test_server_webtokens import claims, secret_row, signed

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"k" * 32
PROOF = re.compile(r'name="proof" type="hidden" value="([^"]+)"')
NEXT = re.compile(r'name="next" type="hidden" value="([^"]*)"')
COOKIES = SignInCookies(KEY, same_site="lax", session_s=3600)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of a server with tokens of both kinds."""
    (tmp_path / "jwks").write_text(json.dumps({"keys": [secret_row()]}))
    (tmp_path / "jwks").chmod(0o600)
    (tmp_path / "tokens").touch(0o600)
    return Settings(tokens_file=tmp_path / "tokens", jwks_file=tmp_path / "jwks", jwt_audience="logflume")


@pytest.fixture
def token(settings: Settings) -> str:
    """Give a token named ci, for what is in a/."""
    assert settings.tokens_file
    return TokenFile(settings.tokens_file).create("ci", ["a/"])


def app_of(settings: Settings, key: bytes = KEY) -> FastAPI:
    """Return an application as the server is: a route for callers, the sign-in pages, refusals as answers."""
    gate = Gate(settings, key)
    app = FastAPI()

    async def who(request: Request, caller: Caller = Depends(gate.caller)) -> dict[str, object]:  # noqa: B008
        assert request.state.caller is caller
        return {"name": caller.name, "logs": caller.prefixes}

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        if "text/html" in request.headers.get("accept", ""):
            return Response(status_code=303, headers={"location": signin_address(request)})
        return Response(error.detail, error.status, error.headers)

    async def read(log_id: str) -> str:
        return log_id

    app.add_api_route("/logs/{log_id:path}/stream", read, dependencies=[Depends(gate.admit)])
    app.add_api_route("/who", who, methods=["GET", "POST"])
    app.include_router(signin_router(gate))
    app.add_exception_handler(Refused, refused)
    return app


def browser(app: FastAPI, base: str = "http://logs.example") -> httpx.AsyncClient:
    """Return a client that keeps cookies as a browser does."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base)


def ask(app: FastAPI, *authorization: str, path: str = "/who") -> httpx.Response:
    """Ask who one is, or something else."""

    async def go() -> httpx.Response:
        async with browser(app) as client:
            return await client.get(path, headers=[("Authorization", each) for each in authorization])

    return asyncio.run(go())


async def sign_in(client: httpx.AsyncClient, token: str, next: str = "") -> httpx.Response:  # noqa: A002
    """Get the form and send it."""
    page = await client.get("/sign-in", params={"next": next})
    form = {"proof": PROOF.findall(page.text)[0], "next": html.unescape(NEXT.findall(page.text)[0])}
    return await client.post("/sign-in", data={**form, "token": token})


def test_where_nobody_signs_in() -> None:
    """Everybody may read everything, there is no sign-in page, and what is sent as a token is not looked at."""
    app = app_of(Settings())
    assert ask(app).json() == {"name": "anybody", "logs": ["*"]}
    assert ask(app, "Bearer x").json()["name"] == "anybody"

    async def page() -> int:
        async with browser(app) as client:
            return (await client.get("/sign-in")).status_code

    assert asyncio.run(page()) == 404


def test_bearer_tokens(settings: Settings, token: str) -> None:
    """Ours and JSON web tokens sign in; the scheme may be written in any case."""
    app = app_of(settings)
    assert ask(app, f"Bearer {token}").json() == {"name": "ci", "logs": ["a/"]}
    assert ask(app, f"bearer  {token}").json()["name"] == "ci"
    assert ask(app, f"Bearer {signed()}").json() == {"name": "jwt:ann", "logs": ["a/"]}


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        ["Basic eDp5"],
        ["Bearer lft_0000000000000000_" + "A" * 43],
        ["Bearer a.b.c"],
        ["Bearer a b"],
        ["Bearer " + "x" * (MAX_TOKEN_CHARS + 1)],
        ["Bearer \x7f"],
        ["Bearer x", "Bearer y"],
    ],
)
def test_others_are_refused(settings: Settings, authorization: list[str]) -> None:
    """Without a token that counts the answer is 401 with the challenge, and does not repeat what was sent."""
    answer = ask(app_of(settings), *authorization)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="logflume"')
    assert "AAAA" not in answer.text


def test_logs_of_others_are_refused(settings: Settings, token: str) -> None:
    """A caller reads the logs of its prefixes, whatever way an address is spelled, and is told 403 of all others."""

    async def go() -> list[int]:
        async with browser(app_of(settings)) as client:
            client.headers["Authorization"] = f"Bearer {token}"
            paths = ("a/x.log", "a%2Fx.log", "b/x.log", "a/%2e%2e/b/x.log", "a", "ab/x.log", "%61/x", "/a/x", "b%00")
            return [(await client.get(f"/logs/{path}/stream")).status_code for path in paths]

    assert asyncio.run(go()) == [200, 200, 403, 403, 200, 403, 200, 403, 403]
    assert ask(app_of(settings), path="/logs/a/x/stream").status_code == 401
    assert ask(app_of(Settings()), path="/logs/b/x/stream").status_code == 200


def test_a_token_in_an_address_is_not_read(settings: Settings, token: str) -> None:
    """Addresses are kept in histories and logs of proxies, so none of the usual parameters signs in."""

    async def go() -> list[int]:
        async with browser(app_of(settings)) as client:
            names = ("token", "access_token", "Authorization")
            return [(await client.get("/who", params={name: token})).status_code for name in names]

    assert asyncio.run(go()) == [401, 401, 401]


def test_a_browser_signs_in_and_out(settings: Settings, token: str) -> None:
    """The form gives a cookie that reads until sign-out; scripts, other sites and plain HTTP do not get it."""

    async def go() -> None:
        async with browser(app_of(settings), "https://logs.example") as client:
            first = await client.get("/who?x=1", headers={"Accept": "text/html"})
            assert first.headers["location"] == "/sign-in?next=%2Fwho%3Fx%3D1"
            answer = await sign_in(client, token, next="/who?x=1")
            assert (answer.status_code, answer.headers["location"]) == (303, "/who?x=1")
            cookie = answer.headers["set-cookie"]
            assert all(part in cookie for part in ("HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=43200"))
            assert token.split("_", 2)[2] not in cookie
            assert (await client.get("/who")).json() == {"name": "ci", "logs": ["a/"]}
            assert (await client.head("/who")).status_code == 405  # the route has none; the gate is not asked
            assert (await client.post("/who")).status_code == 401
            out = await client.post("/sign-out")
            assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
            assert (await client.get("/who")).status_code == 401

    asyncio.run(go())


def test_a_cookie_ends_with_its_token(settings: Settings, token: str) -> None:
    """Revoking a token ends what was signed in with it; so does a server without such tokens, or with another key."""

    async def go() -> None:
        app = app_of(settings)
        async with browser(app) as client:
            await sign_in(client, token)
            cookie = dict(client.cookies)[COOKIES.name]
            assert (await client.get("/who")).json()["name"] == "ci"
        for other, key in [(Settings(jwks_file=settings.jwks_file, jwt_audience="x"), KEY), (settings, b"other" * 8)]:
            another = app_of(other, key)
            name = SignInCookies(key, same_site="lax", session_s=1).name
            assert (await get_with(another, {name: cookie})).status_code == 401
        assert settings.tokens_file
        TokenFile(settings.tokens_file).revoke("ci")
        fresh = app_of(settings)
        answer = await get_with(fresh, {COOKIES.name: cookie})
        assert (answer.status_code, "revoked" in answer.text) == (401, True)

    asyncio.run(go())


async def get_with(app: FastAPI, cookies: dict[str, str]) -> httpx.Response:
    """Ask who one is with cookies."""
    async with browser(app) as client:
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        return await client.get("/who", headers={"Cookie": header})


def test_a_running_server_sees_what_is_revoked(settings: Settings, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file is looked at again, a revoked token has ended; while it cannot be read, nobody is told apart."""
    monkeypatch.setattr("logflume.serve.smallfile.LOOK_EVERY_S", 0.0)
    assert settings.tokens_file
    app = app_of(settings)
    assert ask(app, f"Bearer {token}").status_code == 200
    settings.tokens_file.chmod(0o644)
    answer = ask(app, f"Bearer {token}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert str(settings.tokens_file) not in answer.text
    settings.tokens_file.chmod(0o600)
    assert ask(app, f"Bearer {token}").status_code == 200
    TokenFile(settings.tokens_file).revoke("ci")
    assert ask(app, f"Bearer {token}").status_code == 401


def test_a_caller_is_one_until_the_token_ends(settings: Settings, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that lasts can ask again, and is told when the token was revoked or has expired."""
    monkeypatch.setattr("logflume.serve.smallfile.LOOK_EVERY_S", 0.0)
    gate = Gate(settings, KEY)
    caller = asyncio.run(gate.caller_of_token(token))
    web = asyncio.run(gate.caller_of_token(signed()))
    for each in (caller, web, ANYBODY):
        asyncio.run(gate.recheck(each))
    assert settings.tokens_file
    TokenFile(settings.tokens_file).revoke("ci")
    with pytest.raises(Refused, match="revoked"):
        asyncio.run(gate.recheck(caller))
    with pytest.raises(Refused, match="expired"):
        asyncio.run(gate.recheck(replace(web, expires_s=1.0)))


def test_problems_are_told_to_who_runs_the_server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps callers from being told apart has the path and the reason."""
    gate = Gate(settings, KEY)
    assert asyncio.run(gate.problems()) == []
    assert settings.tokens_file
    settings.tokens_file.unlink()
    monkeypatch.setattr("logflume.serve.smallfile.LOOK_EVERY_S", 0.0)
    assert asyncio.run(gate.problems()) == [f"{settings.tokens_file}: cannot be read: No such file or directory"]
    with pytest.raises(UsageError, match="No such file"):
        Gate(settings, KEY)


def test_a_web_token_signs_a_browser_in(settings: Settings) -> None:
    """Its cookie has the same prefixes and ends when the token does."""

    async def go() -> None:
        async with browser(app_of(settings)) as client:
            answer = await sign_in(client, signed(exp=int(time.time()) + 100))
            assert int(re.findall(r"Max-Age=(\d+)", answer.headers["set-cookie"])[0]) <= 100
            assert "Secure" not in answer.headers["set-cookie"]
            assert (await client.get("/who")).json() == {"name": "jwt:ann", "logs": ["a/"]}
            wide = await sign_in(client, signed(logs=["x" * 100] * 45))
            assert (wide.status_code, "than a browser can keep" in wide.text) == (403, True)

    asyncio.run(go())


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/a\r\nSet-Cookie: x=y",
        "/a\tb",
        "javascript:alert(1)",
        "/" + "a" * 3000,
        "",
    ],
)
def test_a_browser_is_not_led_away(settings: Settings, token: str, wanted: str) -> None:
    """After signing in it goes to a page of this server, whatever it was sent with."""

    async def go() -> None:
        async with browser(app_of(settings)) as client:
            answer = await sign_in(client, token, next=wanted)
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
            page = await client.get("/sign-in")
            form = {"proof": PROOF.findall(page.text)[0], "next": wanted, "token": token}
            assert (await client.post("/sign-in", data=form)).headers["location"] == "/"

    asyncio.run(go())


def test_forms_of_others_do_not_count(settings: Settings, token: str) -> None:
    """Without the cookie that goes with the form, with another one's proof, or sent by another site, none signs in."""

    async def go() -> None:
        app = app_of(settings)
        async with browser(app) as attacker, browser(app) as victim:
            mine = PROOF.findall((await attacker.get("/sign-in")).text)[0]
            await victim.get("/sign-in")
            for fields in ({"token": token}, {"token": token, "proof": mine}, {"token": token, "proof": "ä"}):
                assert (await victim.post("/sign-in", data=fields)).status_code == 403
            own = PROOF.findall((await victim.get("/sign-in")).text)[0]
            foreign = {"Sec-Fetch-Site": "cross-site"}
            sent = await victim.post("/sign-in", data={"token": token, "proof": own}, headers=foreign)
            assert sent.status_code == 403
            assert (await victim.post("/sign-out", headers=foreign)).status_code == 403
            assert COOKIES.name not in victim.cookies
        async with browser(app) as cookieless:
            cookieless.cookies.clear()
            empty = COOKIES.form_proof("")
            assert (await cookieless.post("/sign-in", data={"token": token, "proof": empty})).status_code == 403

    asyncio.run(go())


def test_a_wrong_token_shows_the_form_again(settings: Settings) -> None:
    """The page says why, keeps where to go on to, and does not show what was typed; nothing in it becomes HTML."""

    async def go() -> None:
        async with browser(app_of(settings)) as client:
            answer = await sign_in(client, "wr0ng<script>", next='/"><script>')
            assert answer.status_code == 401
            assert "This is no token." in answer.text
            assert "wr0ng" not in answer.text
            assert "<script" not in answer.text
            assert "/&quot;&gt;&lt;script&gt;" in answer.text
            assert answer.headers["Cache-Control"] == "no-store"

    asyncio.run(go())


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"token=" + b"x" * MAX_FORM_BYTES, "application/x-www-form-urlencoded", 413),
        (b"token=x", "application/json", 415),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"&a=1" * 20, "application/x-www-form-urlencoded", 400),
        (b"token=%ff&proof=%ff", "application/x-www-form-urlencoded", 400),
        (b"", "application/x-www-form-urlencoded; charset=utf-8", 403),
    ],
)
def test_odd_forms(settings: Settings, body: bytes, kind: str, status: int) -> None:
    """What is no form, or too large a one, is refused."""

    async def go() -> int:
        async with browser(app_of(settings)) as client:
            return (await client.post("/sign-in", content=body, headers={"Content-Type": kind})).status_code

    assert asyncio.run(go()) == status


def test_below_a_prefix(settings: Settings, token: str) -> None:
    """Behind a proxy that cuts a prefix off, the cookie and where to go on to are below it."""

    async def go() -> None:
        transport = httpx.ASGITransport(app_of(settings), root_path="/logs")
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            page = await client.get("/sign-in")
            form = {"proof": PROOF.findall(page.text)[0], "token": token}
            cookie = page.headers["set-cookie"].split(";")[0]
            answer = await client.post("/sign-in", data=form, headers={"Cookie": cookie})
            assert answer.headers["location"] == "/logs/"
            assert "Path=/logs;" in answer.headers["set-cookie"]

    asyncio.run(go())


def test_no_cookies_when_switched_off(settings: Settings, token: str) -> None:
    """With cookie = off there is no sign-in page, and only the header counts."""
    gate = Gate(Settings(tokens_file=settings.tokens_file, cookie="off"), KEY)
    assert gate.cookies is None
    assert signin_router(gate).routes == []


@given(st.text(max_size=80) | st.from_regex(r"1\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
def test_any_other_cookie_is_refused(text: str) -> None:
    """No text but what was given is read as a cookie."""
    with pytest.raises(Refused):
        COOKIES.read(text, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"authorization", b"cookie"]),
            st.binary(max_size=60)
            | st.binary(max_size=60).map(b"Bearer ".__add__)
            | st.binary(max_size=60).map(f"{COOKIES.name}=1.".encode().__add__),
        ),
        max_size=4,
    )
)
def test_any_headers_are_refused(tmp_path_factory: pytest.TempPathFactory, headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever bytes come in the headers that sign in, the answer is a refusal."""
    path = tmp_path_factory.getbasetemp() / "no-tokens"
    path.touch(0o600)
    gate = Gate(Settings(tokens_file=path), KEY)
    connection = HTTPConnection({"type": "http", "method": "GET", "headers": headers})
    with pytest.raises(Refused) as caught:
        asyncio.run(gate.caller(connection))
    assert caught.value.status == 401


def test_a_cookie_cannot_be_changed() -> None:
    """Whichever character is changed, it is none any more; nor is the proof of a form one."""
    text, _ = COOKIES.value(Caller("ann", ("a/",)), 1000)
    assert COOKIES.read(text, 1000) == Caller("ann", ("a/",), expires_s=4600)
    for at in range(len(text) - 1):  # two last characters of base64 can mean the same bytes; the text is compared
        with pytest.raises(Refused):
            COOKIES.read(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :], 1000)
    with pytest.raises(Refused):
        COOKIES.read(f"1.x.{COOKIES.form_proof('x')}", 0)
    with pytest.raises(Refused, match="as long as that lasts"):
        COOKIES.read(text, 4600)


def test_no_secret_is_logged(
    settings: Settings, token: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Good and bad tokens leave nothing of themselves in log lines, output, or refusals with their causes."""
    caplog.set_level(logging.DEBUG)
    web = signed()
    app = app_of(settings)
    texts = [token, web, token[:-1] + "!", web + "x", web[:-6] + "AAAAAA"]
    shown = [ask(app, f"Bearer {text}").text for text in texts]
    gate = Gate(settings, KEY)
    for text in texts[2:]:
        with pytest.raises(Refused) as caught:
            asyncio.run(gate.caller_of_token(text))
        shown += [str(caught.getrepr(style="native", chain=True, showlocals=False)), repr(caught.value)]
    written = "".join([*shown, caplog.text, *capfd.readouterr()])
    for secret in (token.split("_", 2)[2][:20], web.split(".")[1][:20], web.split(".")[2][:20]):
        assert secret not in written


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """The key file is made with the mode 0600 and read from then on, also by several at once."""
    path = tmp_path / "key"
    key = read_key(path)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path) == key
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(read_key, [tmp_path / "another"] * 16))) == 1
    assert {each.name for each in tmp_path.iterdir()} == {"key", "another"}
    path.chmod(0o644)
    with pytest.raises(UsageError, match="others can read it"):
        read_key(path)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(UsageError, match="64 hexadecimal digits") as caught:
        read_key(path)
    assert "short" not in str(caught.value)
    with pytest.raises(UsageError, match="No such file"):
        read_key(tmp_path / "none" / "key")


def test_a_short_secret_of_somebody_else_is_not_taken(settings: Settings) -> None:
    """A web token that is signed with our own cookie key is none."""
    forged: Any = jwt.encode(claims(), KEY, "HS256")
    assert ask(app_of(settings), f"Bearer {forged}").status_code == 401


def test_guessing_has_to_wait(settings: Settings, token: str) -> None:
    """After ten failures an address is told when to try again, also with a token that counts; others are not."""

    async def go() -> None:
        app = app_of(settings)
        guessing = httpx.ASGITransport(app, client=("203.0.113.7", 1))
        async with httpx.AsyncClient(transport=guessing, base_url="http://logs.example") as guesser:
            for _ in range(MAX_FAILURES):
                assert (await sign_in(guesser, "lft_wrong")).status_code == 401
            refused = await sign_in(guesser, token)
            assert (refused.status_code, "Try again" in refused.text) == (429, True)
            assert 0 < int(refused.headers["retry-after"]) <= WITHIN_S
        async with browser(app) as client:
            assert (await sign_in(client, token)).status_code == 303

    asyncio.run(go())


def test_failures_are_forgotten() -> None:
    """After a minute; of IPv6 a whole network counts as one; and no more of them are kept than there may be."""
    now_s = 0.0
    attempts = Attempts(lambda: now_s)
    for n in range(MAX_FAILURES):
        attempts.failed(f"2001:db8::{n}")
    with pytest.raises(Refused):
        attempts.check("2001:db8::ffff")
    attempts.check("2001:db8:0:1::1")
    now_s = WITHIN_S
    attempts.check("2001:db8::ffff")
    for n in range(2 * MAX_ADDRESSES):
        attempts.failed(f"host {n}")
    assert len(attempts) == MAX_ADDRESSES


def test_a_session_ends(settings: Settings, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ``session_s`` the cookie counts for nothing, whether or not the browser still sends it."""

    async def go() -> None:
        async with browser(app_of(settings)) as client:
            await sign_in(client, token)
            assert (await client.get("/who")).status_code == 200
            now_s = time.time()
            monkeypatch.setattr(time, "time", lambda: now_s + settings.session_s - 5)
            assert (await client.get("/who")).status_code == 200
            monkeypatch.setattr(time, "time", lambda: now_s + settings.session_s + 1)
            cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
            assert (await client.get("/who", headers={"Cookie": cookies})).status_code == 401

    asyncio.run(go())


def test_a_cookie_changes_nothing(settings: Settings, token: str) -> None:
    """Whatever another site has a browser send, the cookie counts for reading only."""

    async def go() -> None:
        async with browser(app_of(settings)) as client:
            await sign_in(client, token)
            assert (await client.post("/who")).status_code == 401
            assert (await client.get("/who")).status_code == 200

    asyncio.run(go())


def test_keys_are_read_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is taken out of the file signs nobody in any more, and a new one does, in the running server."""
    monkeypatch.setattr("logflume.serve.smallfile.LOOK_EVERY_S", 0.0)
    app = app_of(settings)
    old = signed()
    assert ask(app, f"Bearer {old}").status_code == 200
    assert settings.jwks_file
    settings.jwks_file.write_text(json.dumps({"keys": [secret_row() | {"k": "B" * 86, "kid": "another"}]}))
    assert ask(app, f"Bearer {old}").status_code == 401
    settings.jwks_file.write_text(json.dumps({"keys": [secret_row()]}))
    assert ask(app, f"Bearer {old}").status_code == 200
