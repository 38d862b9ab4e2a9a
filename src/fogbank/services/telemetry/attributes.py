"""OTLP's values: attributes, ids, times, and the project that a resource belongs to.

OTLP's own JSON and the one that gRPC's messages become differ: ids are hexadecimal in the first and base64 in
the second, enums are numbers or names. Both are read here.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fogbank.errors import ApiError
from fogbank.resources.projects import project_id
from fogbank.resources.world import Json, World

PROJECT = "gcp.project_id"

_HEXADECIMAL = re.compile(r"[0-9a-fA-F]+")


def bad(message: str) -> ApiError:
    """Refuse an argument."""
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


def items(value: object, what: str) -> Iterator[Json]:
    """List the messages of a repeated field; ApiError when it is none."""
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise bad(f"Invalid value at '{what}': it must be a list of messages.")
    yield from value


def attributes(holder: Json) -> dict[str, Any]:
    """Read the attributes of a resource, a span, a record or a point."""
    return {
        str(each.get("key", "")): plain(each.get("value"))
        for each in items(holder.get("attributes"), "attributes")
    }


def plain(value: object) -> Any:
    """Turn an ``AnyValue`` into JSON: a text, a number, a truth, a list or a dict; None for nothing."""
    if not isinstance(value, dict):
        return None
    for key, inner in value.items():
        match key, inner:
            case "stringValue" | "bytesValue", str():
                return inner
            case "boolValue", bool():
                return inner
            case "intValue", int() | str():
                return integer(inner, "intValue")
            case "doubleValue", int() | float() | str():
                return number(inner, "doubleValue")
            case "arrayValue", dict():
                return [plain(each) for each in items(inner.get("values"), "arrayValue.values")]
            case "kvlistValue", dict():
                return attributes({"attributes": inner.get("values")})
            case _:
                pass
    return None


def text(value: object) -> str:
    """Write a plain value as a label is written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else "" if value is None else str(value)


def integer(value: object, what: str) -> int:
    """Read an integer of 64 bits, a number or its text; 0 for nothing."""
    try:
        found = int(value or 0)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        raise bad(f"Invalid value at '{what}': it must be an integer.") from None
    if not -(2**63) <= found < 2**64:
        raise bad(f"Invalid value at '{what}': it has more than 64 bits.")
    return int(found)


def number(value: object, what: str) -> float:
    """Read a double, a number or its text."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise bad(f"Invalid value at '{what}': it must be a number.") from None


def moment(value: object, what: str) -> int:
    """Read nanoseconds since 1970; ApiError when they are before, or after the year 9999."""
    nanos = integer(value, what)
    if not 0 <= nanos < 253_402_300_800 * 10**9:
        raise bad(f"Invalid value at '{what}': it must be nanoseconds since 1970.")
    return nanos


def identifier(value: object, size: int, what: str) -> str:
    """Read the id of a trace (16 bytes) or a span (8) as hexadecimal; '' for nothing."""
    if value in (None, ""):
        return ""
    found = str(value)
    if len(found) == 2 * size and _HEXADECIMAL.fullmatch(found):
        return found.lower()
    try:
        decoded = b64decode(found, validate=True)
    except Base64Error:
        decoded = b""
    if len(decoded) != size:
        raise bad(f"Invalid value at '{what}': it must have {size} bytes.")
    return decoded.hex()


def projects_of(name: str) -> Callable[[Json], Iterable[str]]:
    """Return what finds the projects of the resources in a request's field ``name``."""

    def projects(body: Json) -> Iterable[str]:
        return sorted(
            {_project(attributes(each.get("resource") or {})) for each in items(body.get(name), name)}
        )

    return projects


def resource_of(world: World, holder: Json) -> tuple[str, Mapping[str, Any]]:
    """Return the project's id and the attributes of a resource; ApiError when it names no project."""
    found = attributes(holder.get("resource") or {})
    return project_id(world, _project(found)), found


def _project(found: Mapping[str, Any]) -> str:
    project = text(found.get(PROJECT))
    if not project:
        raise bad(f'Resource is missing required attribute "{PROJECT}"')
    return project
