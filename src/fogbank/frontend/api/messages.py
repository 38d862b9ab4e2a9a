"""One API call before it is understood, and its answer: values between HTTP, batches and the API core."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from fogbank.resources.world import Json

JSON_TYPE = "application/json; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request to a Google API. ``path`` still has its escapes; ``host`` has no port.

    ``encoding`` is how the body came; ``body`` is what it says, unpacked.
    """

    verb: str
    host: str
    path: str
    query: bytes = b""
    authorization: str | None = None
    content_type: str = ""
    body: bytes = b""
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, ready to be sent; ``challenge`` is what a 401 asks for in its header."""

    status: int
    content: bytes
    type: str = JSON_TYPE
    challenge: str = ""


class Authenticator(Protocol):
    """Tells who calls (``frontend.identity.Identity`` does)."""

    def authenticate(self, authorization: str | None) -> str:
        """Return whose ``Authorization`` header this is; Google's 401 otherwise."""


Settle = Callable[[str, float], Awaitable[None]]
"""Returns when the operation or resource at a path has settled, or after so many seconds."""

EnsureProject = Callable[[str], Awaitable[str]]
"""Given a project's id or number, makes sure that it exists (or raises) and returns its id."""


def json_reply(status: int, body: Json) -> Reply:
    """Make a reply of a JSON object."""
    return Reply(status, json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode())
