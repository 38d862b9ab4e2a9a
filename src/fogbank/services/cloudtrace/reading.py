"""Read traces in the form of version 1: one, or those that a filter keeps (behaviour/trace.md#reading)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from fogbank.errors import ApiError
from fogbank.resources.log_entries import nanoseconds, time_text
from fogbank.resources.projects import project_id
from fogbank.resources.spans import Span
from fogbank.resources.world import Json, World
from fogbank.services.cloudtrace.writing import bad
from fogbank.services.contract import Call

DEFAULT_PAGE, LARGEST_PAGE = 100, 1000
_UNITS = {"ms": 1_000_000, "us": 1000, "ns": 1, "s": 1_000_000_000}

Trace = tuple[Span, ...]


class Reader(Protocol):
    """Where spans are read."""

    def trace(self, project: str, trace: str) -> Trace:
        """Return a trace's spans."""
        ...

    def traces(self, project: str) -> Iterator[Trace]:
        """List the spans of every trace."""
        ...


async def get_trace(reader: Reader, world: World, call: Call) -> Json:
    """Show a trace with all its spans."""
    project = project_id(world, call["projectId"])
    found = reader.trace(project, call["traceId"].lower())
    if not found:
        raise ApiError(404, "Trace not found.", "NOT_FOUND", "notFound")
    return _shown(project, found, "COMPLETE")


async def list_traces(reader: Reader, world: World, call: Call) -> Json:
    """List traces, page by page."""
    query = call.parameters
    project = project_id(world, call["projectId"])
    start = nanoseconds(str(query["startTime"])) if query.get("startTime") else None
    end = nanoseconds(str(query["endTime"])) if query.get("endTime") else None
    keep = _filter(str(query.get("filter") or ""))
    found = [
        trace
        for trace in reader.traces(project)
        if (start is None or trace[0].start >= start)
        and (end is None or trace[0].start <= end)
        and keep(trace)
    ]
    _sort(found, str(query.get("orderBy") or ""))
    size = min(int(query.get("pageSize") or DEFAULT_PAGE), LARGEST_PAGE)
    first = _first(str(query.get("pageToken") or ""))
    if size < 0:
        raise bad("page_size must not be negative")
    view = str(query.get("view") or "MINIMAL")
    page = [_shown(project, each, view) for each in found[first : first + size]]
    answer: Json = {"traces": page} if page else {}
    if first + size < len(found):
        answer["nextPageToken"] = urlsafe_b64encode(str(first + size).encode()).decode()
    return answer


def _first(token: str) -> int:
    try:
        return max(0, int(urlsafe_b64decode(token.encode()))) if token else 0
    except ValueError as error:
        raise bad("Invalid page_token.") from error


def _root(trace: Trace) -> Span:
    return next((span for span in trace if not span.parent), trace[0])


def _latency(trace: Trace) -> int:
    return max(span.end for span in trace) - trace[0].start


_ORDERS: Mapping[str, Callable[[Trace], Any]] = {
    "trace_id": lambda trace: trace[0].trace,
    "name": lambda trace: _root(trace).name,
    "duration": _latency,
    "start": lambda trace: trace[0].start,
}


def _sort(traces: list[Trace], order_by: str) -> None:
    words = order_by.split()
    if not words:
        return
    if words[0] not in _ORDERS or words[1:] not in ([], ["desc"]):
        raise bad(
            f"Invalid order_by '{order_by[:100]}': it must be one of {', '.join(_ORDERS)}, or 'start desc'."
        )
    traces.sort(key=_ORDERS[words[0]], reverse=len(words) > 1)


def _shown(project: str, trace: Trace, view: str) -> Json:
    shown: Json = {"projectId": project, "traceId": trace[0].trace}
    if view == "ROOTSPAN":
        shown["spans"] = [_span(_root(trace))]
    elif view == "COMPLETE":
        shown["spans"] = [_span(each) for each in trace]
    return shown


def _span(span: Span) -> Json:
    shown: Json = {
        "spanId": str(int(span.id, 16)),
        "name": span.name,
        "startTime": time_text(span.start),
        "endTime": time_text(span.end),
    }
    if span.kind:
        shown["kind"] = span.kind
    if span.parent:
        shown["parentSpanId"] = str(int(span.parent, 16))
    if span.labels:
        shown["labels"] = dict(span.labels)
    return shown


def _filter(text: str) -> Callable[[Trace], bool]:
    """Read a filter: terms ``root:``, ``span:``, ``latency:`` or ``LABEL:``, all of which must hold.

    A ``+`` before a term asks for the whole value instead of its beginning.
    """
    tests = [_term(each) for each in text.split()]
    return lambda trace: all(test(trace) for test in tests)


def _term(term: str) -> Callable[[Trace], bool]:
    name, colon, value = term.removeprefix("+").removeprefix("^").partition(":")
    value = value.strip('"')
    if not colon or not name:
        raise bad(f"Invalid filter term '{term[:100]}'.")

    def fits(text: str) -> bool:
        return text == value if term.startswith("+") else text.startswith(value)

    match name:
        case "root":
            return lambda trace: fits(_root(trace).name)
        case "span":
            return lambda trace: any(fits(span.name) for span in trace)
        case "latency":
            least = _nanos(value)
            return lambda trace: _latency(trace) >= least
        case _:
            return lambda trace: any(name in span.labels and fits(span.labels[name]) for span in trace)


def _nanos(text: str) -> int:
    for unit, size in _UNITS.items():
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdecimal() and number.isascii():
            return int(float(number) * size)
    raise bad(f"Invalid latency '{text[:100]}'.")
