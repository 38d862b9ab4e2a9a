"""Claims that are times, and keys that somebody says are theirs."""

import base64
import random

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from fogbank.frontend.iam import jwt
from fogbank.frontend.iam.jwt import BadTokenError, is_key_of, new_key_pair, seconds_of


@pytest.mark.parametrize("value", [None, "1", True, [], 10**400, -(10**400)])
def test_what_is_no_time_is_refused(value):
    with pytest.raises(BadTokenError, match="no time"):
        seconds_of({"exp": value}, "exp")


def test_a_number_is_a_time():
    assert seconds_of({"exp": 7}, "exp") == 7.0


def test_whoever_has_a_private_key_is_known_by_it():
    mine, others = new_key_pair(), new_key_pair()
    assert is_key_of(mine.private, [others.public, mine.public])
    assert not is_key_of(mine.private, [others.public])


def test_the_public_half_in_the_form_of_a_private_key_is_not_enough():
    public = new_key_pair().public
    forged = forged_key(public)
    claimed = serialization.load_pem_private_key(forged, None, unsafe_skip_rsa_key_validation=True)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    assert claimed.public_key().public_bytes(serialization.Encoding.PEM, form) == public
    assert not is_key_of(forged, [public])


def test_a_key_of_another_kind_is_nobodys():
    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(form[0], serialization.PublicFormat.SubjectPublicKeyInfo)
    assert not is_key_of(key.private_bytes(*form), [public])


@pytest.mark.parametrize(
    "text", [b"", b"x", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(BadTokenError, match="not a private key"):
        is_key_of(text, [])


def test_a_strangers_key_costs_no_arithmetic(monkeypatch):
    """Checking that a long key is one takes seconds, and anybody may send one."""
    used = []
    load = serialization.load_pem_private_key

    def loaded(*arguments, **options):
        used.append(options)
        return load(*arguments, **options)

    monkeypatch.setattr(serialization, "load_pem_private_key", loaded)
    assert not jwt.is_key_of(new_key_pair().private, [])
    assert used == [{"unsafe_skip_rsa_key_validation": True}]


def forged_key(public: bytes) -> bytes:
    """Write a private key of PKCS #1 with the public numbers of another one, and invented others."""
    key = serialization.load_pem_public_key(public)
    assert isinstance(key, RSAPublicKey)
    numbers = key.public_numbers()
    chance = random.Random(1)
    p, q, d, dp, dq, inverse = (chance.getrandbits(1024) | 1 | 1 << 1023 for _ in range(6))
    fields = (0, numbers.n, numbers.e, d, p, q, dp, dq, inverse)
    body = b"".join(der(2, each.to_bytes(each.bit_length() // 8 + 1)) for each in fields)
    text = base64.encodebytes(der(0x30, body))
    return b"-----BEGIN RSA PRIVATE KEY-----\n" + text + b"-----END RSA PRIVATE KEY-----\n"


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(size)]) + size + content
