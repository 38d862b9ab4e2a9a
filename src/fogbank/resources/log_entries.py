"""Log entries as Cloud Logging has them: names, severities, times, and what a line of a container becomes.

Who writes entries (controllers, the ingress) makes them here; the logging API reads them as they are. An
entry is JSON in the form that the API returns (behaviour/logging.md#entries).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import Any
from urllib.parse import quote

from fogbank.resources.json_text import load_json
from fogbank.resources.world import Json

SEVERITIES: Mapping[str, int] = {
    "DEFAULT": 0, "DEBUG": 100, "INFO": 200, "NOTICE": 300, "WARNING": 400,
    "ERROR": 500, "CRITICAL": 600, "ALERT": 700, "EMERGENCY": 800,
}  # fmt: skip
"""google.logging.type.LogSeverity."""

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)?(Z|z|[+-]\d\d:?\d\d)?", re.ASCII
)
DEEPEST = 100
"""How deep the objects of a structured line may go; a deeper one is a text."""

_SPECIAL = "logging.googleapis.com/"
_SHORT = {"D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL", "WARN": "WARNING"}
"""Severities that programs write in their own words."""


Entry = Mapping[str, Any]
Place = tuple[int, str, str]
"""Where an entry stands in the order of time: its time in nanoseconds, its id, its log."""


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for: entries of ``projects`` that ``keep`` returns True for, in the order of time.

    Times are nanoseconds and included. ``logs`` (whole names) and ``types`` are in lower case. ``after`` is
    the place of the last entry that the page before had.
    """

    projects: tuple[str, ...]
    keep: Callable[[Entry], bool]
    size: int
    newest_first: bool = False
    since: int | None = None
    until: int | None = None
    logs: frozenset[str] | None = None
    types: frozenset[str] | None = None
    severity: int = 0
    after: Place | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Entries, and from where on to search for more; None when there are none."""

    entries: tuple[Entry, ...]
    goes_on: Place | None


def log_name(project: str, log: str) -> str:
    """Return a log's whole name: ``run.googleapis.com/stdout`` is one segment of it, escaped."""
    return f"projects/{project}/logs/{quote(log, safe='')}"


def nanoseconds(text: str) -> int:
    """Read a time of RFC 3339, or its date alone, as nanoseconds since 1970; ValueError for others."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"not a time: {text}")
    day, clock, fraction, zone = found.groups()
    zone = "+00:00" if zone in {None, "Z", "z"} else zone
    moment = datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone}")
    whole = (moment - _EPOCH).days * 86_400 + (moment - _EPOCH).seconds
    return whole * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def time_text(nanos: int) -> str:
    """Write nanoseconds since 1970 as protocol buffers do: with 0, 3, 6 or 9 digits of the second."""
    seconds, rest = divmod(nanos, 1_000_000_000)
    head = _second(seconds)
    digits = f"{rest:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{head}.{digits}Z" if digits else f"{head}Z"


@lru_cache(256)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def time_of(moment: datetime) -> int:
    """Return a moment as nanoseconds since 1970."""
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def line_fields(line: str) -> Json:
    """Return the fields of the entry that a container's line becomes.

    A line that is a JSON object is structured: some of its fields are the entry's own, the others its
    ``jsonPayload``; with a message alone that is the text (Cloud Run's documentation, "Logging and viewing
    logs": "Special JSON fields in messages").
    """
    if not line.startswith("{"):
        return {"textPayload": line}
    try:
        payload = load_json(line, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return {"textPayload": line}
    if line.count("{") + line.count("[") > DEEPEST and _depth(payload) > DEEPEST:
        return {"textPayload": line}
    return _structured(payload)


def _finite(text: str) -> float:
    """Read a number; ValueError for NaN and infinities, which no answer could carry."""
    if not isfinite(number := float(text)):
        raise ValueError(f"{text} is no number of JSON")
    return number


def _depth(value: object) -> int:
    """Return how deep the lists and objects of a value go, and no more than DEEPEST + 1."""
    depth, level = 0, list[Any]([value])
    while level and depth <= DEEPEST:
        depth += 1
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for values in inner for each in values if isinstance(each, (dict, list))]
    return depth


def _structured(payload: Json) -> Json:
    fields: Json = {}
    severity = _severity(payload)
    if severity:
        fields["severity"] = severity
    if isinstance(request := payload.get("httpRequest"), dict):
        fields["httpRequest"] = request
        del payload["httpRequest"]
    for key in ("insertId", "trace", "spanId"):
        if isinstance(value := payload.get(_SPECIAL + key), str):
            fields[key] = value
            del payload[_SPECIAL + key]
    if isinstance(sampled := payload.get(_SPECIAL + "trace_sampled"), bool):
        fields["traceSampled"] = sampled
        del payload[_SPECIAL + "trace_sampled"]
    for key in ("labels", "operation", "sourceLocation"):
        if isinstance(value := payload.get(_SPECIAL + key), dict):
            fields[key] = {name: str(each) for name, each in value.items()} if key == "labels" else value
            del payload[_SPECIAL + key]
    if time := _time(payload):
        fields["timestamp"] = time
    if payload.keys() == {"message"} and isinstance(payload["message"], str):
        fields["textPayload"] = payload["message"]
    else:
        fields["jsonPayload"] = payload
    return fields


def _severity(payload: Json) -> str:
    value = payload.get("severity")
    if not isinstance(value, str):
        return ""
    name = value.upper()
    name = _SHORT.get(name, name)
    if name not in SEVERITIES:
        return ""
    del payload["severity"]
    return name


def _time(payload: Json) -> str:
    """Take the entry's time from the field ``time`` or ``timestamp`` when it is one of RFC 3339."""
    for key in ("time", "timestamp"):
        if isinstance(value := payload.get(key), str):
            try:
                nanos = nanoseconds(value)
            except (ValueError, OverflowError):
                continue
            del payload[key]
            return time_text(nanos)
    return ""
