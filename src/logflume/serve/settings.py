"""The settings of the server: from a TOML file, the environment, and flags; a later one wins.

Holds: a value is used only when its kind fits, and an unknown key is refused: no mistake is passed over in silence.
       No error holds a value. Secrets are no settings: settings name the files they are in.
Plan:  a setting has one name, spelled three ways: ``max_readers`` in the file, ``LOGFLUME_SERVE_MAX_READERS`` in the
       environment, ``--max-readers`` as a flag. ``Settings`` declares all of them, with kind and meaning, and the
       reference (docs/reference/server-settings.md) is made of it.

Nothing costly is imported here: the command line reads the names of its flags from it.
"""

# ruff: noqa: RUF009 - `setting` declares a field, as dataclasses.field does

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from logflume.errors import UsageError
from logflume.serve.kinds import APath, Kind, ListOf, OneOf, Text, Whole, YesNo

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

T = TypeVar("T")

VARIABLE = "LOGFLUME_SERVE_"
"""How the names of environment variables begin."""

CONFIG = "config"
"""Names the file itself: ``--config FILE``, or ``LOGFLUME_SERVE_CONFIG``."""

MAX_FILE_BYTES = 1024 * 1024

_MANY = 1_000_000
_BYTES = 1_000_000_000_000_000
_PREFIX = Text("a prefix of ids of logs, such as dag_id=load/ or team_*")


class BadSetting(UsageError):
    """A setting that cannot be used.

    Attributes:
        where: the file, variable or flag it is in.
        key: its name there.
        expected: what was expected, in words.
    """

    def __init__(self, where: str, key: str, expected: str) -> None:
        self.where = where
        self.key = key
        self.expected = expected
        place = where if where == key else f"{where}: {key}"
        super().__init__(f"{place}: {expected}")


