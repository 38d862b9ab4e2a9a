"""The spans of all projects, in memory: the last MOST_SPANS; they begin anew with the region."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from fogbank.resources.spans import Span

MOST_SPANS = 50_000
"""When there are more, the traces go that have been written last the longest time ago."""

LONGEST_TRACE = 5_000
"""Spans of one trace; further ones are not kept."""


class Spans:
    """The spans; for the event loop's thread."""

    def __init__(self, *, most: int = MOST_SPANS) -> None:
        self._traces: OrderedDict[tuple[str, str], dict[str, Span]] = OrderedDict()
        self._most, self._count = most, 0

    def add(self, project: str, spans: Iterable[Span]) -> None:
        """Take in spans of ``project``; one with the id of another in its trace takes its place."""
        for span in spans:
            trace = self._traces.setdefault((project, span.trace), {})
            self._traces.move_to_end((project, span.trace))
            if span.id not in trace:
                if len(trace) >= LONGEST_TRACE:
                    continue
                self._count += 1
            trace[span.id] = span
        while self._count > self._most:
            _, gone = self._traces.popitem(last=False)
            self._count -= len(gone)

    def trace(self, project: str, trace: str) -> tuple[Span, ...]:
        """Return a trace's spans in the order of their starts; none when it is unknown."""
        found = self._traces.get((project, trace), {})
        return tuple(sorted(found.values(), key=lambda span: (span.start, span.id)))

    def traces(self, project: str) -> Iterator[tuple[Span, ...]]:
        """List the spans of every trace of a project."""
        for owner, trace in tuple(self._traces):
            if owner == project:
                yield self.trace(project, trace)
