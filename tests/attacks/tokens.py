"""Forged tokens: at the APIs, at the account server, at a service that only its invokers may reach."""

import base64
import json
import time
from typing import Any

import jwt as pyjwt
from tests.attacks.http1 import say
from tests.attacks.table import Tally, attack
from tests.attacks.target import API_HOST, Target

from fogbank.frontend.iam import jwt
from fogbank.frontend.iam.jwt import KeyPair


def part(content: Any) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def forged(target: Target, audience: str) -> dict[str, str]:
    """Make tokens that are wrong in one way each; they name the region's own account."""
    key = json.loads((target.folder / "authority" / "credentials.json").read_text())
    email, now = key["client_email"], int(time.time())
    claims = {"iss": email, "sub": email, "aud": audience, "iat": now, "exp": now + 3600, "scope": "a"}
    real, other = KeyPair(key["private_key"].encode(), b""), jwt.new_key_pair()
    head = {"alg": "RS256", "kid": key["private_key_id"], "typ": "JWT"}

    def signed(head: Any, claims: Any, by: KeyPair = other) -> str:
        text = f"{part(head)}.{part(claims)}"
        return f"{text}.{part(jwt.sign_bytes(by, text.encode()))}"

    huge = b'{"iss":"%b","iat":1,"exp":1%b}' % (email.encode(), b"0" * 400)
    longer = b'{"iss":"%b","iat":1,"exp":1%b}' % (email.encode(), b"0" * 5000)
    public = (target.folder / "authority" / "ca.pem").read_bytes()
    secret = pyjwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": head["kid"]})
    return {
        "another key": signed(head, claims),
        "another key and no name of it": signed({"alg": "RS256"}, claims),
        "the name of another key": signed({**head, "kid": other.kid}, claims),
        "a name that is a path": signed({**head, "kid": "../../account.key"}, claims),
        "a name that is a list": signed({**head, "kid": [1]}, claims),
        "no algorithm": f"{part({**head, 'alg': 'none'})}.{part(claims)}.",
        "None": f"{part({**head, 'alg': 'None'})}.{part(claims)}.x",
        "an algorithm that is a list": signed({**head, "alg": ["RS256"]}, claims),
        "a secret": secret,
        "a key in the token": signed({**head, "jwk": {"kty": "RSA"}, "x5c": [part(public)]}, claims),
        "no signature": f"{part(head)}.{part(claims)}.",
        "two parts": f"{part(head)}.{part(claims)}",
        "four parts": signed(head, claims, real) + ".x",
        "expired": signed(head, {**claims, "iat": now - 7200, "exp": now - 3600}, real),
        "not yet": signed(head, {**claims, "iat": now + 7200, "exp": now + 9000}, real),
        "for a year": signed(head, {**claims, "exp": now + 31536000}, real),
        "an end of 400 digits": signed(head, huge, real),
        "an end of 5,000 digits": signed(head, longer, real),
        "an end that is a text": signed(head, {**claims, "exp": str(now + 3600)}, real),
        "an end that is true": signed(head, {**claims, "exp": True}, real),
        "no end": signed(head, {k: v for k, v in claims.items() if k != "exp"}, real),
        "an infinite end": signed(head, b'{"iss":"a","iat":1,"exp":1e999}', real),
        "a depth of 50,000": signed(head, b"[" * 20_000 + b"]" * 20_000, real),
        "claims that are a list": signed(head, [claims], real),
        "claims that are no JSON": signed(head, b"\xff\xfe", real),
        "an issuer that is a list": signed(head, {**claims, "iss": [email]}, real),
        "somebody else's issuer": signed(head, {**claims, "iss": "other@demo.iam.gserviceaccount.com"}, real),
        "somebody else's subject": signed(head, {**claims, "sub": "root@example.com"}, real),
        "an access token of nobody": "ya29." + part({"e": email, "s": "", "i": now, "x": now + 3600}) + ".x",
        "an access token without digest": "ya29." + part({"e": email, "s": "", "i": now, "x": now + 3600}),
        "an access token that is empty": "ya29.",
        "a refresh token": refresh_token(target),
        "60 KB": "a" * 60_000,
        "bytes that are no ASCII": "\xff.\xfe.\xfd",
    }


def refresh_token(target: Target) -> str:
    return str(json.loads(target.region.fogbank("credentials", "--user", "me@example.com"))["refresh_token"])


@attack("API")
def forged_tokens(target: Target, tally: Tally, door: str) -> None:
    for what, token in forged(target, f"https://{API_HOST}/").items():
        head = b"GET /v1/projects/demo HTTP/1.1\r\nHost: %b\r\n" % API_HOST.encode()
        with target.open(door) as connection:
            answer = say(connection, head + b"Authorization: Bearer %b\r\n\r\n" % token.encode("latin-1"))
        tally.expect(answer.startswith(b"HTTP/1.1 401"), f"{what}: {answer[:150]!r}")


@attack("API")
def tokens_for_another_audience(target: Target, tally: Tally, door: str) -> None:
    key = json.loads((target.folder / "authority" / "credentials.json").read_text())
    email, now = key["client_email"], int(time.time())
    for audience in (
        "https://evil.example/",
        "https://x.run.app",
        "googleapis.com.evil.example",
        "http://[::1/",
        "",
    ):
        claims = {"iss": email, "sub": email, "aud": audience, "iat": now, "exp": now + 3600}
        token = pyjwt.encode(claims, key["private_key"], "RS256", {"kid": key["private_key_id"]})
        head = f"GET /v1/projects/demo HTTP/1.1\r\nHost: {API_HOST}\r\nAuthorization: Bearer {token}\r\n\r\n"
        with target.open(door) as connection:
            answer = say(connection, head.encode())
        tally.expect(answer.startswith(b"HTTP/1.1 401"), f"{audience}: {answer[:150]!r}")


@attack("API")
def forged_assertions(target: Target, tally: Tally, door: str) -> None:
    """Ask the account server for access tokens."""
    host = b"oauth2.googleapis.com"
    for what, token in forged(target, "https://oauth2.googleapis.com/token").items():
        body = json.dumps(
            {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": token}
        ).encode()
        head = b"POST /token HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n"
        head += b"Content-Length: %d\r\n\r\n"
        with target.open(door) as connection:
            answer = say(connection, head % (host, len(body)) + body)
        held = answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401")) and b'access_token":' not in answer
        tally.expect(held, f"{what}: {answer[:200]!r}")


@attack("ingress")
def forged_id_tokens(target: Target, tally: Tally, door: str) -> None:
    """Call the closed service."""
    host = target.hosts["closed"]
    tokens = forged(target, f"https://{host}")
    tokens["an account's own, not an ID token"] = target.region.token(host)
    tokens["an access token"] = target.token
    for what, token in tokens.items():
        for header in (b"Authorization", b"X-Serverless-Authorization"):
            with target.open(door) as connection:
                head = b"GET /info HTTP/1.1\r\nHost: %b\r\n%b: Bearer %b\r\n\r\n"
                answer = say(connection, head % (host.encode(), header, token.encode("latin-1")))
            tally.expect(answer.startswith((b"HTTP/1.1 401", b"HTTP/1.1 403")), f"{what}: {answer[:200]!r}")