def setting(kind: Kind[T], default: T | None, meaning: str) -> T:
    """Declare one setting; None is its default when it is not set."""
    return cast("T", dataclasses.field(default=default, metadata={"kind": kind, "meaning": meaning}))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server is told. The values of one run; nothing changes while it runs."""

    folders: tuple[Path, ...] = setting(ListOf(APath(), ":"), (), "The folders whose logs are served.")
    pattern: str | None = setting(
        Text(),
        None,
        "Which files are a log, such as `{service}/{*host}.log`. Unset: Airflow's layout, and every other `*.log`.",
    )
    host: str = setting(
        Text("an address or a name of this machine", r"[0-9A-Za-z.:_%-]{1,255}"),
        "127.0.0.1",
        "The address to listen at. Another one than loopback needs `tokens_file` or `jwks_file`.",
    )
    port: int = setting(Whole(0, 65535), 8793, "The port to listen at; 0: any free one.")
    root_path: str = setting(
        Text("a path that begins with / and does not end with one", r"(/[A-Za-z0-9._~-]+)+"),
        "",
        "What a proxy cuts off the front of addresses, such as `/logs`.",
    )
    workers: int = setting(Whole(1, 64), 1, "Processes that serve.")
    drain_s: int = setting(Whole(0, 3600), 30, "Seconds that open answers are given to end after SIGTERM.")
    trusted_proxies: tuple[str, ...] = setting(
        ListOf(Text("an address, a network, or *", r"[0-9A-Fa-f.:/]+|\*"), ","),
        ("127.0.0.1", "::1"),
        "Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
    )
    tls_cert: Path | None = setting(APath(), None, "The certificate chain, PEM: serve HTTPS.")
    tls_key: Path | None = setting(APath(), None, "Its private key, PEM.")
    key_file: Path | None = setting(
        APath(),
        None,
        "Where the key is kept that signs cursors and cookies; made when it is not there. Unset: in the cache folder.",
    )

    tokens_file: Path | None = setting(APath(), None, "Where `logflume token` keeps tokens. Set: callers sign in.")
    jwks_file: Path | None = setting(
        APath(), None, "Public keys (RFC 7517) by which JSON web tokens are checked. Set: callers sign in."
    )
    jwt_audience: str | None = setting(Text(), None, "Whom such a token must be for (`aud`). Needed with `jwks_file`.")
    jwt_issuer: str | None = setting(Text(), None, "Who must have made it (`iss`). Unset: any owner of a key.")
    jwt_leeway_s: int = setting(Whole(0, 600), 30, "Seconds that the issuer's clock may differ.")
    jwt_logs_claim: str = setting(Text(), "logs", "The claim that lists the prefixes of logs that may be read.")
    jwt_default_logs: tuple[str, ...] = setting(
        ListOf(_PREFIX, ","), (), "The prefixes that count when the token has no such claim; `*`: all logs."
    )
    cookie: str = setting(
        OneOf(("lax", "strict", "off")),
        "lax",
        "`SameSite` of the cookie that browsers sign in with. `strict`: links from other sites ask to sign in.",
    )
    session_s: int = setting(Whole(60, 31_536_000), 43_200, "Seconds until a browser has to sign in again.")
    allow_unauthenticated_network: bool = setting(
        YesNo(),
        default=False,
        meaning="Let everybody who can reach `host` read every log, without signing in.",
    )
    frame_ancestors: tuple[str, ...] = setting(
        ListOf(Text("an origin such as https://airflow.example.com", r"https?://[0-9A-Za-z.:\[\]*-]+"), ","),
        (),
        "Other origins whose pages may show the viewer in a frame.",
    )

    metrics: str = setting(
        OneOf(("callers", "everybody", "off")), "callers", "Who may read `/metrics`: who has signed in, or everybody."
    )
    access_log: str = setting(
        OneOf(("stderr", "stdout", "off")), "stderr", "Where a line of JSON for each request goes."
    )

    max_readers: int = setting(Whole(1, _MANY), 64, "Logs being read at once; each costs a merge.")
    max_readers_per_caller: int = setting(Whole(1, _MANY), 16, "Of these, by one who has signed in.")
    max_followers: int = setting(Whole(1, _MANY), 2000, "Logs being followed at once, at their end.")
    max_followers_per_caller: int = setting(Whole(1, _MANY), 200, "Of these, by one who has signed in.")
    max_searches: int = setting(Whole(1, _MANY), 4, "Searches at once; each keeps a processor busy.")
    max_searches_per_caller: int = setting(Whole(1, _MANY), 2, "Of these, by one who has signed in.")
    max_search_bytes: int = setting(
        Whole(1, _BYTES), 50_000_000_000, "What one search reads before it stops and says how to go on."
    )
    max_search_s: int = setting(Whole(1, 86_400), 60, "The same in seconds.")
    max_bytes_per_s: int = setting(Whole(0, _BYTES), 0, "What all answers together may send a second; 0: any.")
    max_bytes_per_s_per_caller: int = setting(
        Whole(0, _BYTES), 0, "What one who has signed in is sent a second; 0: any."
    )

    @property
    def signs_in(self) -> bool:
        """Whether callers have to say who they are."""
        return self.tokens_file is not None or self.jwks_file is not None

    @property
    def tls(self) -> bool:
        """Whether HTTPS is served."""
        return self.tls_cert is not None


@dataclass(frozen=True)
class Declared:
    """One setting as it is declared."""

    name: str
    kind: Kind[Any]
    default: object
    meaning: str

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return VARIABLE + self.name.upper()


def declared() -> dict[str, Declared]:
    """Return every setting by name, in order."""
    return {
        each.name: Declared(each.name, each.metadata["kind"], each.default, each.metadata["meaning"])
        for each in dataclasses.fields(Settings)
    }


def load_settings(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Return the settings of a file, the environment, and flags; a later one wins.

    Args:
        flags: by the names of settings, and ``config``; None, an empty list, or none at all: not given.
        environ: the environment; an empty variable is not set.

    Raises:
        BadSetting: with the place, the key, and what was expected.
    """
    here = Path.cwd()
    given = {name: value for name, value in flags.items() if value is not None and value not in ((), [])}
    variables = {name: value for name, value in environ.items() if name.startswith(VARIABLE) and value}
    spelled = {VARIABLE + name.upper(): name for name in (CONFIG, *declared())}
    for variable in variables:
        _refuse_unknown("environment", variable, spelled)
    named = variables.pop(VARIABLE + CONFIG.upper(), None)
    config = given.pop(CONFIG, named)
    values: dict[str, object] = {}
    if config is not None:
        values |= _read_file(Path(str(config)))
    values |= {spelled[name]: _value(spelled[name], text, name, name, here) for name, text in variables.items()}
    for name, value in given.items():
        _refuse_unknown("flags", name, declared())
        flag = declared()[name].flag
        values[name] = _value(name, value, flag, flag, here)
    settings = Settings(**values)  # type: ignore[arg-type]  # each was read by its kind
    _check(settings)
    return settings


