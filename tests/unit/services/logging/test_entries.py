"""Cloud Logging's methods: entries come back as they were written; what is wrong is refused."""

import asyncio
from datetime import timedelta

import pytest
from tests.serving import NOW, OPERATOR, Region

from fogbank.discovery.routes import Match, methods
from fogbank.errors import ApiError
from fogbank.frontend.api.coverage import handled
from fogbank.frontend.api.invoke import Invocation
from fogbank.frontend.api.messages import ApiRequest
from fogbank.resources.log_entries import nanoseconds, time_of, time_text
from fogbank.services.logging import SERVICE
from fogbank.store.log_entries import LogEntries

LOG = "projects/demo/logs/mine"
GLOBAL = {"type": "global"}


class Logging:
    def __init__(self, folder):
        self.kept = LogEntries(folder / "logs.sqlite", lambda: NOW)
        self.region = Region(folder, [SERVICE], {"logging": self.kept})

    async def call(self, method, body=None, **parameters):
        return await self.region.calls.invoke(OPERATOR, f"logging.v2.{method}", parameters, body)

    async def write(self, *entries, **more):
        return await self.call(
            "entries.write", {"entries": [*entries], "logName": LOG, "resource": GLOBAL, **more}
        )

    async def texts(self, filter_="", **more):
        found = await self.call(
            "entries.list", {"resourceNames": ["projects/demo"], "filter": filter_, **more}
        )
        return [entry.get("textPayload") for entry in found.get("entries", ())]


@pytest.fixture
async def logging(tmp_path):
    made = Logging(tmp_path)
    yield made
    await made.kept.close()
    await made.region.store.close()


def at(seconds):
    return time_text(time_of(NOW) + int(seconds * 1e9))


async def test_an_entry_comes_back_complete(logging):
    entry = {"jsonPayload": {"a": 1}, "severity": "WARNING", "labels": {"k": "v"}}
    assert await logging.write(entry, labels={"k": "w", "l": "x"}) == {}
    (entry,) = (await logging.call("entries.list", {"resourceNames": ["projects/demo"]}))["entries"]
    assert entry.pop("insertId")
    assert entry == {
        "logName": LOG,
        "resource": {"type": "global", "labels": {"project_id": "demo"}},
        "timestamp": at(0),
        "receiveTimestamp": at(0),
        "severity": "WARNING",
        "labels": {"k": "v", "l": "x"},
        "jsonPayload": {"a": 1},
    }


async def test_entries_are_in_the_order_of_their_times_to_the_nanosecond(logging):
    for text, moment in (("b", "2026-11-21T00:00:00.000000002Z"), ("a", "2026-11-21T00:00:00.000000001Z")):
        await logging.write({"textPayload": text, "timestamp": moment})
    assert await logging.texts() == ["a", "b"]
    assert await logging.texts(orderBy="timestamp desc") == ["b", "a"]
    assert await logging.texts('timestamp>"2026-11-21T00:00:00.000000001Z"') == ["b"]


async def test_pages_neither_repeat_nor_hide_an_entry(logging):
    await logging.write(*({"textPayload": str(n), "timestamp": at(-n // 2)} for n in range(7)))
    body: dict[str, object] = {"resourceNames": ["projects/demo"], "orderBy": "timestamp desc", "pageSize": 3}
    seen: list[str] = []
    while True:
        page = await logging.call("entries.list", body)
        seen += [entry["textPayload"] for entry in page.get("entries", ())]
        await logging.write({"textPayload": "newer"})
        if "nextPageToken" not in page:
            break
        body["pageToken"] = page["nextPageToken"]
    assert sorted(seen) == [str(n) for n in range(7)]
    with pytest.raises(ApiError, match="page_token doesn't match"):
        await logging.call("entries.list", body | {"filter": "x"})


async def test_the_same_entry_is_kept_once(logging):
    same = {"textPayload": "x", "insertId": "1", "timestamp": at(0)}
    await logging.write(same, same)
    await logging.write(same, {**same, "insertId": "2"})
    assert await logging.texts() == ["x", "x"]


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"logName": "projects/demo/logs/a b"}, "is malformed"),
        ({"logName": "projects/demo/mine"}, "Invalid resource name"),
        ({"logName": "organizations/1/logs/a"}, "does not implement logs of organizations"),
        ({"resource": {"labels": {"a": "b"}}}, "missing the required field: resource.type"),
        ({"timestamp": (NOW + timedelta(days=2)).isoformat()}, "more than 24 hours in the future"),
        ({"textPayload": "x" * 300_000}, "exceeds maximum size of 256"),
        ({"labels": {str(n): "" for n in range(65)}}, "more than 64"),
    ],
)
async def test_what_no_log_takes_is_refused_and_nothing_is_written(logging, entry, why):
    with pytest.raises(ApiError, match=why):
        await logging.write({"textPayload": "right"}, entry)
    assert await logging.texts() == []


