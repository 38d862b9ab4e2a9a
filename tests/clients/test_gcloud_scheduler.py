"""Cloud Scheduler with the real gcloud: the life of a job, and who may call what."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedGcloud, LoadedRegion

from fogbank.testing import RunningRegion

pytestmark = [pytest.mark.slow(25), pytest.mark.netns]

AN1 = "asia-northeast1"
IN, AT = f"--region={AN1}", f"--location={AN1}"
JOBS = ("scheduler", "jobs")
ACCOUNT = "syncer@demo.iam.gserviceaccount.com"


@pytest.fixture
def region(new_region: Callable[..., RunningRegion], gcloud: LoadedGcloud) -> LoadedRegion:
    """Start a region of its own: its clock is advanced."""
    plain = new_region("--ephemeral")
    return LoadedRegion(plain.name, plain.home, plain.environment, gcloud)


def described(region: RunningRegion, job: str) -> Any:
    return region.gcloud_json(*JOBS, "describe", job, AT)


def attempted(region: RunningRegion, job: str) -> Any:
    """Run a job now; give it as it is after the attempt."""
    before = described(region, job).get("lastAttemptTime")
    region.gcloud(*JOBS, "run", job, AT)
    deadline = time.monotonic() + 20
    while (shown := described(region, job)).get("lastAttemptTime") == before:
        assert time.monotonic() < deadline, shown
    return shown


def test_the_life_of_a_job(region: LoadedRegion) -> None:
    region.gcloud(*JOBS, "create", "http", "fam", AT, "--schedule=*/10 * * * *", "--uri=http://ifconfig.me/",
                  "--http-method=GET", "--headers=X-Team=a", "--time-zone=Asia/Tokyo")  # fmt: skip
    assert attempted(region, "fam")["status"] == {}
    (seen,) = region.site_access_log("ifconfig.me")
    assert (seen["method"], seen["path"], seen["sourceIp"]) == ("GET", "/", "192.0.2.1")
    changed = region.gcloud_json(*JOBS, "update", "http", "fam", AT, "--uri=http://nobody.example/",
                                 "--max-retry-attempts=1", "--description=d")  # fmt: skip
    assert (changed["httpTarget"]["uri"], changed["description"]) == ("http://nobody.example/", "d")
    assert changed["httpTarget"]["headers"]["X-Team"] == "a"
    assert attempted(region, "fam")["status"] == {"code": 14}
    region.gcloud(*JOBS, "pause", "fam", AT)
    region.fogbank("clock", "advance", "1h")
    listed = region.gcloud_json(*JOBS, "list", AT)
    assert [each["state"] for each in listed] == ["PAUSED"]
    assert "code 14" in region.fogbank("logs", "scheduler/fam")
    region.gcloud(*JOBS, "resume", "fam", AT)
    assert described(region, "fam")["state"] == "ENABLED"
    region.gcloud(*JOBS, "delete", "fam", AT, "--quiet")
    assert "Job not found." in region.gcloud(*JOBS, "describe", "fam", AT, check=False).stderr


def test_a_schedule_may_not_call_a_private_service_without_its_role(region: LoadedRegion) -> None:
    shown = region.gcloud_json(
        "run", "deploy", "sync", "--image=us-docker.pkg.dev/fogbank/samples/netcheck", IN,
        "--ingress=internal", "--no-allow-unauthenticated",
    )  # fmt: skip
    url = shown["status"]["url"]
    region.gcloud("iam", "service-accounts", "create", "syncer")
    target = (f"--uri={url}/info", "--http-method=GET", AT)
    token = (f"--oidc-service-account-email={ACCOUNT}", f"--oidc-token-audience={url}")
    region.gcloud(*JOBS, "create", "http", "sync", "--schedule=0 * * * *", *target, *token)
    assert attempted(region, "sync")["status"] == {"code": 7}, "its account may not invoke the service yet"
    region.gcloud("run", "services", "add-iam-policy-binding", "sync", IN, "--role=roles/run.invoker",
                  f"--member=serviceAccount:{ACCOUNT}")  # fmt: skip
    region.gcloud(*JOBS, "create", "http", "bare", "--schedule=0 0 1 1 *", *target)
    assert attempted(region, "bare")["status"] == {"code": 7}, "without a token"
    assert attempted(region, "sync")["status"] == {}
    before = described(region, "sync")["lastAttemptTime"]
    region.fogbank("clock", "advance", "1h")
    deadline = time.monotonic() + 40
    while (shown := described(region, "sync"))["lastAttemptTime"] == before:
        assert time.monotonic() < deadline, shown
    assert shown["status"] == {}, "on schedule"
    body = json.loads(region.curl("-o", "/dev/null", "-w", '{"status": %{http_code}}', f"{url}/info"))
    assert body["status"] == 404, "the service is internal"


def test_a_schedule_runs_a_job_by_an_access_token(region: LoadedRegion) -> None:
    region.gcloud("iam", "service-accounts", "create", "syncer")
    region.gcloud("run", "jobs", "create", "nightly", "--image=us-docker.pkg.dev/cloudrun/container/job", IN)
    region.gcloud("run", "jobs", "add-iam-policy-binding", "nightly", IN, "--role=roles/run.invoker",
                  f"--member=serviceAccount:{ACCOUNT}")  # fmt: skip
    uri = f"https://{AN1}-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/demo/jobs/nightly:run"
    region.gcloud(*JOBS, "create", "http", "nightly", AT, "--schedule=0 3 * * *", f"--uri={uri}",
                  "--http-method=POST", f"--oauth-service-account-email={ACCOUNT}")  # fmt: skip
    assert attempted(region, "nightly")["status"] == {}
    (execution,) = region.gcloud_json("run", "jobs", "executions", "list", "--job=nightly", IN)
    assert execution["metadata"]["annotations"]["run.googleapis.com/creator"] == ACCOUNT