def _read_file(path: Path) -> dict[str, object]:
    where = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadSetting(where, where, f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise BadSetting(where, where, f"expected at most {MAX_FILE_BYTES} bytes")
    try:
        found = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise BadSetting(where, where, f"expected UTF-8, and byte {error.start} is not") from None
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(where, where, f"expected TOML: {_place_in_toml(error)}") from None
    except (RecursionError, ValueError):
        raise BadSetting(where, where, "expected TOML") from None
    for name in found:
        _refuse_unknown(where, name, declared())
    base = path.absolute().parent
    return {name: _value(name, value, where, name, base) for name, value in found.items()}


def _place_in_toml(error: Exception) -> str:
    """Tell what is wrong, and where, without the text that is there."""
    what, bracket, where = str(error).rpartition("(")
    return f"{what.split(':')[0].strip()} ({where}" if bracket else "it is not"


def _refuse_unknown(where: str, name: str, known: Iterable[str]) -> None:
    if name in known:
        return
    shown = name if name.isprintable() and len(name) <= 100 else ascii(name[:100])  # noqa: PLR2004 - a line
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"Did you mean {near[0]}?" if near else "See docs/reference/server-settings.md for those there are."
    raise BadSetting(where, shown, f"there is no such setting. {hint}")


def _value(name: str, value: object, where: str, key: str, base: Path) -> object:
    try:
        return declared()[name].kind.read(value, base)
    except ValueError as error:
        raise BadSetting(where, key, f"expected {error}") from None


def _check(settings: Settings) -> None:
    """Refuse settings that do not go together.

    Raises:
        BadSetting: naming the one that is missing.
    """
    for one, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert"), ("jwks_file", "jwt_audience")):
        if getattr(settings, one) is not None and getattr(settings, other) is None:
            raise BadSetting("settings", other, f"expected a value, because {one} is set")


def check_binding(settings: Settings) -> None:
    """Refuse to show logs to a network that nobody has been let in from.

    Raises:
        BadSetting: the address is not loopback, nobody has to sign in, and this was not asked for in plain words.
    """
    if is_loopback(settings.host) or settings.signs_in or settings.allow_unauthenticated_network:
        return
    raise BadSetting(
        "settings",
        "host",
        f"{settings.host} can be reached by others, and nobody has to sign in. Set tokens_file (make a token: "
        "logflume token create) or jwks_file; or listen at 127.0.0.1; or, if everybody who can reach this machine "
        "may read every log, set allow_unauthenticated_network.",
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address; a name other than ``localhost`` counts as reachable."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback


def reference() -> str:
    """Return the table of the reference, in Markdown."""
    rows = [("in the file", "environment", "flag", "default", "meaning"), ("---",) * 5, *_rows()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _rows() -> Iterator[tuple[str, ...]]:
    for each in declared().values():
        meaning = f"{each.meaning} {each.kind.expected[0].upper()}{each.kind.expected[1:]}."
        names = (f"`{name}`" for name in (each.name, each.variable, each.flag))
        yield (*names, _shown(each.default), meaning.replace("|", r"\|"))


def _shown(default: object) -> str:
    if default is None or default in ((), ""):
        return "–"
    if isinstance(default, bool):
        return "`true`" if default else "`false`"
    if isinstance(default, tuple):
        return ", ".join(f"`{each}`" for each in default)
    return f"`{default:_}`" if isinstance(default, int) else f"`{default}`"
