"""JSON web tokens (RFC 7519) that somebody else makes, checked by the keys of a file (RFC 7517).

Holds: which algorithms a key may be used with is told by the key alone: its type, its curve, and its own ``alg``. What
       a token says about its algorithm only chooses among keys. So no public key is ever used as a secret, and
       ``none`` is no algorithm. A token without an end or an audience is refused.
Plan:  PyJWT does the cryptography and the claims; here is what may be used with what, and what a refusal says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    MissingRequiredClaimError,
)

from logflume.errors import UsageError
from logflume.serve.callers import Caller, bad_token, parse_prefixes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from logflume.serve.smallfile import Read

MAX_KEYS = 100
MAX_KEYS_TRIED = 8
"""Keys that one token is checked by: more than one only when it does not name its key."""

MAX_NAME_CHARS = 200

_SECRET_BITS = {"HS256": 256, "HS384": 384, "HS512": 512}  # RFC 7518, 3.2
_RSA_BITS = 2048
_RSA = ("RS256", "RS384", "RS512")
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_HARMLESS = re.compile(r"[^\x20-\x7e]")

# What goes wrong, from what is told first.
_REFUSALS: tuple[tuple[type[Exception], str], ...] = (
    (ExpiredSignatureError, "This token has expired; ask for a new one."),
    (ImmatureSignatureError, "This token is not valid yet; do the clocks of its issuer and of this server agree?"),
    (InvalidAudienceError, "This token is meant for somebody else: its audience is not the one expected here."),
    (InvalidIssuerError, "This token is from somebody else: its issuer is not the one expected here."),
    (MissingRequiredClaimError, "This token lacks a claim that is needed here, such as exp or aud."),
)
_UNUSABLE = "This token was not made with a key that is known here."
BROKEN = (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What a library may raise on claims that are signed and absurd."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and what it may be used with."""

    id: str | None
    algorithms: tuple[str, ...]
    material: Any  # as PyJWT wants it


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token has to say.

    Attributes:
        audience: whom it is for.
        issuer: who made it; None: any owner of a key.
        leeway_s: how far its issuer's clock may be from ours.
        logs_claim: which claim lists the prefixes of logs.
        default_logs: those that count when that claim is not there.
    """

    audience: str
    issuer: str | None = None
    leeway_s: int = 0
    logs_claim: str = "logs"
    default_logs: tuple[str, ...] = ()


def find_caller(keys: Sequence[Key], expected: Expected, text: str) -> Caller:
    """Return who a token is of.

    Raises:
        Refused: it is forged, of somebody else, over, or not as it should be.
    """
    claims = _checked_claims(keys, expected, text)
    try:
        expires_s = float(claims["exp"])
        return Caller("jwt:" + _name(claims["sub"]), _prefixes(claims, expected), expires_s=expires_s)
    except (UsageError, ValueError, TypeError, OverflowError):
        raise bad_token(f"The claim {expected.logs_claim} or sub of this token is not as expected.") from None


def read_keys(read: Read) -> tuple[Key, ...]:
    """Return the keys of a JWK set that can be used here; of other kinds than HS, RS and ES are passed over.

    Raises:
        UsageError: it is no JWK set, a key of it is weak, private, or can be read by others although secret.
    """
    try:
        rows = [{**row} for row in json.loads(read.data)["keys"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UsageError('expected a JWK set (RFC 7517): {"keys": [{"kty": …}, …]}') from None
    if len(rows) > MAX_KEYS:
        raise UsageError(f"expected at most {MAX_KEYS} keys")
    keys = tuple(key for number, row in enumerate(rows, 1) if (key := _key(row, number, read)) is not None)
    if not keys:
        raise UsageError("expected at least one key to check signatures by: kty RSA, EC (P-256, -384, -521) or oct")
    return keys


def _key(row: dict[str, Any], number: int, read: Read) -> Key | None:
    if row.get("use", "sig") != "sig":
        return None
    algorithms = tuple(_algorithms(row, number, read))
    if row.get("alg") is not None:
        algorithms = tuple(name for name in algorithms if name == row["alg"])
    if not algorithms:
        return None
    try:
        material = jwt.PyJWK(row, algorithms[0]).key
    except BROKEN:
        raise UsageError(f"key {number} is not as RFC 7518 describes its kind") from None
    if row["kty"] == "RSA" and material.key_size < _RSA_BITS:
        raise UsageError(f"key {number} has {material.key_size} bits; expected {_RSA_BITS} or more")
    kid = row.get("kid")
    return Key(kid if isinstance(kid, str) else None, algorithms, material)


def _algorithms(row: dict[str, Any], number: int, read: Read) -> Iterator[str]:
    """Yield what a key may be used with.

    Raises:
        UsageError: it should not be here.
    """
    kind = row.get("kty")
    if kind in ("RSA", "EC") and "d" in row:
        raise UsageError(f"key {number} is a private key; expected public ones only")
    if kind == "RSA":
        yield from _RSA
    elif kind == "EC" and row.get("crv") in _CURVES:
        yield _CURVES[row["crv"]]
    elif kind == "oct":
        if not read.is_private():
            raise UsageError(f"others can read it (mode {read.mode:04o}), and key {number} is a secret: chmod 600 it")
        bits = _secret_bits(row, number)
        yield from (name for name, least in _SECRET_BITS.items() if bits >= least)


def _secret_bits(row: dict[str, Any], number: int) -> int:
    try:
        bits = len(jwt.PyJWK(row, "HS256").key) * 8
    except BROKEN:
        raise UsageError(f"key {number} is not as RFC 7518 describes its kind") from None
    if bits < _SECRET_BITS["HS256"]:
        raise UsageError(f"key {number} has {bits} bits; expected {_SECRET_BITS['HS256']} or more")
    return bits


def _checked_claims(keys: Sequence[Key], expected: Expected, text: str) -> dict[str, Any]:
    for key in _candidates(keys, text):
        try:
            return _decode(key, expected, text)
        except InvalidSignatureError:
            continue
        except BROKEN as error:
            raise bad_token(reason_of(error)) from None
    raise bad_token(_UNUSABLE)


def _candidates(keys: Sequence[Key], text: str) -> list[Key]:
    try:
        header = jwt.get_unverified_header(text)
    except BROKEN:
        raise bad_token("This is no token.") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    fitting = [key for key in keys if algorithm in key.algorithms and (kid is None or key.id in (None, kid))]
    return fitting[:MAX_KEYS_TRIED]


def _decode(key: Key, expected: Expected, text: str) -> dict[str, Any]:
    needed = ["exp", "aud", "sub", *(["iss"] if expected.issuer else [])]
    claims: dict[str, Any] = jwt.decode(
        text,
        key.material,
        algorithms=key.algorithms,
        audience=expected.audience,
        issuer=expected.issuer,
        leeway=expected.leeway_s,
        options={"require": needed},
    )
    return claims


def reason_of(error: Exception) -> str:
    """Say in a sentence why PyJWT refused a token; nothing of the token is in it."""
    return next((detail for kind, detail in _REFUSALS if isinstance(error, kind)), _UNUSABLE)


def _name(subject: object) -> str:
    if not isinstance(subject, str) or not subject:
        raise TypeError(subject)
    return _HARMLESS.sub("?", subject[:MAX_NAME_CHARS])


def _prefixes(claims: dict[str, Any], expected: Expected) -> tuple[str, ...]:
    given = claims.get(expected.logs_claim)
    if given is None:
        return expected.default_logs
    if isinstance(given, str):  # as `scope`: words
        given = given.split()
    if not isinstance(given, list):
        raise TypeError(given)
    return parse_prefixes(given)
