"""OTLP: what exporters send, as JSON or as messages, is read by Cloud Trace, Logging and Monitoring."""

import gzip
import json
from base64 import b64encode
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving import NOW, OPERATOR, Region

from fogbank.errors import ApiError
from fogbank.frontend.api.application import ApiApplication
from fogbank.frontend.grpc.decode import decode
from fogbank.frontend.grpc.encode import encode
from fogbank.resources.log_entries import time_of
from fogbank.services import telemetry
from fogbank.services.telemetry import attributes
from fogbank.store.spans import Spans
from fogbank.store.time_series import TimeSeries

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
AT = time_of(NOW)
PROJECT = {"key": "gcp.project_id", "value": {"stringValue": "demo"}}
SERVICE = {"key": "service.name", "value": {"stringValue": "shop"}}


def resource(*more):
    return {"attributes": [PROJECT, *more]}


def spans(*found, about=None):
    return {
        "resourceSpans": [{"resource": about or resource(SERVICE), "scopeSpans": [{"spans": list(found)}]}]
    }


def span(**more):
    times = {"startTimeUnixNano": str(AT), "endTimeUnixNano": str(AT + 5_000_000)}
    return {"traceId": TRACE, "spanId": SPAN, "name": "copy", "kind": 2, **times, **more}


def logs(*records, about=None):
    return {
        "resourceLogs": [
            {"resource": about or resource(SERVICE), "scopeLogs": [{"logRecords": list(records)}]}
        ]
    }


def metrics(**metric):
    return {"resourceMetrics": [{"resource": resource(SERVICE), "scopeMetrics": [{"metrics": [metric]}]}]}


class Entries:
    """Keeps entries."""

    def __init__(self):
        self.kept = []

    def append(self, project, entry):
        self.kept.append((project, entry))

    async def flush(self):
        """Nothing waits."""


@dataclass
class Stores:
    spans: Spans
    log_entries: Entries
    time_series: TimeSeries

    def series(self):
        return list(self.time_series.find("demo", lambda _key: True, 0, 2e10))


class Told(Region):
    """A region that keeps what it is told in ``kept``."""

    def __init__(self, folder):
        self.kept = Stores(Spans(), Entries(), TimeSeries())
        super().__init__(folder, [telemetry.SERVICE], {"telemetry": self.kept})


@pytest.fixture
async def region(tmp_path):
    made = Told(tmp_path)
    yield made
    await made.store.close()


async def export(region, signal, body):
    return await region.calls.invoke(OPERATOR, f"telemetry.v1.{signal}.post", {}, body)


async def test_a_span_is_read_as_cloud_trace_has_it(region):
    failed = span(parentSpanId=PARENT, status={"code": 2}, attributes=[
        {"key": "n", "value": {"intValue": "7"}}, {"key": "ok", "value": {"boolValue": True}},
    ])  # fmt: skip
    assert await export(region, "traces", spans(failed)) == {}
    (kept,) = region.kept.spans.trace("demo", TRACE)
    assert (kept.id, kept.parent, kept.name, kept.kind) == (SPAN, PARENT, "copy", "RPC_SERVER")
    assert (kept.start, kept.end) == (AT, AT + 5_000_000)
    assert kept.labels == {"service.name": "shop", "n": "7", "ok": "true", "g.co/status/code": "2"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (spans(span(), about={"attributes": [SERVICE]}), "gcp.project_id"),
        (spans(span(traceId="12")), "traceId"),
        (spans(span(spanId="0" * 16)), "zero"),
        (spans(span(endTimeUnixNano="1")), "end time"),
        (spans(span(startTimeUnixNano="x")), "startTimeUnixNano"),
        ({"resourceSpans": [{"resource": resource(), "scopeSpans": 1}]}, "scopeSpans"),
    ],
)
async def test_a_bad_span_is_refused_with_all_others(region, body, why):
    body["resourceSpans"].insert(0, spans(span())["resourceSpans"][0])
    with pytest.raises(ApiError, match=why) as caught:
        await export(region, "traces", body)
    assert caught.value.code == 400
    assert region.kept.spans.trace("demo", TRACE) == ()


async def test_a_record_is_read_as_an_entry_of_its_span(region):
    record = {
        "timeUnixNano": str(AT), "severityNumber": 17, "body": {"stringValue": "it failed"},
        "traceId": TRACE, "spanId": SPAN, "flags": 1,
        "attributes": [{"key": "who", "value": {"stringValue": "me"}}],
    }  # fmt: skip
    await export(region, "logs", logs(record))
    ((project, entry),) = region.kept.log_entries.kept
    assert project == "demo"
    assert entry["logName"] == "projects/demo/logs/otlp_logs"
    assert (entry["severity"], entry["textPayload"], entry["labels"]) == ("ERROR", "it failed", {"who": "me"})
    assert (entry["trace"], entry["spanId"]) == (f"projects/demo/traces/{TRACE}", SPAN)
    assert entry["traceSampled"]
    assert entry["resource"]["type"] == "generic_task"
    assert entry["resource"]["labels"]["job"] == "shop"


