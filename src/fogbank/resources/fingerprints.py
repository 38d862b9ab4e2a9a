"""Fingerprints: eight bytes that change when a resource does, so that two writers notice each other.

Compute calls them ``fingerprint``, newer APIs ``etag``; both are bytes, hence valid base64
(behaviour/api.md#fingerprints). They come from the content alone, so a resource that comes back to an older
content has its older fingerprint.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import blake2b
from itertools import count
from typing import Any

OUTPUTS = frozenset({"fingerprint", "labelFingerprint", "etag", "id", "selfLink", "selfLinkWithId", "kind"})
"""Top-level fields that do not count: they are made from the rest, or never change."""


def fingerprint(content: Mapping[str, Any]) -> str:
    """Compute the fingerprint of ``content`` (a body, or its labels), in base64."""
    counted = {key: value for key, value in content.items() if key not in OUTPUTS}
    text = json.dumps(counted, sort_keys=True, separators=(",", ":"))
    return eight_bytes(text.encode())


def eight_bytes(seed: bytes) -> str:
    """Draw eight bytes from ``seed``, in base64 without ``+`` and ``/``.

    gcloud reads such bytes and sends them back in the alphabet for URLs; this way both are written alike.
    """
    for turn in count():
        rendered = b64encode(blake2b(seed, digest_size=8, salt=turn.to_bytes(4, "big")).digest()).decode()
        if rendered.rstrip("=").isalnum():
            return rendered
    raise AssertionError  # count() never ends
