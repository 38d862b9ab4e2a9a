"""Spans by OTLP become spans of Cloud Trace (behaviour/telemetry.md#traces)."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from fogbank.resources.spans import Span
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.telemetry.attributes import (
    attributes,
    bad,
    identifier,
    items,
    moment,
    resource_of,
    text,
)

_KINDS = {
    2: "RPC_SERVER",
    "SPAN_KIND_SERVER": "RPC_SERVER",
    3: "RPC_CLIENT",
    "SPAN_KIND_CLIENT": "RPC_CLIENT",
}
_OF_RESOURCE = ("service.name", "service.namespace", "service.version", "service.instance.id")
_ERROR = (2, "STATUS_CODE_ERROR")
_UNKNOWN_CODE = "2"
"""Of google.rpc.Code: OTLP says that a span failed, and not why."""

MOST_LABELS = 32
LONGEST = 256
"""Attributes of a span that are kept, and characters of one's value: spans are in memory."""


class SpanWriter(Protocol):
    """Where spans are written."""

    def add(self, project: str, spans: Iterable[Span]) -> None:
        """Take in spans."""
        ...


class Stores(Protocol):
    """What a region keeps of traces."""

    @property
    def spans(self) -> SpanWriter:
        """The spans of all projects."""
        ...


async def export(stores: Stores, world: World, call: Call) -> Json:
    """Write the spans of a request, all or none."""
    written: list[tuple[str, list[Span]]] = []
    for each in items(call.body.get("resourceSpans"), "resourceSpans"):
        project, about = resource_of(world, each)
        labels = {name: text(about[name]) for name in _OF_RESOURCE if name in about}
        scopes = items(each.get("scopeSpans"), "scopeSpans")
        spans = [_span(span, labels) for scope in scopes for span in items(scope.get("spans"), "spans")]
        written.append((project, spans))
    for project, spans in written:
        stores.spans.add(project, spans)
    return {}


def _span(body: Json, about: Mapping[str, str]) -> Span:
    trace = identifier(body.get("traceId"), 16, "traceId")
    own = identifier(body.get("spanId"), 8, "spanId")
    if not int(trace or "0", 16) or not int(own or "0", 16):
        raise bad("The ids of a trace and of a span must not be empty or zero.")
    start = moment(body.get("startTimeUnixNano"), "startTimeUnixNano")
    end = moment(body.get("endTimeUnixNano"), "endTimeUnixNano")
    if end < start:
        raise bad("The end time of a span must not be before its start time.")
    labels: dict[str, Any] = {**about, **attributes(body)}
    if (body.get("status") or {}).get("code") in _ERROR:
        labels["g.co/status/code"] = _UNKNOWN_CODE
    parent = identifier(body.get("parentSpanId"), 8, "parentSpanId")
    kind = _KINDS.get(body.get("kind") or 0, "")
    kept = {name[:128]: text(value)[:LONGEST] for name, value in list(labels.items())[:MOST_LABELS]}
    return Span(trace, own, str(body.get("name") or ""), start, end, parent, kind, kept)
