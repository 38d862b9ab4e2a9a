"""gcloud run jobs, with the real gcloud and real containers: runs, failures, ways out, restarts."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.loaded_gcloud import LoadedGcloud, LoadedRegion

from fogbank.frontend.client_environment import applied
from fogbank.testing import RunningRegion

pytestmark = [pytest.mark.slow(20), pytest.mark.netns]

PLACE = "--region=asia-northeast3"
IMAGE = "--image=us-docker.pkg.dev/cloudrun/container/job"
JOBS, EXECUTIONS = ("run", "jobs"), ("run", "jobs", "executions")
YAML = """
apiVersion: run.googleapis.com/v1
kind: Job
metadata:
  name: fam-yaml
spec:
  template:
    spec:
      taskCount: 2
      template:
        spec:
          maxRetries: 0
          containers:
          - image: us-docker.pkg.dev/cloudrun/container/job
            env:
            - name: FAIL_RATE
              value: "1"
"""


@pytest.fixture
def region(region: RunningRegion, gcloud: LoadedGcloud) -> LoadedRegion:
    return LoadedRegion(region.name, region.home, region.environment, gcloud)


def newest(region: RunningRegion, job: str) -> str:
    listed = region.gcloud_json(*EXECUTIONS, "list", f"--job={job}", PLACE)
    name: str = listed[0]["metadata"]["name"]
    return name


def test_the_life_of_a_job(region: LoadedRegion, tmp_path: Path) -> None:
    created = region.gcloud(*JOBS, "create", "fam-job", IMAGE, PLACE, "--tasks=3", "--parallelism=2")
    assert "Job [fam-job] has successfully been created." in created.stderr.replace("\x1b[1m", "").replace(
        "\x1b[m", ""
    )
    region.gcloud(*JOBS, "update", "fam-job", PLACE, "--task-timeout=5m", "--max-retries=1")
    done = region.gcloud(*JOBS, "execute", "fam-job", PLACE, "--wait")
    assert "has successfully completed" in done.stderr
    one = newest(region, "fam-job")
    shown = region.gcloud_json(*EXECUTIONS, "describe", one, PLACE)
    assert (shown["spec"]["parallelism"], shown["status"]["succeededCount"]) == (2, 3)
    tasks = region.gcloud_json(*EXECUTIONS, "tasks", "list", f"--execution={one}", PLACE, "--succeeded")
    assert [each["status"].get("index", 0) for each in tasks] == [0, 1, 2]
    assert region.gcloud_json(*EXECUTIONS, "tasks", "list", f"--execution={one}", PLACE, "--failed") == []
    log = region.fogbank("logs", f"job/fam-job/{one}")
    assert all(f"Task {index} of 3, attempt 0: started" in log for index in range(3))
    region.gcloud(*EXECUTIONS, "delete", one, PLACE, "--quiet")
    assert one not in region.gcloud(*EXECUTIONS, "list", "--job=fam-job", PLACE).stdout
    member = ("--member=allUsers", "--role=roles/run.invoker")
    refused = region.gcloud(*JOBS, "add-iam-policy-binding", "fam-job", PLACE, *member, check=False)
    assert "Member allUsers is invalid due to membership type restrictions" in refused.stderr
    (tmp_path / "job.yaml").write_text(YAML)
    region.gcloud(*JOBS, "replace", str(tmp_path / "job.yaml"), PLACE)
    failed = region.gcloud(*JOBS, "execute", "fam-yaml", PLACE, "--wait", check=False)
    assert "The execution failed." in failed.stderr
    two = newest(region, "fam-yaml")
    told = region.gcloud_json(*EXECUTIONS, "describe", two, PLACE)["status"]["conditions"][0]
    assert told["reason"] == "NonZeroExitCode"
    assert told["message"].endswith(
        "failed with exit code: 1 and message: The container exited with an error."
    )
    listed = region.gcloud(*JOBS, "list", PLACE, "--format=value(metadata.name)").stdout.split()
    assert {"fam-job", "fam-yaml"} <= set(listed)
    for job in ("fam-job", "fam-yaml"):
        region.gcloud(*JOBS, "delete", job, PLACE, "--quiet")
    missing = region.gcloud(*JOBS, "describe", "fam-job", PLACE, check=False)
    assert "Cannot find job [fam-job]" in missing.stderr


def test_secrets_are_in_the_environment_and_in_files_of_a_task(region: LoadedRegion, tmp_path: Path) -> None:
    def version(secret: str, verb: tuple[str, ...], text: str) -> None:
        content = tmp_path / secret
        content.write_text(text)
        region.gcloud("secrets", *verb, secret, f"--data-file={content}")

    version("job-rate", ("create",), "0")
    version("job-config", ("create",), "blue")
    region.gcloud(
        *JOBS, "create", "fam-secret", IMAGE, PLACE, "--max-retries=0", "--args=file:///etc/app/config",
        "--set-secrets=FAIL_RATE=job-rate:latest,/etc/app/config=job-config:latest",
    )  # fmt: skip
    execute = (*JOBS, "execute", "fam-secret", PLACE, "--wait")
    assert region.gcloud(*execute, check=False).returncode != 0
    shown = region.gcloud_json(*EXECUTIONS, "describe", newest(region, "fam-secret"), PLACE)
    (completed,) = (each for each in shown["status"]["conditions"] if each["type"] == "Completed")
    assert "Permission denied on secret: " in completed["message"]
    account = shown["spec"]["template"]["spec"]["serviceAccountName"]
    for secret in ("job-rate", "job-config"):
        region.gcloud("secrets", "add-iam-policy-binding", secret, f"--member=serviceAccount:{account}",
                      "--role=roles/secretmanager.secretAccessor")  # fmt: skip
    assert "has successfully completed" in region.gcloud(*execute).stderr
    assert "/etc/app/config: blue" in region.fogbank("logs", "job/fam-secret")
    version("job-rate", ("versions", "add"), "1")
    assert region.gcloud(*execute, check=False).returncode != 0, "the newest version makes it fail"


def test_a_cancelled_execution_ends_its_containers_with_sigterm(region: LoadedRegion) -> None:
    region.gcloud(*JOBS, "create", "fam-long", IMAGE, PLACE, "--set-env-vars=SLEEP_MS=600000")
    region.gcloud(*JOBS, "execute", "fam-long", PLACE)
    one = newest(region, "fam-long")
    region.gcloud(*EXECUTIONS, "cancel", one, PLACE, "--quiet")
    shown = region.gcloud_json(*EXECUTIONS, "describe", one, PLACE)["status"]
    assert (shown["cancelledCount"], shown["conditions"][0]["reason"]) == (1, "Cancelled")
    assert "Received SIGTERM" in region.fogbank("logs", f"job/fam-long/{one}")
    region.gcloud(*JOBS, "delete", "fam-long", PLACE, "--quiet")


def test_an_attempt_that_takes_too_long_is_retried_and_the_clock_may_be_advanced(
    region: LoadedRegion,
) -> None:
    region.gcloud(*JOBS, "create", "fam-slow", IMAGE, PLACE, "--task-timeout=1h", "--max-retries=0",
                  "--set-env-vars=SLEEP_MS=600000")  # fmt: skip
    region.gcloud(*JOBS, "execute", "fam-slow", PLACE)
    one = newest(region, "fam-slow")
    region.fogbank("clock", "advance", "61m")
    body = {"name": f"projects/demo/locations/asia-northeast3/jobs/fam-slow/executions/{one}"}
    status, operation = region.api("POST", f"https://run.googleapis.com/v2/{body['name']}:cancel", {})
    assert status == 200
    url = f"https://run.googleapis.com/v2/{operation['name']}:wait"
    _, ended = region.api("POST", url, {"timeout": "20s"})
    assert ended["done"]
    log = region.fogbank("logs", f"job/fam-slow/{one}")
    assert "it has reached the maximum timeout of 3600 seconds" in log
    region.gcloud(*JOBS, "delete", "fam-slow", PLACE, "--quiet")


def test_a_job_leaves_by_its_connector_and_the_reserved_address(
    new_region: Callable[..., RunningRegion], gcloud: LoadedGcloud
) -> None:
    plain = new_region("--ephemeral")
    region = LoadedRegion(plain.name, plain.home, plain.environment, gcloud)
    region.gcloud("compute", "addresses", "create", "out", PLACE)
    address = region.gcloud_json("compute", "addresses", "describe", "out", PLACE)["address"]
    region.gcloud("compute", "networks", "vpc-access", "connectors", "create", "out", PLACE,
                  "--network=default", "--range=10.8.0.0/28")  # fmt: skip
    region.gcloud("compute", "routers", "create", "out", PLACE, "--network=default")
    region.gcloud("compute", "routers", "nats", "create", "out", "--router=out", PLACE,
                  "--nat-external-ip-pool=out", "--nat-all-subnet-ip-ranges")  # fmt: skip
    region.gcloud(*JOBS, "create", "out", IMAGE, PLACE, "--args=http://ifconfig.me", "--vpc-connector=out",
                  "--vpc-egress=all-traffic")  # fmt: skip
    region.gcloud(*JOBS, "execute", "out", PLACE, "--wait")
    (seen,) = region.site_access_log("ifconfig.me")
    assert seen["sourceIp"] == address
    region.gcloud(*JOBS, "update", "out", PLACE, "--clear-vpc-connector")
    region.gcloud(*JOBS, "execute", "out", PLACE, "--wait")
    assert region.site_access_log("ifconfig.me")[-1]["sourceIp"] != address
    region.gcloud(*JOBS, "update", "out", PLACE, "--network=default", "--subnet=default",
                  "--vpc-egress=all-traffic")  # fmt: skip
    region.gcloud(*JOBS, "execute", "out", PLACE, "--wait")
    assert region.site_access_log("ifconfig.me")[-1]["sourceIp"] == address


def test_an_execution_goes_on_after_kill_9(
    new_region: Callable[..., RunningRegion], gcloud: LoadedGcloud
) -> None:
    plain = new_region()
    region = LoadedRegion(plain.name, plain.home, plain.environment, gcloud)
    region.gcloud(*JOBS, "create", "on", IMAGE, PLACE, "--tasks=2", "--parallelism=1", "--max-retries=0",
                  "--set-env-vars=SLEEP_MS=2000")  # fmt: skip
    region.gcloud(*JOBS, "execute", "on", PLACE)
    one = newest(region, "on")
    os.kill(json.loads(plain.fogbank("status", "--format", "json"))["pid"], signal.SIGKILL)
    plain.fogbank("up", "--detach", "--port", "0")
    environment = applied(json.loads(plain.fogbank("env", "--format", "json")), os.environ)
    region = LoadedRegion(plain.name, plain.home, environment, gcloud)
    deadline = time.monotonic() + 30
    while (
        "completionTime" not in (shown := region.gcloud_json(*EXECUTIONS, "describe", one, PLACE))["status"]
    ):
        assert time.monotonic() < deadline, shown
    assert shown["status"]["succeededCount"] == 2
