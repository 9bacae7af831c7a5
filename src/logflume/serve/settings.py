"""The settings of the server: from a TOML file, the environment, and flags; a later one wins.

Holds: a value is used only when its kind fits, and an unknown key is refused: no mistake is passed over in silence.
       No error holds a value. Secrets are no settings: settings name the files they are in.
Plan:  a setting has one name, spelled three ways: ``max_readers`` in the file, ``LOGFLUME_SERVE_MAX_READERS`` in the
       environment, ``--max-readers`` as a flag. ``Settings`` declares all of them, with kind and meaning, and the
       reference (docs/reference/server-settings.md) is made of it.

Nothing costly is imported here: the command line reads the names of its flags from it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from logflume.catalogs import NAME
from logflume.kinds import APath, ListOf, OneOf, Size, Text, Whole, YesNo
from logflume.settings import (
    BadSetting,
    Declared,
    declared_by,
    meaning_of,
    read_toml,
    read_value,
    refuse_unknown,
    setting,
    shown_default,
)
from logflume.ship.segments import BUDGET_BYTES, MIN_BUDGET_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

VARIABLE = "LOGFLUME_SERVE_"
"""How the names of environment variables begin."""

CONFIG = "config"
"""Names the file itself: ``--config FILE``, or ``LOGFLUME_SERVE_CONFIG``."""

_MANY = 1_000_000
_BYTES = 1_000_000_000_000_000
_TOGETHER = (
    ("tls_cert", "tls_key"),
    ("tls_key", "tls_cert"),
    ("jwks_file", "jwt_audience"),
    ("take_into", "writers_file"),
    ("writers_file", "take_into"),
)
_PREFIX = Text("a prefix of ids of logs, such as dag_id=load/ or team_*")


class Folder(NamedTuple):
    """A folder that is served, and what it is called; None: ids do not begin with a name, or with the folder's own."""

    name: str | None
    path: Path


@dataclass(frozen=True)
class AFolder:
    """A folder, or ``NAME=FOLDER``; what is there under the whole text is a folder, for ``=`` is often in a name."""

    expected: str = "a path, or NAME=PATH"

    def read(self, value: object, base: Path) -> Folder:
        """Take a name off the front."""
        try:
            path = APath().read(value, base)
        except ValueError:
            raise ValueError(self.expected) from None
        name, found, rest = str(value).partition("=")
        if not found or path.exists() or not NAME.fullmatch(name):
            return Folder(None, path)
        return Folder(name, APath().read(rest, base))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server is told. The values of one run; nothing changes while it runs."""

    folders: tuple[Folder, ...] = setting(
        ListOf(AFolder(), ":"),
        (),
        "The folders whose logs are served. Of several, the ids of each begin with its name: the given one, or the "
        "last part of its path.",
    )
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
    quiet_ends_s: int = setting(
        Whole(0, 31_536_000),
        0,
        "A log that does not say itself whether it has ended counts as ended when nothing was written to it for so "
        "many seconds; 0: nobody knows, and its followers stay.",
    )
    drain_s: int = setting(Whole(0, 3600), 30, "Seconds that open answers are given to end after SIGTERM.")
    heartbeat_s: int = setting(
        Whole(1, 3600), 15, "Seconds without news after which a follow says that there is none: proxies cut at 60."
    )
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

    take_into: Path | None = setting(
        APath(),
        None,
        "A folder: lines that others post to `/api/v1/take/STREAM` are kept there. Needs `writers_file`, and one of "
        "`workers`.",
    )
    writers_file: Path | None = setting(
        APath(), None, "Where `logflume token` keeps the tokens of who may post lines, to streams of their prefixes."
    )
    take_budget: int = setting(
        Size(MIN_BUDGET_BYTES), BUDGET_BYTES, "What the files of one such stream may take; then the oldest bytes go."
    )

    airflow_worker: bool = setting(
        YesNo(),
        default=False,
        meaning="Be a log server of an Airflow 3 worker, and nothing else: requests need Airflow's token for a file.",
    )
    airflow_secret_file: Path | None = setting(
        APath(),
        None,
        "With `airflow_worker`: a file with `[api] secret_key`. Unset: `AIRFLOW__API__SECRET_KEY`, or `airflow.cfg`.",
    )

    metrics: str = setting(
        OneOf(("callers", "everybody", "off")), "callers", "Who may read `/metrics`: who has signed in, or everybody."
    )
    access_log: str = setting(
        OneOf(("stderr", "stdout", "off")), "stderr", "Where a line of JSON for each request goes."
    )

    max_connections: int = setting(
        Whole(1, _MANY), 4096, "Connections at once; never more than three quarters of the descriptors there may be."
    )
    stall_s: int = setting(
        Whole(0, 86_400), 300, "Seconds after which a client is cut that takes nothing of its answer; 0: never."
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
class ServerSetting(Declared):
    """One setting, as it is declared and as it is spelled elsewhere."""

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return VARIABLE + self.name.upper()


def declared() -> dict[str, ServerSetting]:
    """Return every setting by name, in order."""
    return {
        name: ServerSetting(each.name, each.kind, each.default, each.meaning)
        for name, each in declared_by(Settings).items()
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
    found = read_toml(path)
    for name in found:
        _refuse_unknown(str(path), name, declared())
    base = path.absolute().parent
    return {name: _value(name, value, str(path), name, base) for name, value in found.items()}


def _refuse_unknown(where: str, name: str, known: Iterable[str]) -> None:
    refuse_unknown(where, name, known, "See docs/reference/server-settings.md for those there are.")


def _value(name: str, value: object, where: str, key: str, base: Path) -> object:
    return read_value(declared()[name].kind, value, where, key, base)


def _check(settings: Settings) -> None:
    """Refuse settings that do not go together.

    Raises:
        BadSetting: naming the one that is missing.
    """
    for one, other in _TOGETHER:
        if getattr(settings, one) is not None and getattr(settings, other) is None:
            raise BadSetting("settings", other, f"expected a value, because {one} is set")
    if settings.take_into is not None and (settings.workers > 1 or settings.airflow_worker):
        raise BadSetting("settings", "take_into", "expected one of workers, and no airflow_worker: one process writes")


def check_binding(settings: Settings) -> None:
    """Refuse to show logs to a network that nobody has been let in from.

    Raises:
        BadSetting: the address is not loopback, nobody has to sign in, and this was not asked for in plain words.
    """
    is_guarded = settings.signs_in or settings.airflow_worker
    if is_loopback(settings.host) or is_guarded or settings.allow_unauthenticated_network:
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
        names = (f"`{name}`" for name in (each.name, each.variable, each.flag))
        yield (*names, shown_default(each.default), meaning_of(each))
