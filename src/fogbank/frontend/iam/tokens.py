"""Access and refresh tokens: opaque to clients, and needing no memory of ours.

A token carries its grant and a keyed digest, so it outlives a restart; only those that somebody revoked are
remembered. They expire by the machine's clock, which is the one that clients judge them by.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fogbank.frontend.iam.jwt import BadTokenError, decode_part, encode_part
from fogbank.frontend.pki.secret_files import read_private, write_private

LIFETIME_SECONDS = 3600
ACCESS_PREFIX = "ya29."
REFRESH_PREFIX = "1//"
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token stands for; ``expires`` in seconds of the epoch, None never.

    ``account`` is the unique id of a service account, which one of the same address that is made anew lacks.
    """

    email: str
    scopes: tuple[str, ...] = ()
    expires: float | None = None
    account: str = ""


class Tokens:
    """Issues and reads tokens with the secret in its folder; ``now`` gives the seconds of the epoch."""

    def __init__(self, secret: bytes, revoked: Path, now: Callable[[], float]) -> None:
        self._secret, self._revoked_file, self._now = secret, revoked, now
        self._revoked = set((read_private(revoked) or b"").decode().split())

    def issue_access(
        self,
        email: str,
        scopes: Iterable[str] = (CLOUD_PLATFORM,),
        lifetime: int = LIFETIME_SECONDS,
        *,
        account: str = "",
        refresh: str = "",
    ) -> str:
        """Issue an access token that lives for ``lifetime`` seconds, and no longer than ``refresh``.

        ``refresh`` is the refresh token that it was issued for, if any.
        """
        now = self._now()
        content = {"e": email, "s": " ".join(scopes), "i": round(now, 3), "x": round(now + lifetime, 3)}
        content |= {"a": account} if account else {}
        content |= {"r": _mark(refresh.removeprefix(REFRESH_PREFIX))} if refresh else {}
        return ACCESS_PREFIX + self._seal("access", content)

    def issue_refresh(self, email: str) -> str:
        """Issue a user's refresh token: the same for the same address until it is revoked, then another."""
        sealed, number = self._seal("refresh", {"e": email}), 0
        while _mark(sealed) in self._revoked:
            number += 1
            sealed = self._seal("refresh", {"e": email, "n": number})
        return REFRESH_PREFIX + sealed

    def read_access(self, token: str) -> Grant:
        """Read an access token; BadTokenError when it is foreign, expired or revoked."""
        content = self._open("access", token.removeprefix(ACCESS_PREFIX))
        if content["x"] <= self._now():
            raise BadTokenError("expired")
        if content.get("r") in self._revoked:
            raise BadTokenError("revoked")
        return Grant(content["e"], tuple(content["s"].split()), content["x"], content.get("a", ""))

    def read_refresh(self, token: str) -> Grant:
        """Read a refresh token; BadTokenError when it is foreign or revoked."""
        return Grant(self._open("refresh", token.removeprefix(REFRESH_PREFIX))["e"])

    def revoke(self, token: str) -> None:
        """Forget one access or refresh token; BadTokenError when it is none of ours."""
        kind, prefix = (
            ("refresh", REFRESH_PREFIX) if token.startswith(REFRESH_PREFIX) else ("access", ACCESS_PREFIX)
        )
        sealed = token.removeprefix(prefix)
        self._open(kind, sealed)
        self._revoked.add(_mark(sealed))
        write_private(self._revoked_file, "\n".join(sorted(self._revoked)).encode())

    def _seal(self, kind: str, content: dict[str, object]) -> str:
        text = encode_part(json.dumps(content, separators=(",", ":")).encode())
        return f"{text}.{self._digest(kind, text)}"

    def _open(self, kind: str, sealed: str) -> dict[str, Any]:
        text, _, digest = sealed.partition(".")
        if not hmac.compare_digest(digest.encode(), self._digest(kind, text).encode()):
            raise BadTokenError("not issued by this region")
        if _mark(sealed) in self._revoked:
            raise BadTokenError("revoked")
        content: dict[str, Any] = json.loads(decode_part(text))
        return content

    def _digest(self, kind: str, text: str) -> str:
        return encode_part(hmac.digest(self._secret, f"{kind}:{text}".encode(), "sha256"))


def _mark(sealed: str) -> str:
    return hashlib.sha256(sealed.encode()).hexdigest()