async def test_with_partial_success_the_right_entries_are_written(logging):
    with pytest.raises(ApiError) as refused:
        await logging.write({"textPayload": "right"}, {"resource": {"labels": {}}}, partialSuccess=True)
    (detail,) = refused.value.details
    assert detail["logEntryErrors"] == {
        "1": {"code": 3, "message": "Log entry is missing the required field: resource.type"}
    }
    assert await logging.texts() == ["right"]


async def test_a_dry_run_writes_nothing(logging):
    assert await logging.write({"textPayload": "right"}, dryRun=True) == {}
    assert await logging.texts() == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "Resource names cannot be empty"),
        ({"resourceNames": ["demo"]}, "Invalid resource name"),
        ({"resourceNames": ["folders/1"]}, "does not implement logs of folders"),
        ({"resourceNames": ["projects/demo/locations/global/buckets/mine/views/v"]}, "does not exist"),
        ({"resourceNames": ["projects/demo"], "orderBy": "severity"}, "order_by must be"),
        ({"resourceNames": ["projects/demo"], "pageSize": -1}, "must not be negative"),
        ({"resourceNames": ["projects/demo"], "pageToken": "x"}, "page_token doesn't match"),
    ],
)
async def test_a_bad_question_is_refused(logging, body, why):
    with pytest.raises(ApiError, match=why):
        await logging.call("entries.list", body)


async def test_the_views_of_buckets_divide_audit_logs_from_others(logging):
    await logging.write({"textPayload": "mine"})
    await logging.write(
        {"textPayload": "audit", "logName": "projects/demo/logs/cloudaudit.googleapis.com%2Factivity"}
    )
    for bucket, texts in (("_Default", ["mine"]), ("_Required", ["audit"])):
        view = f"projects/demo/locations/global/buckets/{bucket}/views/_AllLogs"
        assert await logging.texts(resourceNames=[view]) == texts


async def test_logs_are_listed_and_deleted(logging):
    await logging.write({"textPayload": "x"}, {"textPayload": "y", "logName": "projects/demo/logs/a%2Fb"})
    logs = {"parent": "projects/demo"}
    assert (await logging.call("projects.logs.list", **logs))["logNames"] == ["projects/demo/logs/a%2Fb", LOG]
    first = await logging.call("projects.logs.list", **logs, pageSize=1)
    rest = await logging.call("projects.logs.list", **logs, pageToken=first["nextPageToken"])
    assert rest["logNames"] == [LOG]
    assert await logging.call("projects.logs.delete", logName="projects/demo/logs/a/b") == {}
    assert await logging.texts() == ["x"]
    with pytest.raises(ApiError, match="Log gone does not exist"):
        await logging.call("projects.logs.delete", logName="projects/demo/logs/gone")


async def test_every_project_has_two_buckets_with_views(logging):
    place = "projects/demo/locations/global"
    listed = (await logging.call("projects.locations.buckets.list", parent=place))["buckets"]
    assert [each["retentionDays"] for each in listed] == [30, 400]
    elsewhere = "projects/demo/locations/us-central1"
    assert await logging.call("projects.locations.buckets.list", parent=elsewhere) == {}
    for bucket in listed:
        assert await logging.call("projects.locations.buckets.get", name=bucket["name"]) == bucket
        views = (await logging.call("projects.locations.buckets.views.list", parent=bucket["name"]))["views"]
        for view in views:
            assert await logging.call("projects.locations.buckets.views.get", name=view["name"]) == view


async def test_a_tail_yields_the_entries_to_come_that_its_filter_keeps(logging):
    method = methods("logging.v2")["entries.tail"]
    body = {"resourceNames": ["projects/demo"], "filter": "severity>=ERROR"}
    stream = await logging.region.calls.stream(Invocation(OPERATOR, Match(method, {}), {}, body))
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)  # it begins to follow
    await logging.write({"textPayload": "small"}, {"textPayload": "great", "severity": "ERROR"})
    assert [each["textPayload"] for each in (await waiting)["entries"]] == ["great"]
    await stream.aclose()
    assert len(logging.kept.followers) == 0


async def test_what_is_not_built_is_refused_by_its_name(logging):
    described = methods("logging.v2").values()
    for method in (each for each in described if not handled(SERVICE, each)):
        with pytest.raises(ApiError) as caught:
            logging.region.calls.check_built(method)
        assert (caught.value.code, method.id in caught.value.message) == (400, True)


async def test_a_tail_over_rest_is_refused(logging):
    body = b'{"resourceNames": ["projects/demo"]}'
    request = ApiRequest(
        "POST", "logging.googleapis.com", "/v2/entries:tail", b"", "Bearer token", "application/json", body
    )
    reply = await logging.region.api.answer(request)
    assert reply.status == 400


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T01:00:00.000000001+01:00", 1),
        ("1970-01-01T01:00:00.5+0100", 500_000_000),  # as google-cloud-logging writes it
        ("1970-01-02", 86_400_000_000_000),
        ("1969-12-31T23:59:59Z", -1_000_000_000),
    ],
)
def test_times_are_read_to_the_nanosecond(text, nanos):
    assert nanoseconds(text) == nanos
    assert nanoseconds(time_text(nanos)) == nanos
