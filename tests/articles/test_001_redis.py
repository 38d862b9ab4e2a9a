"""Article 001: Redis from Cloud Run, through a connector and then by Direct VPC egress; its Terraform part.

The network, the subnetworks and the instance are made by the requests that Terraform's google provider sent
for the article's configuration. The service is the article's small Flask program, written for the built-in
image: it counts its visitors in Redis.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.terraform_replay import Replay, recorded

from fogbank.testing import RunningRegion, end_region, fetch_servers, short_folder, start_region

REGION = "--region=asia-northeast1"
REQUESTS = recorded("terraform_001.jsonl")
NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
INSTANCE = (
    "https://redis.googleapis.com/v1/projects/demo/locations/asia-northeast1/instances/run-memory-cache"
)
PYTHON = str(Path(getattr(sys, "_base_executable", None) or sys.executable).resolve())
APP = """
import json, os
from fogbank.samples import probes
from fogbank.samples.web import SampleResponse, Server
def answer(request):
    if request.path != '/redis':
        return SampleResponse(json.dumps({'Hello': 'World'}))
    which = '' if 'REDISHOST' in os.environ else 'VPC_'
    host, port = os.environ[which + 'REDISHOST'], int(os.environ[which + 'REDISPORT'])
    found = probes.redis(host, port, 'INCR counter', 5)
    return SampleResponse(f"Visitor number: {found.get('reply', found)}")
Server(answer, int(os.environ['PORT'])).run()
"""

pytestmark = [pytest.mark.slow(60), pytest.mark.netns, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    fetch_servers("redis")
    region = start_region(short_folder(), "--ephemeral", "--region=asia-northeast1")
    try:
        yield Replay(region, REQUESTS)
    finally:
        end_region(region)


@pytest.fixture(scope="module")
def region(replay: Replay) -> RunningRegion:
    """The article's region, its service deployed and reached by nobody without a token."""
    replay.region.gcloud(
        *("run", "deploy", "run-service", f"--image={NETCHECK}", REGION, "--no-allow-unauthenticated"),
        *("--port=8080", f"--command={PYTHON}", f"--args=^~^-I~-S~-B~-c~{APP}"),
    )
    return replay.region


def url_of(region: RunningRegion) -> str:
    described = region.gcloud(
        "run", "services", "describe", "run-service", REGION, "--format=value(status.url)"
    )
    return described.stdout.strip()


def visit(region: RunningRegion, path: str = "/redis") -> str:
    token = region.gcloud("auth", "print-identity-token").stdout.strip()
    return region.curl(
        "--max-time", "30", "--header", f"Authorization: Bearer {token}", url_of(region) + path
    )


def test_the_article_from_the_second_plan_to_the_end(replay: Replay, region: RunningRegion) -> None:
    """Each part goes on from the one before, so they are one test."""
    a_second_plan_finds_nothing_to_change(replay)
    the_service_answers_with_a_token_and_to_nobody_else(region)
    visitors_are_counted_through_a_connector_and_on_by_direct_vpc_egress(region, replay)
    an_integration_connects_the_service_to_a_redis_of_its_own(region)
    a_service_with_a_way_into_a_network_takes_no_integration(region)
    what_terraform_made_it_takes_away(replay, region)


def a_second_plan_finds_nothing_to_change(replay: Replay) -> None:
    planned = replay.phase("plan")
    assert planned[INSTANCE] == replay.applied[INSTANCE]
    shown = planned[INSTANCE]
    assert (shown["authorizedNetwork"], shown["tier"]) == ("projects/demo/global/networks/run-vpc", "BASIC")


def the_service_answers_with_a_token_and_to_nobody_else(region: RunningRegion) -> None:
    assert visit(region, "/") == '{"Hello": "World"}'
    status = region.curl("-o", "/dev/null", "-w", "%{http_code}", url_of(region))
    assert status == "403"


def visitors_are_counted_through_a_connector_and_on_by_direct_vpc_egress(
    region: RunningRegion, replay: Replay
) -> None:
    region.gcloud(
        *("compute", "networks", "vpc-access", "connectors", "create", "run-connector", REGION),
        *(
            "--subnet=run-connector-subnet",
            "--min-instances=2",
            "--max-instances=3",
            "--machine-type=f1-micro",
        ),
    )
    instance = replay.read[INSTANCE]
    endpoint = f"VPC_REDISHOST={instance['host']},VPC_REDISPORT={instance['port']}"
    update = ("run", "services", "update", "run-service", REGION)
    region.gcloud(*update, "--vpc-connector=run-connector", f"--set-env-vars={endpoint}")
    assert visit(region) == "Visitor number: 1"
    region.gcloud(
        *update, "--clear-vpc-connector", "--network=run-vpc", "--subnet=run-direct-vpc-egress",
        "--vpc-egress=private-ranges-only",
    )  # fmt: skip
    assert visit(region) == "Visitor number: 2"


def an_integration_connects_the_service_to_a_redis_of_its_own(region: RunningRegion) -> None:
    integrations = ("run", "integrations")
    create = (
        *integrations,
        "create",
        "--type=redis",
        "--service=run-service",
        "--parameters=memory-size-gb=1",
    )
    update = ("run", "services", "update", "run-service", REGION)
    region.gcloud(*update, "--clear-vpc-connector", "--clear-network")
    printed = region.fogbank(*create)
    (made,) = json.loads(region.fogbank(*integrations, "list", "--format", "json"))
    assert f"[redis] integration [{made['name']}] has been created successfully." in printed
    assert (made["service"], made["region"], made["memorySizeGb"]) == ("run-service", "asia-northeast1", 1)
    assert visit(region) == "Visitor number: 1"
    instance = region.gcloud_json("redis", "instances", "describe", made["name"], REGION)
    assert (instance["authorizedNetwork"], instance["tier"]) == (
        "projects/demo/global/networks/default",
        "BASIC",
    )
    region.fogbank(*integrations, "delete", made["name"])
    service = region.gcloud_json("run", "services", "describe", "run-service", REGION)
    assert "REDISHOST" not in [
        each["name"] for each in service["spec"]["template"]["spec"]["containers"][0]["env"]
    ]
    assert region.fogbank(*integrations, "list", "--format", "json").strip() == "[]"


def a_service_with_a_way_into_a_network_takes_no_integration(region: RunningRegion) -> None:
    update = ("run", "services", "update", "run-service", REGION)
    region.gcloud(*update, "--vpc-connector=run-connector")
    with pytest.raises(AssertionError, match=r"Clear them first: .*--clear-vpc-connector"):
        region.fogbank("run", "integrations", "create", "--type=redis", "--service=run-service")
    assert region.fogbank("run", "integrations", "list", "--format", "json").strip() == "[]"


def what_terraform_made_it_takes_away(replay: Replay, region: RunningRegion) -> None:
    status, _ = replay.region.api("GET", INSTANCE)
    assert status == 200
    (deleted,) = (each for each in REQUESTS if each["method"] == "DELETE" and each["url"] == INSTANCE)
    replay.send("DELETE", deleted["url"], None)
    status, answer = region.api("GET", INSTANCE)
    assert (status, "was not found" in answer["error"]["message"]) == (404, True)
