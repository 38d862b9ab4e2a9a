"""Cloud Trace's methods: what either version writes, version 1 reads."""

import pytest
from tests.serving import NOW, OPERATOR, Region

from fogbank.discovery.routes import methods
from fogbank.errors import ApiError
from fogbank.frontend.api.coverage import handled
from fogbank.resources.log_entries import time_of, time_text
from fogbank.resources.spans import Span
from fogbank.services.cloudtrace import SERVICE
from fogbank.store.spans import LONGEST_TRACE, Spans

TRACE, SPAN = "0123456789abcdef" * 2, "00000000000000ff"
BASE = "projects/demo/traces"


def at(seconds):
    return time_text(time_of(NOW) + int(seconds * 1e9))


def second(span=SPAN, trace=TRACE, name="work", start=0.0, seconds=1.0, **more):
    return {
        "name": f"{BASE}/{trace}/spans/{span}", "spanId": span, "displayName": {"value": name},
        "startTime": at(start), "endTime": at(start + seconds), **more,
    }  # fmt: skip


class Traces:
    def __init__(self, folder):
        self.region = Region(folder, [SERVICE], {"cloudtrace": Spans()})

    async def call(self, method, body=None, **parameters):
        return await self.region.calls.invoke(OPERATOR, f"cloudtrace.{method}", parameters, body)

    async def write(self, *spans):
        return await self.call("v2.projects.traces.batchWrite", {"spans": list(spans)}, name="projects/demo")

    async def list(self, **query):
        found = await self.call("v1.projects.traces.list", projectId="demo", **query)
        return [each["traceId"] for each in found.get("traces", ())]


@pytest.fixture
async def traces(tmp_path):
    made = Traces(tmp_path)
    yield made
    await made.region.store.close()


async def test_what_the_second_version_writes_the_first_reads(traces):
    attributes = {
        "attributeMap": {
            "a": {"stringValue": {"value": "b"}},
            "n": {"intValue": "7"},
            "t": {"boolValue": True},
        }
    }
    child = second(name="child", parentSpanId=SPAN, span="0" * 15 + "2", start=0.5, spanKind="CLIENT")
    assert await traces.write(child, second(attributes=attributes, spanKind="SERVER")) == {}
    found = await traces.call("v1.projects.traces.get", projectId="demo", traceId=TRACE)
    assert found == {
        "projectId": "demo",
        "traceId": TRACE,
        "spans": [
            {
                "spanId": "255", "name": "work", "startTime": at(0), "endTime": at(1), "kind": "RPC_SERVER",
                "labels": {"a": "b", "n": "7", "t": "true"},
            },
            {
                "spanId": "2", "name": "child", "startTime": at(0.5), "endTime": at(1.5),
                "kind": "RPC_CLIENT", "parentSpanId": "255",
            },
        ],
    }  # fmt: skip


async def test_the_first_version_adds_to_a_trace_and_replaces_spans(traces):
    await traces.write(second())
    span = {"spanId": "255", "name": "again", "startTime": at(0), "endTime": at(2), "labels": {"k": "v"}}
    other = {"spanId": str(2**64 - 1), "name": "other", "startTime": at(1), "endTime": at(2)}
    body = {"traces": [{"projectId": "demo", "traceId": TRACE, "spans": [span, other]}]}
    assert await traces.call("v1.projects.patchTraces", body, projectId="demo") == {}
    found = await traces.call("v1.projects.traces.get", projectId="demo", traceId=TRACE)
    assert [each["name"] for each in found["spans"]] == ["again", "other"]
    assert found["spans"][1]["spanId"] == str(2**64 - 1)


async def test_a_span_is_created_by_its_name(traces):
    body = second()
    name = body.pop("name")
    assert (await traces.call("v2.projects.traces.spans.createSpan", body, name=name))["name"] == name
    assert await traces.list() == [TRACE]


IDS = [f"{number:032x}" for number in range(1, 5)]


