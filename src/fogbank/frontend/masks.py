"""Partial answers: ``fields=items(name,selfLink),nextPageToken`` keeps only what it names.

A mask is a tree of names; ``*`` stands for every name, and a list is looked through.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from fogbank.errors import ApiError

_TOKEN = re.compile(r"[^,/()\s]+|[,/()]")


@dataclass(slots=True)
class Mask:
    """What to keep below a name; everything when it is empty."""

    names: "dict[str, Mask]" = field(default_factory=dict)

    def apply(self, value: Any) -> Any:
        """Keep of ``value`` what the mask names."""
        if not self.names:
            return value
        if isinstance(value, list):
            return [self.apply(v) for v in value]
        if not isinstance(value, dict):
            return value
        every = self.names.get("*")
        kept = {}
        for key, inner in value.items():
            mask = self.names.get(key, every)
            if mask is not None:
                kept[key] = mask.apply(inner)
        return kept


def parse_mask(text: str) -> Mask:
    """Read a mask; Google's 400 when it is malformed."""
    tokens = _TOKEN.findall(text)
    root = Mask()
    at = _parse_list(tokens, 0, root, text)
    if at != len(tokens):
        raise _malformed(text)
    return root


def _parse_list(tokens: list[str], at: int, into: Mask, text: str) -> int:
    while True:
        at = _parse_path(tokens, at, into, text)
        if at >= len(tokens) or tokens[at] != ",":
            return at
        at += 1


def _parse_path(tokens: list[str], at: int, into: Mask, text: str) -> int:
    if at >= len(tokens) or tokens[at] in {",", "/", "(", ")"}:
        raise _malformed(text)
    child = into
    for name in tokens[at].split("."):
        child = child.names.setdefault(name, Mask())
    at += 1
    if at < len(tokens) and tokens[at] == "/":
        return _parse_path(tokens, at + 1, child, text)
    if at < len(tokens) and tokens[at] == "(":
        at = _parse_list(tokens, at + 1, child, text)
        if at >= len(tokens) or tokens[at] != ")":
            raise _malformed(text)
        return at + 1
    return at


def _malformed(text: str) -> ApiError:
    return ApiError(400, f"Invalid field selection {text}", "INVALID_ARGUMENT", "invalidParameter")
