"""Pages of entries: a token says after which entry the next one begins, and for which question."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

from fogbank.resources.log_entries import Place
from fogbank.services.logging.names import bad

DEFAULT_PAGE = 50
LARGEST_PAGE = 1000
"""Entries of a page, and at most (behaviour/logging.md#entries)."""


def seal_of(*question: object) -> str:
    """Return what tells one question from another."""
    return blake2b(json.dumps(question).encode(), digest_size=6).hexdigest()


def token_of(seal: str, place: Place) -> str:
    """Make the token of the page after ``place``."""
    return urlsafe_b64encode(json.dumps([seal, *place]).encode()).decode()


def open_token(token: str, seal: str) -> Place | None:
    """Read a token; None for an empty one, Google's 400 for one of another question."""
    if not token:
        return None
    try:
        found = json.loads(urlsafe_b64decode(token.encode()))
    except (ValueError, RecursionError):
        found = None
    match found:
        case [str(sealed), int(moment), str(identifier), str(log)] if sealed == seal and abs(moment) < 2**63:
            return moment, identifier, log
    raise bad("page_token doesn't match arguments from the request")


def page_size(wanted: int) -> int:
    """Return how many entries a page has; Google's 400 for a negative size."""
    if wanted < 0:
        raise bad("page_size must not be negative")
    return min(wanted or DEFAULT_PAGE, LARGEST_PAGE)
