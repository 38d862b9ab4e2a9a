"""Answers with enums as numbers, for clients that ask for ``$alt=json;enum-encoding=int``.

Google's generated clients over HTTP/JSON do: protocol buffers know an enum value by its number.
"""

from typing import Any

from fogbank.discovery.schemas import enum_number, schema

NUMBERED = "enum-encoding=int"
"""What such a client adds to the parameter ``alt``."""


def with_numbers(document: str, name: str, answer: Any) -> Any:
    """Write the enums of an ``answer`` with the schema ``name`` as numbers; what has no schema stays."""
    return _numbered(document, "#" + name, answer) if name else answer


def _numbered(document: str, node: Any, value: Any) -> Any:
    if isinstance(node, str) and node.startswith("#"):
        node = schema(document, node[1:])
    if isinstance(node, list) and isinstance(value, list):
        return [_numbered(document, node[0], each) for each in value]
    if not isinstance(node, dict):
        return value
    if "|" in node:
        return enum_number(document, node["|"], value) if value in node["|"] else value
    if not isinstance(value, dict):
        return value
    fields = {key: node["*"] if "*" in node else node.get(key, "any") for key in value}
    return {key: _numbered(document, fields[key], each) for key, each in value.items()}
