"""HTTP requests that a product of Google's makes by itself, for a project: Cloud Scheduler's, so far.

Controllers say what is to be sent; `app` sends it from the region's front end, with a token of the region's.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IdToken:
    """An ID token of a service account (its e-mail address) for ``audience``."""

    account: str
    audience: str


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token of a service account with ``scopes``."""

    account: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request to ``url``, whoever serves it; ``seconds`` is how long it may take."""

    project: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    token: IdToken | AccessToken | None = None


Outgoing = Callable[[OutgoingRequest], Awaitable[int]]
"""Sends a request and returns the answer's status; TimeoutError, or OSError when nobody answers."""


async def send_nowhere(request: OutgoingRequest) -> int:
    """Send nothing: a region without an internet."""
    raise OSError(f"{request.url} cannot be reached")
