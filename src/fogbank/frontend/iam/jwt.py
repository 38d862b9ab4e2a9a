"""RSA keys and the JSON Web Tokens that they sign: RS256 and nothing else, as Google's.

A key is known by its ``kid``, made from its public half. Cryptography is imported when a key is first used: a
start that reloads everything does not pay for it.
"""

import base64
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from fogbank.frontend.http.json_bodies import parse_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

Claims = dict[str, Any]

_CHALLENGE = b"whoever signs this has the private key"
_PUBLIC_MARK = b"-----BEGIN PUBLIC KEY-----"


class BadTokenError(ValueError):
    """A token is not what it should be; the message says in what way."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A token taken apart, not yet verified."""

    header: Mapping[str, Any]
    claims: Claims
    signed: bytes
    signature: bytes

    @property
    def kid(self) -> str:
        return str(self.header.get("kid", ""))


def encode_part(content: bytes) -> str:
    """Render base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode_part(text: str) -> bytes:
    """Read base64url without padding; BadTokenError otherwise."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise BadTokenError("not base64url") from error


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An RSA key: both halves as PEM, so that the public one is known without any arithmetic."""

    private: bytes
    public: bytes

    @property
    def kid(self) -> str:
        return key_id(self.public)

    def render(self) -> bytes:
        """Write both halves as one file."""
        return self.private + self.public


def new_key_pair() -> KeyPair:
    """Make an RSA key of 2048 bits: some 40 ms of one core, without the interpreter's lock."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = serialization.Encoding.PEM
    return KeyPair(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


def is_key_of(private: bytes, known: Collection[bytes]) -> bool:
    """Return whether ``private`` (PEM, from anybody) is the other half of one of ``known``.

    BadTokenError when it is no key.
    Whoever asks proves it by a signature. Loading the key with all of OpenSSL's checks would prove it, too,
    but those take seconds for a long key, before it is known whether the key is anybody's.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    try:
        key = serialization.load_pem_private_key(private, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadTokenError("not a private key") from error
    if not isinstance(key, RSAPrivateKey):
        return False
    public = key.public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    if public.public_bytes(serialization.Encoding.PEM, form) not in known:
        return False
    try:
        public.verify(
            key.sign(_CHALLENGE, PKCS1v15(), hashes.SHA256()), _CHALLENGE, PKCS1v15(), hashes.SHA256()
        )
    except (ValueError, InvalidSignature):
        return False
    return True


def parse_key_pair(content: bytes) -> KeyPair:
    """Read what :meth:`KeyPair.render` wrote; BadTokenError otherwise."""
    private, mark, public = content.partition(_PUBLIC_MARK)
    if not private.startswith(b"-----BEGIN PRIVATE KEY-----") or not mark:
        raise BadTokenError("not a private key followed by its public half")
    return KeyPair(private, mark + public)


def key_id(public_pem: bytes) -> str:
    """Name a public key: forty hexadecimal digits, as Google's key ids are."""
    body = b"".join(line for line in public_pem.splitlines() if not line.startswith(b"-----"))
    return hashlib.sha256(base64.b64decode(body)).hexdigest()[:40]


def sign(key: KeyPair, claims: Mapping[str, Any]) -> str:
    """Sign ``claims``."""
    return sign_with_pem(key.private, key.kid, claims)


def sign_with_pem(private_pem: bytes, kid: str, claims: Mapping[str, Any]) -> str:
    """Sign ``claims`` with the private half alone, as a client does that has a service account's key file."""
    header = {"alg": "RS256", "kid": kid, "typ": "JWT"}
    text = f"{_json_part(header)}.{_json_part(claims)}"
    return f"{text}.{encode_part(_sign(private_pem, text.encode()))}"


def sign_bytes(key: KeyPair, content: bytes) -> bytes:
    """Sign any bytes: RSA with SHA-256, PKCS 1 version 1.5."""
    return _sign(key.private, content)


def _sign(private_pem: bytes, content: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return _private(private_pem).sign(content, padding.PKCS1v15(), hashes.SHA256())


def parse(token: str) -> Parsed:
    """Take a token apart; BadTokenError when it is no RS256 token."""
    parts = token.split(".")
    if len(parts) != 3:
        raise BadTokenError("not three parts")
    try:
        header, claims = (parse_json(decode_part(part)) for part in parts[:2])
    except ValueError as error:
        raise BadTokenError("not JSON in base64url") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise BadTokenError("not two JSON objects")
    if header.get("alg") != "RS256":
        raise BadTokenError("not signed with RS256")
    return Parsed(header, claims, ".".join(parts[:2]).encode(), decode_part(parts[2]))


def verify(parsed: Parsed, public_pem: bytes) -> Claims:
    """Check the signature and give the claims; BadTokenError when another key made it."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    try:
        _public(public_pem).verify(parsed.signature, parsed.signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise BadTokenError("signed by another key") from error
    return parsed.claims


def jwk(public_pem: bytes) -> dict[str, str]:
    """Render a public key as a JSON Web Key."""
    numbers = _public(public_pem).public_numbers()
    return {
        "kid": key_id(public_pem),
        "use": "sig",
        "alg": "RS256",
        "kty": "RSA",
        "n": _number_part(numbers.n),
        "e": _number_part(numbers.e),
    }


def seconds_of(claims: Claims, name: str) -> float:
    """Read a claim that is a time; BadTokenError when it is absent or no number."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadTokenError(f"no time in {name}")
    try:
        return float(value)
    except OverflowError as error:
        raise BadTokenError(f"no time in {name}") from error


@cache
def _private(pem: bytes) -> "RSAPrivateKey":
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    # Our own file: the check of its primes would take as long as a hundred signatures.
    key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise BadTokenError("not an RSA key")
    return key


@cache
def _public(pem: bytes) -> "RSAPublicKey":
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadTokenError("not an RSA key")
    return key


def _json_part(content: Mapping[str, Any]) -> str:
    return encode_part(json.dumps(content, separators=(",", ":")).encode())


def _number_part(number: int) -> str:
    return encode_part(number.to_bytes((number.bit_length() + 7) // 8, "big"))
