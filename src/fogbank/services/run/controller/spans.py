"""The span that Cloud Run writes of a request, when it samples it (behaviour/trace.md#requests)."""

from urllib.parse import urlsplit

from fogbank.clock import Clock
from fogbank.frontend.ingress.exchange import RequestRecord
from fogbank.resources.log_entries import time_of
from fogbank.resources.names import ResourceName
from fogbank.resources.spans import Span
from fogbank.store.spans import Spans

SECONDS_BETWEEN = 10.0
"""How far apart the requests to a revision are of which Cloud Run begins a trace by itself."""

MOST_REVISIONS = 10_000


class RequestSpans:
    """Writes spans of requests."""

    def __init__(self, spans: Spans, clock: Clock) -> None:
        self._spans, self._clock = spans, clock
        self._sampled: dict[ResourceName, float] = {}

    def request(self, record: RequestRecord) -> None:
        """Write the span of a request that reached a revision, when it is one of the sampled."""
        if record.revision is None or not self._samples(record):
            return
        end = time_of(self._clock.now())
        labels = {
            "/http/method": record.method,
            "/http/url": record.url[:256],
            "/http/status_code": str(record.status),
            "/http/client_protocol": record.protocol,
            "service_name": record.service.id,
            "revision_name": record.revision.id,
        }
        span = Span(
            record.trace.trace_id,
            record.trace.span_id,
            urlsplit(record.url).path or "/",
            end - int(record.latency * 1e9),
            end,
            record.trace.parent_id,
            "RPC_SERVER",
            labels,
        )
        self._spans.add(record.service.project, [span])

    def _samples(self, record: RequestRecord) -> bool:
        """Return whether the caller asked for it, or none of the revision's was written for a while."""
        if record.trace.asked or record.revision is None:
            return record.trace.asked
        now = self._clock.seconds()
        if now - self._sampled.get(record.revision, -SECONDS_BETWEEN) < SECONDS_BETWEEN:
            return False
        if len(self._sampled) >= MOST_REVISIONS:
            self._sampled.clear()
        self._sampled[record.revision] = now
        return True