async def fill(traces):
    for number, trace in enumerate(IDS):
        labels = {"attributeMap": {"/http/status_code": {"stringValue": {"value": f"{number}00"}}}}
        name, start = f"/page{number}", -10.0 * number
        await traces.write(
            second(trace=trace, name=name, start=start, seconds=number + 0.1, attributes=labels)
        )


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, [0, 1, 2, 3]),
        ({"startTime": at(-15), "endTime": at(-5)}, [1]),
        ({"filter": "root:/page"}, [0, 1, 2, 3]),
        ({"filter": "+root:/page"}, []),
        ({"filter": "+root:/page2"}, [2]),
        ({"filter": "latency:1s span:/page"}, [1, 2, 3]),
        ({"filter": "latency:2500ms"}, [3]),
        ({"filter": "/http/status_code:2"}, [2]),
        ({"orderBy": "start"}, [3, 2, 1, 0]),
        ({"orderBy": "duration desc"}, [3, 2, 1, 0]),
        ({"orderBy": "name desc"}, [3, 2, 1, 0]),
    ],
)
async def test_traces_are_filtered_and_ordered(traces, query, wanted):
    await fill(traces)
    assert await traces.list(**query) == [IDS[number] for number in wanted]


async def test_traces_are_listed_page_by_page_and_by_view(traces):
    await fill(traces)
    first = await traces.call("v1.projects.traces.list", projectId="demo", pageSize=3)
    assert "spans" not in first["traces"][0]
    rest = await traces.call(
        "v1.projects.traces.list",
        projectId="demo",
        pageSize=3,
        pageToken=first["nextPageToken"],
        view="ROOTSPAN",
    )
    assert [each["spans"][0]["name"] for each in rest["traces"]] == ["/page3"]


@pytest.mark.parametrize(
    ("span", "why"),
    [
        ({"name": "x"}, "Invalid span name"),
        ({"name": f"projects/other/traces/{TRACE}/spans/{SPAN}"}, "Invalid span name"),
        ({"name": f"{BASE}/{'0' * 32}/spans/{SPAN}"}, "must not be zero"),
        ({"displayName": {}}, "needs a display_name"),
        ({"endTime": None}, "needs a start_time and an end_time"),
        ({"endTime": at(-1)}, "must not be before its start_time"),
        ({"parentSpanId": "xyz"}, "Invalid parent_span_id"),
    ],
)
async def test_a_wrong_span_is_refused_and_nothing_is_written(traces, span, why):
    with pytest.raises(ApiError, match=why):
        await traces.write(second(), {**second(), **span})
    assert await traces.list() == []


@pytest.mark.parametrize(
    ("trace", "why"),
    [
        ({"traceId": "x"}, "Invalid trace_id"),
        ({"traceId": TRACE, "projectId": "other"}, "must be that of the request"),
        ({"traceId": TRACE, "spans": [{"spanId": "0"}]}, "must be a positive integer"),
        ({"traceId": TRACE, "spans": [{"spanId": "1"}]}, "needs a start_time"),
    ],
)
async def test_a_wrong_trace_of_the_first_version_is_refused(traces, trace, why):
    with pytest.raises(ApiError, match=why):
        await traces.call("v1.projects.patchTraces", {"traces": [trace]}, projectId="demo")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"filter": "x"}, "Invalid filter term"),
        ({"filter": "latency:soon"}, "Invalid latency"),
        ({"orderBy": "size"}, "Invalid order_by"),
        ({"pageToken": "?"}, "Invalid page_token"),
        ({"pageSize": -1}, "must not be negative"),
    ],
)
async def test_a_bad_question_is_refused(traces, query, why):
    with pytest.raises(ApiError, match=why):
        await traces.list(**query)


async def test_an_unknown_trace_is_not_found(traces):
    with pytest.raises(ApiError, match="Trace not found"):
        await traces.call("v1.projects.traces.get", projectId="demo", traceId=TRACE)


async def test_what_is_not_built_is_refused_by_its_name(traces):
    described = [m for version in SERVICE.versions for m in methods(f"cloudtrace.{version}").values()]
    for method in (each for each in described if not handled(SERVICE, each)):
        with pytest.raises(ApiError) as caught:
            traces.region.calls.check_built(method)
        assert (caught.value.code, method.id in caught.value.message) == (400, True)


def test_spans_are_bounded_in_all_and_in_a_trace():
    spans = Spans(most=10)
    for number in range(20):
        spans.add("p", [Span(f"{number // 2:032x}", f"{number:016x}", "n", 0, 1)])
    assert [trace[0].trace for trace in spans.traces("p")] == [f"{number:032x}" for number in range(5, 10)]
    long = Spans()
    long.add("p", (Span(TRACE, f"{number:016x}", "n", 0, 1) for number in range(LONGEST_TRACE + 10)))
    assert len(long.trace("p", TRACE)) == LONGEST_TRACE
