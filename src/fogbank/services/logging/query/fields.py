"""The fields of entries, as queries name them: where they are and what type they have."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from fogbank.errors import ApiError

Kind = Literal["text", "severity", "time", "number", "duration", "truth"]

_FIELDS = frozenset(
    {
        "apphub", "errorGroups", "httpRequest", "insertId", "jsonPayload", "labels", "logName", "metadata",
        "operation", "protoPayload", "receiveTimestamp", "resource", "severity", "sourceLocation", "spanId",
        "split", "textPayload", "timestamp", "trace", "traceSampled",
    }
)  # fmt: skip
_KINDS: Mapping[str, Kind] = {
    "severity": "severity",
    "timestamp": "time",
    "receiveTimestamp": "time",
    "httpRequest.latency": "duration",
    "httpRequest.status": "number",
    "httpRequest.requestSize": "number",
    "httpRequest.responseSize": "number",
    "httpRequest.cacheFillBytes": "number",
    "sourceLocation.line": "number",
}
_DEFAULTS = {"severity": "DEFAULT", "insertId": "", "logName": "", "trace": "", "spanId": ""}
"""What a field of the entry itself has when it is not set."""
_UNIT = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|ms|s|m|h|d)", re.ASCII)


def known_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return a path with its first names as JSON has them; Google's 400 when no entry has such a field.

    The fields of the entry itself are known by their names of JSON and of protocol buffers.
    """
    first = _camel(path[0])
    if first not in _FIELDS:
        raise ApiError(400, f"Field not found: '{path[0]}'.", "INVALID_ARGUMENT", "badRequest")
    if first in {"httpRequest", "sourceLocation", "operation", "split"}:
        return (first, *map(_camel, path[1:]))
    return (first, *path[1:])


def kind_of(path: tuple[str, ...]) -> Kind:
    """Return the type of a field; what is in a payload or a label is a text until a value says otherwise."""
    return _KINDS.get(".".join(path), "text")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each[:1].upper() + each[1:] for each in others)


def values_at(entry: Any, path: tuple[str, ...]) -> list[Any]:
    """Find the values at a path, each member of a list by itself; empty when the field is missing."""
    found = list(_at(entry, path, 0))
    if not found and len(path) == 1 and path[0] in _DEFAULTS:
        return [_DEFAULTS[path[0]]]
    return found


def _at(value: Any, path: tuple[str, ...], at: int) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _at(each, path, at)
    elif at == len(path):
        yield value
    elif isinstance(value, dict):
        for end in range(len(path), at, -1):  # a key may have dots
            key = ".".join(path[at:end])
            if key in value:
                yield from _at(value[key], path, end)
                return


def leaves(value: Any) -> Iterator[Any]:
    """List the scalars in a value, also the keys of maps."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        else:
            yield each


def shown(value: Any) -> str:
    """Write a value as a query would."""
    match value:
        case str():
            return value
        case None:
            return "NULL_VALUE"
        case _:
            return json.dumps(value, ensure_ascii=False)


def seconds_of(text: str) -> float:
    """Read a duration: ``0.12s``, ``500ms``, ``1h30m``; ValueError for others."""
    total, at = 0.0, 0
    while at < len(text):
        found = _DURATION.match(text, at)
        if found is None:
            raise ValueError(f"not a duration: {text}")
        total += float(found[1]) * _UNIT[found[2]]
        at = found.end()
    if not at:
        raise ValueError("an empty duration")
    return total
