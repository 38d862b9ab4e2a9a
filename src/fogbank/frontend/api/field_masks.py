"""Partial answers: ``fields=items(name,selfLink),nextPageToken`` keeps only what it names.

A mask is a tree of names; ``*`` stands for every name, and a list is looked through.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from fogbank.discovery.schemas import schema
from fogbank.errors import ApiError

_TOKEN = re.compile(r"[^,/()\s]+|[,/()]")

DEEPEST = 100
"""How many names may stand below one another."""


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
    at = _parse_list(tokens, 0, root, text, 0)
    if at != len(tokens):
        raise _invalid(text)
    return root


def check_mask(mask: Mask, document: str, node: Any) -> None:
    """Refuse a mask that names what ``node``, of the document's schemas, cannot have."""
    if isinstance(node, str) and node.startswith("#"):
        node = schema(document, node[1:])
    if isinstance(node, list):
        check_mask(mask, document, node[0])
        return
    if node == "any":
        return
    fields = node if isinstance(node, dict) and not node.keys() & {"|", "="} else {}
    for name, inner in mask.names.items():
        if name in fields or "*" in fields:
            check_mask(inner, document, fields.get(name) or fields["*"])
        elif name != "*" or not fields:
            raise _invalid(name)


def _parse_list(tokens: list[str], at: int, into: Mask, text: str, depth: int) -> int:
    while True:
        at = _parse_path(tokens, at, into, text, depth)
        if at >= len(tokens) or tokens[at] != ",":
            return at
        at += 1


def _parse_path(tokens: list[str], at: int, into: Mask, text: str, depth: int) -> int:
    child = into
    while True:
        if at >= len(tokens) or tokens[at] in {",", "/", "(", ")"}:
            raise _invalid(text)
        names = tokens[at].split(".")
        depth += len(names)
        if depth > DEEPEST:
            raise _invalid(text)
        for name in names:
            child = child.names.setdefault(name, Mask())
        at += 1
        if at >= len(tokens) or tokens[at] != "/":
            break
        at += 1
    if at < len(tokens) and tokens[at] == "(":
        at = _parse_list(tokens, at + 1, child, text, depth)
        if at >= len(tokens) or tokens[at] != ")":
            raise _invalid(text)
        return at + 1
    return at


def _invalid(text: str) -> ApiError:
    return ApiError(400, f"Invalid field selection {text}", "INVALID_ARGUMENT", "invalidParameter")
