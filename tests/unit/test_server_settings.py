from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume.errors import UsageError
from logflume.serve.settings import Folder, Settings, check_binding, declared, is_loopback, load_settings, reference
from logflume.settings import MAX_FILE_BYTES, BadSetting

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "server-settings.md"
TABLE = re.compile(r"(?<=<!-- made by logflume.serve.settings -->\n).*?(?=<!-- end -->)", re.DOTALL)
VARIABLES = st.sampled_from([each.variable for each in declared().values()])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(
    text: str | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Settings:
    """Load settings of a file with that text, an environment, and flags."""
    named: dict[str, object] = {}
    if text is not None:
        path = Path("etc/serve.toml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        named["config"] = str(path)
    return load_settings({**named, **(flags or {})}, environ or {})


def mistake(flags: Mapping[str, object], environ: Mapping[str, str]) -> str | None:
    """Return where the mistake is; None when there is none."""
    try:
        load_settings(flags, environ)
    except BadSetting as error:
        return error.where
    return None


def test_nothing_given() -> None:
    """Without any, the server is for this machine only, and every setting has its default."""
    assert load() == Settings()
    assert (load().host, load().signs_in, load().tls) == ("127.0.0.1", False, False)


def test_a_later_place_wins() -> None:
    """Flags win over the environment, the environment over the file, setting by setting."""
    settings = load(
        "port = 1\nworkers = 1\nhost = 'a'\n",
        {"LOGFLUME_SERVE_PORT": "2", "LOGFLUME_SERVE_HOST": "b", "OTHER": "x", "LOGFLUME_OTHER": "y"},
        {"port": 3, "workers": None, "folders": ()},
    )
    assert (settings.port, settings.host, settings.workers, settings.folders) == (3, "b", 1, ())


def test_the_file_can_be_named_in_the_environment() -> None:
    """LOGFLUME_SERVE_CONFIG names it; a flag names another."""
    Path("a.toml").write_text("port = 1")
    Path("b.toml").write_text("port = 2")
    environ = {"LOGFLUME_SERVE_CONFIG": "a.toml"}
    assert load_settings({}, environ).port == 1
    assert load_settings({"config": "b.toml"}, environ).port == 2


def test_relative_paths(here: Path) -> None:
    """They start at the folder of the file they are in, and elsewhere where the command was called."""
    settings = load("tls_cert = 'c.pem'\ntls_key = '/k.pem'\n", {"LOGFLUME_SERVE_FOLDERS": "x:/y"}, {"key_file": "k"})
    assert (settings.tls_cert, settings.tls_key) == (here / "etc/c.pem", Path("/k.pem"))
    assert (settings.folders, settings.key_file) == (
        (Folder(None, here / "x"), Folder(None, Path("/y"))),
        here / "k",
    )


def test_folders_have_names(here: Path) -> None:
    """NAME=PATH names one, unless there is something of that whole name."""
    (here / "dag_id=load").mkdir()
    settings = load("", {}, {"folders": ("a=/b", "dag_id=load", "c=d=e", "x/y=z", "=f")})
    assert settings.folders == (
        Folder("a", Path("/b")),
        Folder(None, here / "dag_id=load"),
        Folder("c", here / "d=e"),
        Folder(None, here / "x/y=z"),
        Folder(None, here / "=f"),
    )


@pytest.mark.parametrize(
    ("text", "environ", "flags", "message"),
    [
        ("prot = 1", {}, {}, "etc/serve.toml: prot: there is no such setting. Did you mean port?"),
        ("xyzzy = 1", {}, {}, "etc/serve.toml: xyzzy: there is no such setting. See docs/reference"),
        ("[auth]\nport = 1", {}, {}, "etc/serve.toml: auth: there is no such setting."),
        (
            None,
            {"LOGFLUME_SERVE_MAX_READER": "1"},
            {},
            "LOGFLUME_SERVE_MAX_READER: there is no such setting. Did you mean LOGFLUME_SERVE_MAX_READERS?",
        ),
        (None, {}, {"worker": 1}, "flags: worker: there is no such setting. Did you mean workers?"),
        ("port = 'x'", {}, {}, "etc/serve.toml: port: expected a whole number from 0 to 65_535"),
        ("port = true", {}, {}, "etc/serve.toml: port: expected a whole number"),
        ("port = 1.0", {}, {}, "etc/serve.toml: port: expected a whole number"),
        (None, {"LOGFLUME_SERVE_PORT": "65536"}, {}, "LOGFLUME_SERVE_PORT: expected a whole number from 0 to 65_535"),
        (None, {"LOGFLUME_SERVE_PORT": "٣"}, {}, "LOGFLUME_SERVE_PORT: expected a whole number"),
        (None, {}, {"max_readers": 0}, "--max-readers: expected a whole number from 1 to"),
        ("cookie = 'none'", {}, {}, "etc/serve.toml: cookie: expected one of lax, strict, off"),
        ("host = 1", {}, {}, "etc/serve.toml: host: expected an address or a name of this machine"),
        ("root_path = 'logs/'", {}, {}, "root_path: expected a path that begins with / and does not end with one"),
        ('folders = "x\\u0000"', {}, {}, "folders: expected a list, each a path, or NAME=PATH"),
        ("folders = [1]", {}, {}, "folders: expected a list, each a path, or NAME=PATH"),
        ("folders = 1", {}, {}, "folders: expected a list, each a path, or NAME=PATH"),
        (None, {"LOGFLUME_SERVE_ALLOW_UNAUTHENTICATED_NETWORK": "maybe"}, {}, "NETWORK: expected true or false"),
        ("port = ", {}, {}, "etc/serve.toml: etc/serve.toml: expected TOML"),
        ("port = 1\nport = 2", {}, {}, "expected TOML"),
        ("a" + " = [" * 50_000, {}, {}, "expected TOML"),
        ("#" * MAX_FILE_BYTES + "##", {}, {}, "more than 1048576 bytes"),
        ("tls_cert = 'c'", {}, {}, "tls_key: expected a value, because tls_cert is set"),
        ("jwks_file = 'c'", {}, {}, "jwt_audience: expected a value, because jwks_file is set"),
    ],
)
def test_mistakes(text: str | None, environ: dict[str, str], flags: dict[str, object], message: str) -> None:
    """Each is refused with its place, its key, and what was expected or probably meant."""
    with pytest.raises(BadSetting) as caught:
        load(text, environ, flags)
    expected = message.replace("etc/serve.toml: etc/serve.toml", "etc/serve.toml")
    assert expected in str(caught.value)
    assert isinstance(caught.value, UsageError)


def test_files_that_cannot_be_read() -> None:
    """A missing file, a folder, and one that is not UTF-8 are refused by name."""
    Path("latin.toml").write_bytes(b"host = '\xe4'")
    for name, reason in [("none.toml", "No such file"), (".", "Is a directory"), ("latin.toml", "byte 8 is not")]:
        with pytest.raises(BadSetting, match=reason) as caught:
            load_settings({"config": name}, {})
        assert caught.value.where == name


def test_values_are_not_repeated() -> None:
    """A secret that was pasted into a wrong place is in no error."""
    secret = "lft_0123_" + "s3cret" * 8
    wrong: list[tuple[str | None, dict[str, str]]] = [
        (f"port = '{secret}'", {}),
        (f"cookie = '{secret}'", {}),
        (f"port = {secret}", {}),
        (f'folders = ["{secret}\\u0000"]', {}),
        (f"port = '{secret}", {}),
        (None, {"LOGFLUME_SERVE_PORT": secret}),
        (None, {"LOGFLUME_SERVE_COOKIE": secret}),
    ]
    for text, environ in wrong:
        with pytest.raises(BadSetting) as caught:
            load(text, environ)
        shown: BaseException | None = caught.value
        while shown is not None and not shown.__suppress_context__:
            assert "s3cret" not in str(shown)
            shown = shown.__context__
        assert "s3cret" not in str(caught.value)


@given(VARIABLES, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
def test_any_text_is_read_or_refused(variable: str, text: str) -> None:
    """Whatever a variable holds, it becomes a value of its kind, or an error that names the variable."""
    assert mistake({}, {variable: text}) in (None, variable, "settings")


@given(st.binary(max_size=60))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever a file holds, it becomes settings or an error that names the file."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(data)
    assert mistake({"config": path}, {}) in (None, str(path), "settings")


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing is bound
        ("::", False),
        ("", False),
        ("192.168.1.1", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("2130706433", False),
    ],
)
def test_loopback(host: str, inside: bool) -> None:
    """Only addresses of this machine alone are loopback; whatever is not surely so is not."""
    assert is_loopback(host) is inside


def test_a_network_needs_callers_who_sign_in() -> None:
    """Another address than loopback is refused with ways on, unless callers sign in or it was asked for in words."""
    with pytest.raises(BadSetting, match=r"host: 0\.0\.0\.0 can be reached by others.*tokens_file.*allow_unauthent"):
        check_binding(load("host = '0.0.0.0'"))
    for more in ["tokens_file = 't'", "jwks_file = 'j'\njwt_audience = 'a'", "allow_unauthenticated_network = true"]:
        check_binding(load(f"host = '0.0.0.0'\n{more}"))
    check_binding(load())


def test_the_reference_is_true() -> None:
    """The page's table is the one made of the declarations; python scripts/settings_page.py writes it."""
    found = TABLE.search(PAGE.read_text())
    assert found
    assert found[0] == reference()
    assert all(each.name in found[0] for each in declared().values())
