"""Session affinity: a cookie says which instance a client was served by, and the next request prefers it.

See behaviour/cloud-run.md#session-affinity.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass

COOKIE = "GAESA"
SECONDS = 30 * 24 * 3600
"""How long a client keeps the cookie (unverified)."""


@dataclass(slots=True)
class Session:
    """The ``instance`` (its id) that served a client; the one that serves it now, once it is chosen."""

    instance: str = ""


def read_session(cookies: str) -> Session:
    """Read the header ``Cookie``; one that says nothing of ours, or nonsense, prefers no instance."""
    pairs = (each.strip().partition("=") for each in cookies.split(";"))
    value = next((value for name, _, value in pairs if name == COOKIE), "")
    try:
        return Session(urlsafe_b64decode(value.encode("ascii")).decode("ascii"))
    except (NotBase64, UnicodeError, ValueError):
        return Session()


def session_cookie(session: Session) -> bytes:
    """Write the cookie that a client gets for its next request."""
    value = urlsafe_b64encode(session.instance.encode()).decode()
    return f"{COOKIE}={value}; Max-Age={SECONDS}; Path=/; Secure; HttpOnly".encode()
