from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from logflume.errors import UsageError
from logflume.serve.callers import Caller, Refused
from logflume.serve.smallfile import Read
from logflume.serve.webtokens import Expected, Key, find_caller, read_keys

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = bytes(range(64))
RSA = rsa.generate_private_key(65537, 2048)
CURVES: dict[str, ec.EllipticCurvePrivateKey] = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
}
EXPECTED = Expected("logflume", leeway_s=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def encoded(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def secret_row(**more: object) -> dict[str, Any]:
    """Return a JWK of the shared secret."""
    return {"kty": "oct", "k": encoded(SECRET), **more}


def rsa_row(**more: object) -> dict[str, Any]:
    """Return the JWK of the RSA key's public part."""
    return {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa", **more}


def curve_row(name: str, **more: object) -> dict[str, Any]:
    """Return the JWK of a curve's public key."""
    return {**ECAlgorithm.to_jwk(CURVES[name].public_key(), as_dict=True), "kid": name, **more}


def keys(*rows: dict[str, Any], mode: int = 0o600) -> tuple[Key, ...]:
    """Return the keys of a JWK set of these rows."""
    return read_keys(Read(json.dumps({"keys": rows}).encode(), mode))


ALL = keys(rsa_row(), *(curve_row(name) for name in CURVES), secret_row(kid="secret"))


def claims(**more: object) -> dict[str, Any]:
    """Return the claims of a good token; None takes one away."""
    good = {"sub": "ann", "aud": "logflume", "exp": int(time.time()) + 600, "logs": ["a/"]}
    return {name: value for name, value in {**good, **more}.items() if value is not None}


def signed(algorithm: str = "HS256", *, headers: dict[str, Any] | None = None, **more: Any) -> str:  # noqa: ANN401
    """Return a token by the key that goes with an algorithm."""
    key: Any = SECRET if algorithm[0] == "H" else RSA if algorithm[0] == "R" else CURVES[algorithm]
    return jwt.encode(claims(**more), key, algorithm, headers)


def by_hand(header: object, body: object, key: bytes = SECRET) -> str:
    """Return a token with any header and body, signed as HS256 whatever they say."""
    text = ".".join(encoded(json.dumps(part).encode()) for part in (header, body))
    return f"{text}.{encoded(hmac.new(key, text.encode(), hashlib.sha256).digest())}"


def refusal(token: str, expected: Expected = EXPECTED, known: tuple[Key, ...] = ALL) -> str:
    """Return why a token is refused."""
    with pytest.raises(Refused) as caught:
        find_caller(known, expected, token)
    assert caught.value.status == 401
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert 'error="invalid_token"' in caught.value.headers["WWW-Authenticate"]
    return caught.value.detail


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512"])
def test_good_tokens(algorithm: str) -> None:
    """Each algorithm is known, and the caller has the subject as name and the claim as prefixes."""
    caller = find_caller(ALL, EXPECTED, signed(algorithm))
    assert isinstance(caller, Caller)
    assert (caller.name, caller.prefixes, caller.token_id) == ("jwt:ann", ("a/",), None)
    assert caller.expires_s is not None


@pytest.mark.parametrize("algorithm", ["PS256", "EdDSA", "ES256K", "none", "None", "HS255", "", None, 1, ["HS256"], {}])
def test_other_algorithms_are_refused(algorithm: object) -> None:
    """Whatever a token says about its algorithm, only those of the keys count; none is no algorithm."""
    assert refusal(by_hand({"alg": algorithm, "typ": "JWT"}, claims()))
    unsigned = ".".join([*by_hand({"alg": algorithm}, claims()).split(".")[:2], ""])
    assert refusal(unsigned)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_secret(algorithm: str) -> None:
    """A token that is signed with the public key as if it were a shared secret is refused."""
    public = RSA.public_key()
    forms = [public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), json.dumps(rsa_row()).encode()]
    known = keys(rsa_row())
    for form in forms:
        assert refusal(by_hand({"alg": algorithm, "kid": "rsa"}, claims(), form), known=known)
        assert refusal(by_hand({"alg": algorithm, "kid": "rsa"}, claims(), form))


def test_a_key_is_used_for_what_it_is_for() -> None:
    """With an alg of its own a key counts for that alone, and one for encryption not at all."""
    known = keys(secret_row(alg="HS512"), rsa_row(alg="RS256"))
    assert find_caller(known, EXPECTED, signed("HS512")).name == "jwt:ann"
    assert find_caller(known, EXPECTED, signed("RS256")).name == "jwt:ann"
    assert refusal(signed("HS256"), known=known)
    assert refusal(signed("RS512"), known=known)
    with pytest.raises(UsageError, match="at least one key"):
        keys(secret_row(use="enc"), rsa_row(alg="HS256"), {"kty": "OKP", "crv": "Ed25519", "x": "AA"}, {"kty": "?"}, {})


def test_the_key_that_is_named_is_used() -> None:
    """A key id chooses the key; a token without one is checked by those of its algorithm."""
    other = rsa.generate_private_key(65537, 2048)
    known = keys(rsa_row(kid="other", **{k: v for k, v in rsa_row_of(other).items() if k in "ne"}), rsa_row())
    assert find_caller(known, EXPECTED, signed("RS256", headers={"kid": "rsa"})).name == "jwt:ann"
    assert find_caller(known, EXPECTED, signed("RS256")).name == "jwt:ann"
    assert refusal(signed("RS256", headers={"kid": "other"}), known=known)
    assert refusal(signed("RS256", headers={"kid": "none"}), known=known)


def rsa_row_of(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """Return the JWK of another key."""
    return dict(RSAAlgorithm.to_jwk(key.public_key(), as_dict=True))


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": int(time.time()) - 40}, "expired"),
        ({"exp": None}, "lacks a claim"),
        ({"exp": "soon"}, "not made with a key"),
        ({"nbf": int(time.time()) + 86_400}, "not valid yet"),
        ({"iat": int(time.time()) + 86_400}, "not valid yet"),
        ({"aud": "other"}, "audience"),
        ({"aud": ["other", "another"]}, "audience"),
        ({"aud": None}, "lacks a claim"),
        ({"sub": None}, "lacks a claim"),
        ({"sub": 1}, ""),
        ({"sub": ""}, "claim logs or sub"),
        ({"logs": 1}, "claim logs or sub"),
        ({"logs": ["a*b"]}, "claim logs or sub"),
        ({"logs": [""]}, "claim logs or sub"),
        ({"logs": [["a"]]}, "claim logs or sub"),
        ({"logs": ["a"] * 101}, "claim logs or sub"),
    ],
)
def test_bad_claims(more: dict[str, Any], word: str) -> None:
    """A token that is over, not yet valid, for somebody else, or odd is refused with the reason."""
    assert word in refusal(signed(**more))


def test_clocks_may_differ() -> None:
    """Within the leeway a token that has just ended, or is just about to begin, counts."""
    now = int(time.time())
    assert find_caller(ALL, EXPECTED, signed(exp=now - 10, nbf=now + 15, iat=now + 15)).name == "jwt:ann"
    assert refusal(signed(exp=now - 10), Expected("logflume"))


def test_the_issuer() -> None:
    """Where one is expected, no other counts."""
    expected = Expected("logflume", issuer="https://id.example.com")
    assert find_caller(ALL, expected, signed(iss="https://id.example.com")).name == "jwt:ann"
    assert "issuer" in refusal(signed(iss="https://evil.example.com"), expected)
    assert "lacks" in refusal(signed(), expected)


@pytest.mark.parametrize(
    ("given", "expected", "prefixes"),
    [
        (None, EXPECTED, ()),
        (None, Expected("logflume", default_logs=("*",)), ("*",)),
        ([], Expected("logflume", default_logs=("*",)), ()),
        ("a/ b*", EXPECTED, ("a/", "b*")),
        (["a"], Expected("logflume", logs_claim="scope", default_logs=("d",)), ("d",)),
    ],
)
def test_prefixes(given: object, expected: Expected, prefixes: tuple[str, ...]) -> None:
    """They are a list or words; without the claim those of the settings count, which are none unless set."""
    assert find_caller(ALL, expected, signed(logs=given)).prefixes == prefixes


def test_names_are_safe_to_show() -> None:
    """A subject is shown without control characters, in bounds, and never as the name of one of our tokens."""
    name = find_caller(ALL, EXPECTED, signed(sub="ann\r\nSet-Cookie: ä" + "x" * 1000)).name
    assert name.startswith("jwt:ann??Set-Cookie: ?x")
    assert len(name) == 204


@given(st.text(max_size=100) | st.binary(max_size=60).map(encoded) | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*"))
def test_any_text_is_refused(text: str) -> None:
    """Whatever is sent as a token, the answer is a refusal that does not repeat it."""
    detail = refusal(text)
    assert len(text) < 10 or text not in detail


@given(header=JSON, body=JSON)
def test_any_header_and_body_are_refused(header: object, body: object) -> None:
    """Whatever JSON a token is made of, however it is signed, it is refused."""
    assert refusal(by_hand(header, body))


@given(st.sampled_from(["exp", "nbf", "iat", "aud", "iss", "sub", "logs", "jti"]), JSON)
def test_odd_claims_with_a_good_signature(name: str, value: object) -> None:
    """Whatever a claim is, the answer is a caller or a refusal, and a caller has prefixes that are such."""
    token = by_hand({"alg": "HS256"}, claims() | {name: value})
    try:
        caller = find_caller(ALL, EXPECTED, token)
    except Refused as refused:
        assert refused.status == 401  # noqa: PT017 - most values are refused, and some are not
    else:
        assert all(isinstance(prefix, str) for prefix in caller.prefixes)


def test_what_is_critical_and_unknown() -> None:
    """A token that says that something must be understood, which is not, is refused (RFC 7515, 4.1.11)."""
    assert refusal(by_hand({"alg": "HS256", "crit": ["x"], "x": 1}, claims()))


def test_deep_json() -> None:
    """Nested beyond all measure, it is refused like any other."""
    deep = encoded(b'{"alg":' + b"[" * 3000 + b"]" * 3000 + b"}")
    assert refusal(f"{deep}.{deep}.")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: read_keys(Read(b"{", 0o600)), "expected a JWK set"),
        (lambda: read_keys(Read(b"[]", 0o600)), "expected a JWK set"),
        (lambda: read_keys(Read(b'{"keys": [1]}', 0o600)), "expected a JWK set"),
        (lambda: read_keys(Read(b"[" * 100_000, 0o600)), "expected a JWK set"),
        (keys, "at least one key"),
        (lambda: keys(*[rsa_row()] * 101), "at most 100 keys"),
        (lambda: keys(secret_row(), mode=0o644), r"others can read it \(mode 0644\), and key 1 is a secret"),
        (lambda: keys(secret_row(k="c2hvcnQ")), "key 1 has 40 bits; expected 256"),
        (lambda: keys(secret_row(k="***")), "key 1 "),
        (lambda: keys(secret_row(k=1)), "key 1 is not as RFC 7518"),
        (lambda: keys(rsa_row(n="AQAB")), "key 1 "),
        (lambda: keys(rsa_row(n=None)), "key 1 is not as RFC 7518"),
        (lambda: keys(rsa_row_of(rsa.generate_private_key(65537, 1024))), "key 1 has 1024 bits"),  # noqa: S505
        (lambda: keys(curve_row("ES256"), rsa_row(d="AQAB")), "key 2 is a private key"),
        (lambda: keys(curve_row("ES256", crv="P-384")), "key 1 is not as RFC 7518"),
    ],
)
def test_files_of_keys_that_cannot_be_used(make: Callable[[], object], message: str) -> None:
    """A weak, private, damaged or widely readable key is refused when the server starts, without showing it."""
    with pytest.raises(UsageError, match=message) as caught:
        make()
    assert encoded(SECRET) not in str(caught.value)


def test_public_keys_may_be_read_by_all() -> None:
    """A file without a secret may have any mode."""
    assert keys(rsa_row(), mode=0o644)
    assert keys(curve_row("ES256"), {"kty": "OKP"}, mode=0o644)
