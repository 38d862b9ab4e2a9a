"""Which method of an API an RPC calls: by the paths that its description gives for HTTP (google.api.http).

The request's fields fill the path; one of them, or all that are left, are the body; the others are the query.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from fogbank.discovery.protos import Binding, Rpc
from fogbank.discovery.routes import Match, find, versions_of
from fogbank.errors import ApiError
from fogbank.frontend.api.query import convert_query
from fogbank.resources.world import Json

_VARIABLE = re.compile(r"\{([\w.]+)(?:=([^}]*))?\}")

MIXINS: Mapping[str, Binding] = {
    "google.longrunning.Operations/GetOperation": Binding("GET", "{name=**}", ""),
    "google.longrunning.Operations/ListOperations": Binding("GET", "{name=**}/operations", ""),
    "google.longrunning.Operations/DeleteOperation": Binding("DELETE", "{name=**}", ""),
    "google.longrunning.Operations/CancelOperation": Binding("POST", "{name=**}:cancel", "*"),
    "google.longrunning.Operations/WaitOperation": Binding("POST", "{name=**}:wait", "*"),
    "google.cloud.location.Locations/GetLocation": Binding("GET", "{name=**}", ""),
    "google.cloud.location.Locations/ListLocations": Binding("GET", "{name=**}/locations", ""),
    "google.iam.v1.IAMPolicy/GetIamPolicy": Binding("GET", "{resource=**}:getIamPolicy", ""),
    "google.iam.v1.IAMPolicy/SetIamPolicy": Binding("POST", "{resource=**}:setIamPolicy", "*"),
    "google.iam.v1.IAMPolicy/TestIamPermissions": Binding("POST", "{resource=**}:testIamPermissions", "*"),
    "opentelemetry.proto.collector.logs.v1.LogsService/Export": Binding("POST", "logs", "*"),
    "opentelemetry.proto.collector.metrics.v1.MetricsService/Export": Binding("POST", "metrics", "*"),
    "opentelemetry.proto.collector.trace.v1.TraceService/Export": Binding("POST", "traces", "*"),
}
"""Methods that many APIs share under one name: which API is meant, the host says."""


@dataclass(frozen=True, slots=True)
class Transcoded:
    """An RPC as a call of a method over HTTP."""

    match: Match
    query: Mapping[str, Any]
    body: Json | None


@dataclass(frozen=True, slots=True)
class _Template:
    """A path with gaps: ``parts`` are the texts between the ``names`` of fields, each with its pattern."""

    parts: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    patterns: tuple[re.Pattern[str], ...]


def transcode(rpc: Rpc, host: str, request: Json) -> Transcoded | None:
    """Find the method that ``rpc`` calls on ``host``; None when the API has none at these paths.

    Google's 400 when the request's names fit none of its paths.
    """
    fitting = False
    for binding in _bindings(rpc, host):
        filled = _fill(binding.template, request)
        if filled is None:
            continue
        fitting = True
        path, used = filled
        match = find(host, binding.verb, path)
        if match is not None:
            return _call(binding, match, request, used)
    if fitting or not rpc.bindings:
        return None
    raise _misnamed(rpc, request)


def _bindings(rpc: Rpc, host: str) -> Iterator[Binding]:
    shared = MIXINS.get(rpc.path)
    if shared is None:
        yield from rpc.bindings
        return
    for version in versions_of(host):
        yield Binding(shared.verb, f"/{version}/{shared.template}", shared.body)
        if shared.verb == "GET" and shared.template.endswith(":getIamPolicy"):
            yield Binding("POST", f"/{version}/{shared.template}", "*")


def _misnamed(rpc: Rpc, request: Json) -> ApiError:
    names = [".".join(each) for binding in rpc.bindings for each in _compiled(binding.template).names]
    name = names[0] if names else ""
    message = f"Invalid resource name '{str(request.get(name, ''))[:200]}' in the field '{name}'."
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


@lru_cache(1024)
def _compiled(template: str) -> _Template:
    parts, names, patterns, at = [], [], [], 0
    for found in _VARIABLE.finditer(template):
        parts.append(template[at : found.start()])
        names.append(tuple(map(_json_name, found[1].split("."))))
        segments = (found[2] or "*").split("/")
        expressions = {"*": "[^/]+", "**": ".+"}
        patterns.append(re.compile("/".join(expressions.get(each) or re.escape(each) for each in segments)))
        at = found.end()
    parts.append(template[at:])
    return _Template(tuple(parts), tuple(names), tuple(patterns))


def _json_name(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)


def _fill(template: str, request: Json) -> tuple[str, tuple[tuple[str, ...], ...]] | None:
    """Write a path with the request's fields; None when one does not fit."""
    compiled = _compiled(template)
    path = compiled.parts[0]
    for name, pattern, after in zip(compiled.names, compiled.patterns, compiled.parts[1:], strict=True):
        value: Any = request
        for key in name:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, str) or not pattern.fullmatch(value):
            return None
        path += quote(value, safe="/") + after
    return path, compiled.names


def _call(binding: Binding, match: Match, request: Json, used: tuple[tuple[str, ...], ...]) -> Transcoded:
    rest = _without(request, used)
    if binding.body == "*":
        return Transcoded(match, {}, rest)
    body = None
    if binding.body:
        body = rest.pop(_json_name(binding.body), {})
        whole = request.get(_json_name(binding.body), {})
        body = whole if isinstance(whole, dict) else body
    return Transcoded(match, convert_query(list(_pairs(rest)), match.method.query), body)


def _without(request: Json, used: tuple[tuple[str, ...], ...]) -> Json:
    """Return the request without the fields that the path has, where they are its own."""
    names = {path[0] for path in used if len(path) == 1}
    return {key: value for key, value in request.items() if key not in names}


def _pairs(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Write fields as parameters of a query: those of inner messages with dots."""
    for key, value in fields.items():
        name = prefix + key
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from _pairs(each, f"{name}.")
            elif isinstance(each, bool):
                yield name, "true" if each else "false"
            else:
                yield name, str(each)
