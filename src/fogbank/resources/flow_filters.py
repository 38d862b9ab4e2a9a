"""Filters of VPC flow logs: which records a subnetwork keeps (behaviour/vpc.md#flow-log-filters)."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from fogbank.resources.expressions import ExpressionError, Node, Vocabulary, expect, read_expression

__all__ = ["ExpressionError", "Keep", "parse_filter"]

MOST_CHARACTERS = 2048

_ENDPOINT = ("instance", "vpc", "location", "serverless_details")
_PARTS: Mapping[str, tuple[str, ...]] = {
    "instance": ("project_id", "region", "zone", "vm_name"),
    "vpc": ("project_id", "vpc_name", "subnetwork_name", "subnetwork_region"),
    "location": ("continent", "country", "region", "city"),
    "serverless_details": ("project_id", "region", "service_name"),
}

Keep = Callable[[Mapping[str, Any]], bool]
"""Whether a record (its ``jsonPayload`` with all metadata) is kept."""


def _attribute(path: str, kind: str) -> Node:
    message, _, field = path.rpartition(".")
    missing: object = 0 if kind == "int" else ""

    def at(record: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = record.get(message, {}) if message else record
        return found

    return Node(kind, lambda record: at(record).get(field, missing), None, lambda record: field in at(record))


_NUMBERS = ("connection.src_port", "connection.dest_port", "connection.protocol")
_TEXTS = (
    "reporter",
    "connection.src_ip",
    "connection.dest_ip",
    *(
        f"{side}_{message}.{field}"
        for side in ("src", "dest")
        for message in _ENDPOINT
        for field in _PARTS[message]
    ),
)


def _function(name: str, arguments: tuple[Node, ...]) -> Node:
    """Read ``inIpRange(connection.src_ip, '10.0.0.0/8')``."""
    if name != "inIpRange":
        raise ExpressionError(f"undeclared reference to '{name}'")
    expect(name, arguments, ("string", "string"))
    address, block = arguments
    try:
        within = IPv4Network(block.literal or "", strict=False)
    except ValueError:
        raise ExpressionError(f"inIpRange needs a literal range, not '{block.literal or ''}'") from None

    def inside(record: Mapping[str, Any]) -> bool:
        text = address.value(record)
        return bool(text) and IPv4Address(text) in within

    if address.literal is not None or address.present is None:
        raise ExpressionError("inIpRange needs connection.src_ip or connection.dest_ip")
    return Node("bool", inside)


_VOCABULARY = Vocabulary(
    "filters of flow logs",
    {
        **{path: _attribute(path, "int") for path in _NUMBERS},
        **{path: _attribute(path, "string") for path in _TEXTS},
    },
    unbuilt=tuple(
        f"{side}_{part}." for side in ("src", "dest") for part in ("gke_details", "google_service")
    ),
    function=_function,
)


def parse_filter(text: str) -> Keep:
    """Read a ``filterExpr``; ExpressionError when it is none, ApiError for what is not built."""
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(f"the expression has more than {MOST_CHARACTERS} characters")
    return read_expression(text, _VOCABULARY)
