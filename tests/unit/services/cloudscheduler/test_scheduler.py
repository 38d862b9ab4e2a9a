"""Cloud Scheduler's jobs: what is accepted and refused, when they are due, and what becomes of attempts."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cloud_calls import ME, PLACE, PROJECT, Cloud
from tests.lowered import compiler
from tests.no_data import NO_DATA
from tests.unit.services.run.controller.test_tasks import Machine, eventually

from fogbank.clock import Clock
from fogbank.control.controller import Runtime
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.control.outgoing import AccessToken, IdToken, OutgoingRequest
from fogbank.resources.decisions import Decision
from fogbank.resources.projects import compute_account, project_number
from fogbank.resources.scheduler import due_jobs, due_time, job_name
from fogbank.resources.world import Delete, Put, Resource
from fogbank.services.cloudscheduler import SERVICE
from fogbank.services.cloudscheduler.attempts import Outcome, attempted, backoff, code_of, occasion_of
from fogbank.services.cloudscheduler.controller import SchedulerController, request_of
from fogbank.services.cloudscheduler.schedule import MOST_MISSED, catch_up, next_time
from fogbank.store.journal import Journal
from fogbank.store.store import Store

JOBS = "cloudscheduler.v1.projects.locations.jobs"
NAME = f"{PLACE}/jobs/sync"
GET_WITH_BODY = {"uri": "http://a", "httpMethod": "GET", "body": "eA=="}
AS_STRANGER = {"uri": "http://a", "oidcToken": {"serviceAccountEmail": "x@y"}}


def job(uri="https://app.example/x", **fields):
    body = {"name": NAME, "schedule": "*/5 * * * *", "httpTarget": {"uri": uri}}
    return body | fields


class Scheduler(Cloud):
    """Cloud Scheduler in one region."""

    def create(self, body=None):
        return self(f"{JOBS}.create", body or job(), parent=PLACE)

    def call(self, method, body=None, **parameters):
        return self(f"{JOBS}.{method}", body, name=NAME, **parameters)

    def stored(self):
        return self.world.get(job_name(PROJECT, NAME.split("/")[3], "sync"))

    def account(self):
        return compute_account(project_number(self.world, PROJECT))


@pytest.fixture
def cloud():
    made = Scheduler()
    made.create()
    return made


def test_a_job_is_filled_with_googles_defaults(cloud):
    made = cloud.call("get")
    assert made["attemptDeadline"] == "180s"
    assert made["httpTarget"] == {
        "uri": "https://app.example/x",
        "httpMethod": "POST",
        "headers": {"User-Agent": "Google-Cloud-Scheduler"},
    }
    assert "retryConfig" not in made
    assert cloud.call("patch", job(retryConfig={"retryCount": 1}))["retryConfig"] == {
        "retryCount": 1,
        "maxRetryDuration": "0s",
        "minBackoffDuration": "5s",
        "maxBackoffDuration": "3600s",
        "maxDoublings": 5,
    }
    assert (made["state"], made["timeZone"]) == ("ENABLED", "Etc/UTC")
    assert made["scheduleTime"] == "2026-11-22T01:05:00.000000Z"


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        (job(schedule="* * * *"), "INVALID_ARGUMENT", "Schedule or time zone is invalid."),
        (job(schedule="0 0 30 2 *"), "INVALID_ARGUMENT", "Schedule or time zone is invalid."),
        (job(schedule="0 * * * * *"), "INVALID_ARGUMENT", "Schedule or time zone is invalid."),
        (job(timeZone="Mars/Base"), "INVALID_ARGUMENT", "Schedule or time zone is invalid."),
        (job(timeZone="../../etc/passwd"), "INVALID_ARGUMENT", "Schedule or time zone is invalid."),
        (job(schedule="every 5 minutes"), "UNIMPLEMENTED", "in English"),
        (job(uri="ftp://x"), "INVALID_ARGUMENT", "HTTP or HTTPS"),
        (job(uri="http://a b"), "INVALID_ARGUMENT", "HTTP or HTTPS"),
        (job(attemptDeadline="14s"), "INVALID_ARGUMENT", "attempt deadline"),
        (job(retryConfig={"retryCount": 6}), "INVALID_ARGUMENT", "retryCount"),
        (job(httpTarget=GET_WITH_BODY), "INVALID_ARGUMENT", "body"),
        (job(httpTarget={"uri": "http://a", "headers": {"a b": "c"}}), "INVALID_ARGUMENT", "headers"),
        (job(pubsubTarget={"topicName": "t"}), "UNIMPLEMENTED", "Pub/Sub"),
        (job(appEngineHttpTarget={"relativeUri": "/"}), "UNIMPLEMENTED", "App Engine"),
        (job(httpTarget=AS_STRANGER), "PERMISSION_DENIED", "x@y"),
    ],
)  # fmt: skip
def test_what_could_not_run_is_refused(changed, status, said):
    refusal = Scheduler().refused(f"{JOBS}.create", changed, parent=PLACE)
    assert (refusal.status, said in refusal.message) == (status, True)


def test_a_job_sends_its_headers_its_body_and_its_token():
    cloud = Scheduler()
    token = {"oidcToken": {"serviceAccountEmail": cloud.account()}}
    cloud.create(job(httpTarget={"uri": "https://a/b", "body": "eA==", "headers": {"X-A": "1"}, **token}))
    stored = cloud.stored()
    assert stored.body["httpTarget"]["oidcToken"]["audience"] == "https://a/b"
    sent = request_of(stored, occasion_of(stored, cloud.now))
    assert (sent.method, sent.body, sent.seconds) == ("POST", b"x", 180.0)
    assert sent.token == IdToken(cloud.account(), "https://a/b")
    assert dict(sent.headers) == {
        "X-A": "1", "User-Agent": "Google-Cloud-Scheduler", "Content-Type": "application/octet-stream",
        "X-CloudScheduler": "true", "X-CloudScheduler-JobName": "sync",
        "X-CloudScheduler-ScheduleTime": "2026-11-22T01:05:00.000000Z",
    }  # fmt: skip
    oauth = {"oauthToken": {"serviceAccountEmail": cloud.account()}}
    cloud.call("patch", job(httpTarget={"uri": "https://run.googleapis.com/", **oauth}))
    sent = request_of(cloud.stored(), occasion_of(cloud.stored(), cloud.now))
    assert sent.token == AccessToken(cloud.account(), ("https://www.googleapis.com/auth/cloud-platform",))


def test_a_mask_changes_only_what_it_names(cloud):
    changed = cloud.call(
        "patch", {"schedule": "0 3 * * *", "httpTarget": {"uri": "https://b"}},
        updateMask="schedule,httpTarget.uri",
    )  # fmt: skip
    assert (changed["schedule"], changed["httpTarget"]["uri"]) == ("0 3 * * *", "https://b")
    assert changed["attemptDeadline"] == "180s"
    assert changed["scheduleTime"] == "2026-11-22T03:00:00.000000Z"


def test_a_paused_job_is_due_for_nobody_but_a_person(cloud):
    late = cloud.now + timedelta(hours=1)
    cloud.call("pause", {})
    assert list(due_jobs(cloud.world, late)) == []
    cloud.call("run", {})
    assert [each.name.id for each in due_jobs(cloud.world, late)] == ["sync"]
    stored = attempted(cloud.stored(), occasion_of(cloud.stored(), late), Outcome(0, late, late))
    assert due_time(stored) is None
    cloud.make([Put(stored)])
    cloud.now = late
    resumed = cloud.call("resume", {})
    assert (resumed["state"], resumed["scheduleTime"]) == ("ENABLED", "2026-11-22T02:05:00.000000Z")
    assert cloud.call("resume", {}) == resumed


def test_jobs_are_listed_and_deleted(cloud):
    assert [each["name"] for each in cloud(f"{JOBS}.list", parent=PLACE)] == [NAME]
    assert cloud.refused(f"{JOBS}.create", job(), parent=PLACE).code == 409
    cloud.call("delete")
    assert cloud.refused(f"{JOBS}.get", name=NAME).message == "Job not found."


def test_a_caller_needs_the_permission_to_act_as_the_account():
    cloud = Scheduler()
    cloud.bind(PROJECT, "roles/cloudscheduler.admin", "user:plain@example.com")
    body = job(httpTarget={"uri": "http://a", "oidcToken": {"serviceAccountEmail": cloud.account()}})
    cloud.caller = "plain@example.com"
    refusal = cloud.refused(f"{JOBS}.create", body, parent=PLACE)
    assert refusal.status == "PERMISSION_DENIED"
    cloud.bind(PROJECT, "roles/owner", f"user:{ME}")
    cloud.caller = ME
    cloud.create(body)


@pytest.mark.parametrize(
    ("zone", "after", "expected"),
    [
        ("Asia/Tokyo", "2026-11-22T00:00:00+00:00", "2026-11-22T18:00:00+00:00"),
        ("America/New_York", "2026-03-07T12:00:00+00:00", "2026-03-08T07:00:00+00:00"),
        ("utc", "2026-11-22T03:00:00+00:00", "2026-11-23T03:00:00+00:00"),
    ],
)
def test_a_schedule_is_read_in_its_time_zone(zone, after, expected):
    assert next_time("0 3 * * *", zone, datetime.fromisoformat(after)).isoformat() == expected


@given(st.integers(1, 100_000))
def test_the_last_ten_missed_runs_are_made_up_for(minutes):
    due = datetime(2026, 11, 22, 1, 5, tzinfo=UTC)
    now = due + timedelta(minutes=minutes)
    first = catch_up("*/5 * * * *", "UTC", due, now)
    assert due <= first <= now
    missed = (now - first) // timedelta(minutes=5) + 1
    assert missed <= MOST_MISSED
    assert first == due or missed >= MOST_MISSED - 1


def test_codes_are_those_of_google_rpc():
    assert [code_of(each) for each in (200, 204, 301, 400, 401, 403, 404, 429, 500, 503, 504, 599)] == [
        0, 0, 2, 3, 16, 7, 5, 8, 13, 14, 4, 13,
    ]  # fmt: skip


def test_a_failed_run_is_tried_again_after_growing_pauses_and_then_waits_for_its_schedule(cloud):
    cloud.call("patch", job(retryConfig={"retryCount": 2}))
    stored, now, pauses = cloud.stored(), datetime(2026, 11, 22, 1, 5, tzinfo=UTC), []
    for _ in range(3):
        stored = attempted(stored, occasion_of(stored, now), Outcome(13, now, now))
        at = due_time(stored)
        assert at is not None
        pauses.append((at - now).total_seconds())
        now = at
    assert pauses[:2] == [5, 10]
    assert stored.body["scheduleTime"] == "2026-11-22T01:10:00.000000Z"
    assert "retry" not in stored.private
    assert stored.body["status"] == {"code": 13}
    well = attempted(stored, occasion_of(stored, now), Outcome(0, now, now))
    assert well.body["status"] == {}


def test_pauses_double_grow_linearly_and_end_at_the_maximum(cloud):
    config = {"minBackoffDuration": "10s", "maxBackoffDuration": "300s", "maxDoublings": 3}
    cloud.call("patch", job(retryConfig=config))
    assert [backoff(cloud.stored(), count) for count in range(8)] == [10, 20, 40, 80, 160, 240, 300, 300]


class Region:
    """A store and the controller, whose requests the test answers."""

    def __init__(self, folder: Path) -> None:
        self.cloud, self.clock = Scheduler(), Clock()
        self.store = Store(Journal(folder / "world.sqlite"))
        loop = ControlLoop(self.store, Machine(), compiler(), (SERVICE,), self.clock)  # type: ignore[arg-type]
        self.logbook = Logbook(folder / "log.jsonl", self.clock)
        runtime = Runtime(
            self.store, loop, Machine(), self.clock, self.logbook, lambda _image, _project: "",  # type: ignore[arg-type]
            NO_DATA, outgoing=self.send,
        )  # fmt: skip
        self.controller = SchedulerController(runtime)
        self.sent: list[OutgoingRequest] = []
        self.answers: list[int | Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, request: OutgoingRequest) -> int:
        self.sent.append(request)
        await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def create(self, **fields: object) -> None:
        self.cloud.now = self.clock.now()
        self.cloud.create(job(**fields))
        members = self.cloud.world.collections.values()
        await self.store.commit(
            lambda _world: Decision(tuple(Put(r) for each in members for r in each.values()))
        )

    def stored(self) -> Resource:
        (found,) = self.store.world.all("cloudscheduler.jobs")
        return found

    def advance(self, **time: float) -> None:
        self.clock.advance(timedelta(**time))
        self.controller.reconcile()

    async def close(self) -> None:
        await self.store.close()
        self.logbook.close()


async def test_time_that_is_skipped_sends_what_became_due_one_after_another(tmp_path: Path) -> None:
    region = Region(tmp_path)
    await region.create(schedule="0 * * * *")
    region.advance(hours=3)
    await eventually(lambda: len(region.sent) == 3)
    times = [request.headers["X-CloudScheduler-ScheduleTime"] for request in region.sent]
    assert times == sorted(set(times))
    await eventually(lambda: region.stored().body["scheduleTime"] > times[-1])
    assert region.stored().body["status"] == {}
    await region.close()


async def test_an_execution_does_not_begin_before_the_one_before_has_ended(tmp_path: Path) -> None:
    region = Region(tmp_path)
    await region.create(schedule="0 * * * *")
    region.gate.clear()
    region.advance(hours=1)
    await eventually(lambda: len(region.sent) == 1)
    region.advance(hours=1)
    assert len(region.sent) == 1
    region.gate.set()
    await eventually(lambda: len(region.sent) == 2)
    await eventually(lambda: "status" in region.stored().body)
    await region.close()


@pytest.mark.parametrize(("answer", "code"), [(TimeoutError(), 4), (OSError("gone"), 14), (403, 7)])
async def test_what_fails_shows_its_code(tmp_path: Path, answer: int | Exception, code: int) -> None:
    region = Region(tmp_path)
    region.answers.append(answer)
    await region.create(schedule="0 0 1 1 *")
    region.cloud.world = region.store.world
    region.cloud.call("run", {})
    forced = region.cloud.stored()
    await region.store.commit(lambda _world: Decision((Put(forced),)))
    await eventually(lambda: region.stored().body.get("status") == {"code": code})
    assert "forced" not in region.stored().private
    await region.close()


async def test_a_job_that_is_deleted_while_it_runs_stays_deleted(tmp_path: Path) -> None:
    region = Region(tmp_path)
    await region.create(schedule="0 * * * *")
    region.gate.clear()
    region.advance(hours=1)
    await eventually(lambda: len(region.sent) == 1)
    await region.store.commit(
        lambda _world: Decision((Delete(job_name(PROJECT, NAME.split("/")[3], "sync")),))
    )
    region.gate.set()
    await eventually(lambda: any(line == "scheduler/sync" for line in region.logbook.names()))
    assert list(region.store.world.all("cloudscheduler.jobs")) == []
    await region.close()