async def test_a_record_of_a_cloud_run_service_is_the_revisions(region):
    about = {"cloud.platform": "gcp_cloud_run", "cloud.region": "asia-northeast1", "faas.name": "shop",
             "faas.version": "shop-00001-abc", "gcp.log_name": "app"}  # fmt: skip
    pairs = [{"key": key, "value": {"stringValue": value}} for key, value in about.items()]
    fields = {"kvlistValue": {"values": [{"key": "n", "value": {"doubleValue": 1.5}}]}}
    await export(region, "logs", logs({"body": fields}, about=resource(*pairs)))
    ((_, entry),) = region.kept.log_entries.kept
    assert entry["resource"]["type"] == "cloud_run_revision"
    assert entry["resource"]["labels"]["revision_name"] == "shop-00001-abc"
    assert (entry["logName"], entry["jsonPayload"]) == ("projects/demo/logs/app", {"n": 1.5})
    assert "severity" not in entry


async def test_metrics_are_series_with_prometheus_names(region):
    times = {"startTimeUnixNano": str(AT - 10**9), "timeUnixNano": str(AT)}
    total = {"dataPoints": [{"asInt": "3", **times}], "isMonotonic": True, "aggregationTemporality": 2}
    await export(region, "metrics", metrics(name="visits", sum=total))
    await export(region, "metrics", metrics(name="heat", gauge={"dataPoints": [{"asDouble": 1.5, **times}]}))
    took = {"count": "3", "sum": 6, "bucketCounts": ["1", "2"], "explicitBounds": [2.0], **times}
    histogram = {"dataPoints": [took], "aggregationTemporality": 2}
    await export(region, "metrics", metrics(name="took", histogram=histogram))
    kept = {each.key.metric.removeprefix("prometheus.googleapis.com/"): each for each in region.kept.series()}
    assert set(kept) == {"visits/counter", "heat/gauge", "took/histogram"}
    assert (kept["visits/counter"].kind, kept["visits/counter"].points[0].value) == ("CUMULATIVE", 3)
    distribution = kept["took/histogram"].points[0].value
    assert (distribution.count, distribution.mean, distribution.counts) == (3, 2.0, (1, 2))
    assert dict(kept["heat/gauge"].key.resource_labels)["job"] == "shop"


async def test_points_that_cannot_be_written_are_counted_and_the_others_are_written(region):
    times = {"startTimeUnixNano": str(AT - 10**9), "timeUnixNano": str(AT)}
    delta = {"dataPoints": [{"asInt": 1, **times}], "isMonotonic": True, "aggregationTemporality": 1}
    body = metrics(name="delta", sum=delta)
    heat = {"name": "heat", "gauge": {"dataPoints": [{"asInt": 1, **times}, {"asInt": 2, **times}]}}
    body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].append(heat)
    answer = await export(region, "metrics", body)
    assert answer["partialSuccess"]["rejectedDataPoints"] == "2"
    assert [each.points[0].value for each in region.kept.series()] == [1]


async def ask(region, content, *, kind="application/x-protobuf", path="traces", encoding=b""):
    """Send a request as exporters do; give status, type and body of the answer."""
    sent = []

    class Operator:
        def authenticate(self, _header):
            return OPERATOR

    async def receive():
        return {"type": "http.request", "body": content}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"telemetry.googleapis.com"), (b"content-type", kind.encode()),
               (b"content-length", str(len(content)).encode()), (b"content-encoding", encoding)]  # fmt: skip
    scope = {"type": "http", "method": "POST", "path": f"/v1/{path}", "headers": headers}
    await ApiApplication(region.calls, Operator())(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])[b"content-type"], sent[1]["body"]


def message(body):
    """Write a request as exporters do, with ids as bytes."""
    text = json.dumps(body).replace(TRACE, b64encode(bytes.fromhex(TRACE)).decode())
    text = text.replace(SPAN, b64encode(bytes.fromhex(SPAN)).decode())
    return encode("opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest", json.loads(text))


@pytest.mark.parametrize("encoding", [b"", b"gzip"])
async def test_messages_are_taken_as_json_is(region, encoding):
    content = message(spans(span()))
    packed = gzip.compress(content) if encoding else content
    assert await ask(region, packed, encoding=encoding) == (200, b"application/x-protobuf", b"")
    (kept,) = region.kept.spans.trace("demo", TRACE)
    assert (kept.id, kept.kind, kept.name) == (SPAN, "RPC_SERVER", "copy")


async def test_a_refusal_of_a_message_is_a_message(region):
    status, kind, body = await ask(region, message(spans(span(), about={"attributes": [SERVICE]})))
    assert (status, kind) == (400, b"application/x-protobuf")
    assert decode("google.rpc.Status", body) == {
        "code": 3,
        "message": 'Resource is missing required attribute "gcp.project_id"',
    }
    status, kind, _ = await ask(region, b"\xff\xff\xff")
    assert (status, kind) == (400, b"application/x-protobuf")


async def test_a_small_body_that_says_very_much_is_refused(region, monkeypatch):
    monkeypatch.setattr("fogbank.frontend.api.application.BODY_LIMIT", 1000)
    status, _, _ = await ask(region, gzip.compress(b" " * 10_000), kind="application/json", encoding=b"gzip")
    assert status == 413


@given(st.binary(min_size=16, max_size=16))
def test_an_id_is_one_whether_hexadecimal_or_base64(raw):
    assert attributes.identifier(raw.hex(), 16, "x") == raw.hex()
    assert attributes.identifier(b64encode(raw).decode(), 16, "x") == raw.hex()
