"""Write spans: version 2's, one a name, and version 1's, trace by trace (behaviour/trace.md#spans)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from fogbank.errors import ApiError
from fogbank.resources.log_entries import nanoseconds
from fogbank.resources.projects import project_id
from fogbank.resources.spans import Span
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call

_NAME = re.compile(r"projects/([^/]+)/traces/([0-9a-fA-F]{32})/spans/([0-9a-fA-F]{16})")
_TRACE = re.compile(r"[0-9a-fA-F]{32}")
_SPAN = re.compile(r"[0-9a-fA-F]{16}")
_KINDS = {"SERVER": "RPC_SERVER", "CLIENT": "RPC_CLIENT"}
MOST_LABELS = 32
LONGEST = 256


class Writer(Protocol):
    """Where spans are written."""

    def add(self, project: str, spans: Iterable[Span]) -> None:
        """Take in spans."""
        ...


def bad(message: str) -> ApiError:
    """Refuse an argument."""
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


async def batch_write(writer: Writer, world: World, call: Call) -> Json:
    """Write spans of version 2, all or none."""
    project = project_id(world, call["name"].split("/")[1])
    spans = [_span(world, project, each) for each in call.body.get("spans") or ()]
    writer.add(project, spans)
    return {}


async def create_span(writer: Writer, world: World, call: Call) -> Json:
    """Write one span of version 2 and return it."""
    project = project_id(world, call["name"].split("/")[1])
    writer.add(project, [_span(world, project, {**call.body, "name": call["name"]})])
    return {**call.body, "name": call["name"]}


def _span(world: World, project: str, body: Json) -> Span:
    found = _NAME.fullmatch(str(body.get("name", "")))
    if found is None or project_id(world, found[1]) != project:
        raise bad(
            f"Invalid span name '{str(body.get('name', ''))[:200]}': it must be of the form "
            f"projects/{project}/traces/TRACE_ID/spans/SPAN_ID."
        )
    if not int(found[2], 16) or not int(found[3], 16):
        raise bad("The ids of a trace and of a span must not be zero.")
    parent = str(body.get("parentSpanId") or "")
    if parent and not _SPAN.fullmatch(parent):
        raise bad(f"Invalid parent_span_id '{parent[:100]}': it must have 16 hexadecimal digits.")
    name = (body.get("displayName") or {}).get("value")
    if not name:
        raise bad("A span needs a display_name.")
    start, end = _times(body)
    attributes = (body.get("attributes") or {}).get("attributeMap") or {}
    labels = {key: _attribute(value) for key, value in attributes.items()}
    if code := (body.get("status") or {}).get("code"):
        labels["g.co/status/code"] = str(code)
    kind = _KINDS.get(str(body.get("spanKind") or ""), "")
    return Span(found[2].lower(), found[3].lower(), name, start, end, parent.lower(), kind, _bounded(labels))


def _attribute(value: Json) -> str:
    match value:
        case {"stringValue": {"value": str(text)}}:
            return text
        case {"boolValue": bool(truth)}:
            return "true" if truth else "false"
        case {"intValue": number}:
            return str(number)
        case _:
            return ""


def _bounded(labels: Mapping[str, Any]) -> dict[str, str]:
    return {str(key)[:128]: str(value)[:LONGEST] for key, value in list(labels.items())[:MOST_LABELS]}


def _times(body: Json) -> tuple[int, int]:
    if not body.get("startTime") or not body.get("endTime"):
        raise bad("A span needs a start_time and an end_time.")
    start, end = nanoseconds(str(body["startTime"])), nanoseconds(str(body["endTime"]))
    if end < start:
        raise bad("The end_time of a span must not be before its start_time.")
    return start, end


async def patch_traces(writer: Writer, world: World, call: Call) -> Json:
    """Write spans of version 1, all or none; what is there of a trace stays."""
    project = project_id(world, call["projectId"])
    spans: list[Span] = []
    for trace in call.body.get("traces") or ():
        identifier = str(trace.get("traceId", ""))
        if trace.get("projectId") and project_id(world, trace["projectId"]) != project:
            raise bad("A trace's project_id must be that of the request.")
        if not _TRACE.fullmatch(identifier):
            raise bad(f"Invalid trace_id '{identifier[:100]}': it must have 32 hexadecimal digits.")
        spans += [_first_version(identifier.lower(), each) for each in trace.get("spans") or ()]
    writer.add(project, spans)
    return {}


def _first_version(trace: str, body: Json) -> Span:
    number, parent = int(body.get("spanId") or 0), int(body.get("parentSpanId") or 0)
    if not 0 < number < 2**64 or not 0 <= parent < 2**64:
        raise bad("A span_id must be a positive integer of 64 bits.")
    start, end = _times(body)
    kind = str(body.get("kind") or "")
    return Span(
        trace,
        f"{number:016x}",
        str(body.get("name") or ""),
        start,
        end,
        f"{parent:016x}" if parent else "",
        kind if kind in _KINDS.values() else "",
        _bounded(body.get("labels") or {}),
    )
