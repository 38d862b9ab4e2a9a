"""What Cloud Run writes to Cloud Logging about instances and requests."""

from dataclasses import dataclass

import pytest
from tests.serving import NOW

from fogbank.clock import Clock
from fogbank.dataplane.driver import MemoryExceeded, WorkloadExited
from fogbank.frontend.ingress.exchange import RequestRecord
from fogbank.frontend.ingress.forwarded_headers import TraceContext
from fogbank.resources.log_entries import Search, nanoseconds
from fogbank.resources.names import ResourceName
from fogbank.resources.run import Readiness
from fogbank.resources.run_containers import ContainerProbe
from fogbank.services.run.controller.log_entries import RunLog
from fogbank.store.log_entries import LogEntries

PLACE = "projects/demo/locations/asia-northeast3/services/web"
SERVICE = ResourceName("run.services", PLACE)
REVISION = ResourceName("run.revisions", f"{PLACE}/revisions/web-1")
LABELS = {
    "project_id": "demo",
    "location": "asia-northeast3",
    "service_name": "web",
    "configuration_name": "web",
    "revision_name": "web-1",
}


@dataclass
class AnyRevision:
    service: ResourceName = SERVICE
    name: ResourceName = REVISION
    readiness: Readiness = Readiness.READY


class AnyInstance:
    id = "web-1-abcd"
    revision = AnyRevision()


class Written:
    def __init__(self):
        self.kept = LogEntries(None, lambda: NOW)
        self.log = RunLog(self.kept, Clock())

    async def entry(self):
        found = await self.kept.search(Search(("demo",), lambda _entry: True, 10, newest_first=True))
        return found.entries[0]


@pytest.fixture
async def written():
    made = Written()
    yield made
    await made.kept.close()


async def test_a_line_is_of_its_stream_and_instance(written):
    written.log.wrote(
        AnyInstance(), "stderr", '{"message": "m", "logging.googleapis.com/labels": {"k": "v"}}'
    )
    entry = await written.entry()
    assert entry["logName"] == "projects/demo/logs/run.googleapis.com%2Fstderr"
    assert entry["resource"] == {"type": "cloud_run_revision", "labels": LABELS}
    assert (entry["textPayload"], entry["labels"]) == ("m", {"instanceId": "web-1-abcd", "k": "v"})
    assert "severity" not in entry


@pytest.mark.parametrize(
    ("seconds", "probe", "words"),
    [
        (0.2, ContainerProbe("tcp", 8080), ("Default STARTUP TCP", "1 attempt", 8080)),
        (25, ContainerProbe("http", 80, period=10, initial_delay=3), ("STARTUP HTTP", "3 attempts", 80)),
    ],
)
async def test_attempts_are_counted_by_the_period_of_the_probe(written, seconds, probe, words):
    written.log.listens(AnyInstance(), "", probe, seconds)
    name, times, port = words
    text = f'{name} probe succeeded after {times} for container "web-1" on port {port}.'
    assert (await written.entry())["textPayload"] == text


@pytest.mark.parametrize(("status", "text"), [(1, "Container called exit(1)."), (-9, "Uncaught signal: 9")])
async def test_a_container_that_ends_by_itself_is_a_warning(written, status, text):
    written.log.exited(AnyInstance(), WorkloadExited("web-1", status))
    entry = await written.entry()
    assert (entry["severity"], entry["textPayload"]) == ("WARNING", text)


async def test_a_container_that_was_ended_for_its_memory_is_an_error_in_googles_words(written):
    exceeded = MemoryExceeded(512 << 20, 514 << 20)
    written.log.exited(AnyInstance(), WorkloadExited("web-1", -9, exceeded=exceeded))
    entry = await written.entry()
    assert entry["severity"] == "ERROR"
    assert entry["textPayload"] == (
        "Memory limit of 512 MiB exceeded with 514 MiB used. Consider increasing the memory limit, see "
        "https://cloud.google.com/run/docs/configuring/memory-limits"
    )


@pytest.mark.parametrize(
    ("scaled", "readiness", "reason"),
    [
        (True, Readiness.READY, "AUTOSCALING"),
        (False, Readiness.READY, "MANUAL_OR_CUSTOMER_MIN_INSTANCE"),
        (False, Readiness.UNKNOWN, "DEPLOYMENT_ROLLOUT"),
    ],
)
async def test_a_start_has_its_reason(written, scaled, readiness, reason):
    instance = AnyInstance()
    instance.revision = AnyRevision(readiness=readiness)
    written.log.started(instance, scaled=scaled)
    assert f"Reason: {reason} - " in (await written.entry())["textPayload"]


async def test_a_request_has_its_trace_and_the_time_when_it_came(written):
    record = RequestRecord(
        SERVICE, "GET", "https://web.run.app/x", "10.0.0.1", "curl/8", "HTTP/1.1",
        TraceContext("a" * 32, "b" * 16), revision=REVISION, status=503, response_size=7, latency=2.5,
    )  # fmt: skip
    written.log.request(record)
    entry = await written.entry()
    assert (entry["severity"], entry["trace"]) == ("ERROR", f"projects/demo/traces/{'a' * 32}")
    assert entry["httpRequest"]["latency"] == "2.500000000s"
    took = nanoseconds(entry["receiveTimestamp"]) - nanoseconds(entry["timestamp"])
    assert 2_500_000_000 <= took < 2_600_000_000
