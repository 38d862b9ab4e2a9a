"""What Cloud Run measures for Cloud Monitoring: requests, latencies, instances.

See behaviour/monitoring.md#metrics.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from fogbank.frontend.ingress.exchange import RequestRecord
from fogbank.resources.names import ResourceName
from fogbank.resources.time_series import Distribution, Key, Kind, Sample, Value, labels
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.controller.log_entries import revision_resource

MOST_KINDS = 10_000
"""Kinds of requests (revision and status) that are counted apart between two samples."""

Request = tuple[ResourceName, str, int]
"""A service, a revision's id (empty when none was reached) and a status."""


class RunMetrics:
    """Counts requests since the last sample; ``running`` lists the instances there are now."""

    def __init__(self, running: Callable[[], Iterable[InstanceState]]) -> None:
        self._running = running
        self._counts: Counter[Request] = Counter()
        self._latencies: dict[Request, Distribution] = {}

    def request(self, record: RequestRecord) -> None:
        """Count a request."""
        kind = record.service, record.revision.id if record.revision else "", record.status
        if kind not in self._counts and len(self._counts) >= MOST_KINDS:
            return
        self._counts[kind] += 1
        before = self._latencies.get(kind) or Distribution()
        self._latencies[kind] = before.with_value(record.latency * 1000)

    def samples(self) -> Iterator[Sample]:
        """Return what was counted since the last time, and the instances."""
        counts, latencies = self._counts, self._latencies
        self._counts, self._latencies = Counter(), {}
        for kind, count in counts.items():
            service, revision, status = kind
            codes = {"response_code": str(status), "response_code_class": f"{status // 100}xx"}
            yield _sample(service, revision, "request_count", "DELTA", count, **codes)
            yield _sample(service, revision, "request_latencies", "DELTA", latencies[kind], **codes)
        instances = Counter(
            (each.revision.service, each.revision.name.id, "active" if each.in_flight else "idle")
            for each in self._running()
        )
        for service, revision in {(service, revision) for service, revision, _ in instances}:
            for state in ("active", "idle"):
                count = instances[service, revision, state]
                metric = "container/instance_count"
                yield _sample(service, revision, metric, "GAUGE", count, state=state)


def _sample(
    service: ResourceName, revision: str, metric: str, kind: Kind, value: Value, **own: str
) -> Sample:
    resource = revision_resource(service, revision)
    place = labels(resource["labels"])
    name = f"run.googleapis.com/{metric}"
    return Sample(Key(service.project, name, labels(own), resource["type"], place), kind, value)
