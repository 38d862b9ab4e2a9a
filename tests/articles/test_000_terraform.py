"""Article 000 as Terraform builds it: the requests of the google provider, recorded and sent again.

The configuration is the tutorial's ``main.tf``.
"""

import json
from collections.abc import Iterator

import pytest
from tests.terraform_replay import Replay, recorded

from fogbank.testing import end_region, short_folder, start_region

REQUESTS = recorded("terraform_000.jsonl")
SERVICE = "https://run.googleapis.com/v2/projects/demo/locations/asia-northeast3/services/production"
ADDRESS = "https://compute.googleapis.com/compute/v1/projects/demo/regions/asia-northeast3/addresses/cloud-run-origin-ip"

pytestmark = [pytest.mark.slow(12), pytest.mark.netns]


DERIVED = {"subnetworks", "users", "status", "connectedProjects"}
"""Fields that follow from resources that were made later."""


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    region = start_region(short_folder(), "--ephemeral")
    try:
        replay = Replay(region, REQUESTS)
        yield replay
        replay.phase("destroy")
        status, _ = region.api("GET", ADDRESS)
        assert status == 404
    finally:
        end_region(region)


def test_the_second_plan_reads_what_the_first_apply_left(replay: Replay) -> None:
    planned = replay.phase("plan")
    assert planned.keys() <= replay.applied.keys()
    for url, answer in planned.items():
        applied = replay.applied[url]
        fields = (answer.keys() | applied.keys()) - DERIVED
        assert {f: answer.get(f) for f in fields} == {f: applied.get(f) for f in fields}, url


def test_what_was_asked_is_what_is_shown(replay: Replay) -> None:
    """Terraform plans a change for every field that an answer shows and nobody asked for, or otherwise."""
    (asked,) = (r["body"] for r in REQUESTS if r["method"] == "POST" and "serviceId=production" in r["url"])
    template = replay.phase("plan")[SERVICE]["template"]
    assert template["vpcAccess"] == asked["template"]["vpcAccess"]
    assert template["containers"][0]["image"] == asked["template"]["containers"][0]["image"]
    assert "executionEnvironment" not in template


def test_the_packet_carries_the_reserved_address(replay: Replay) -> None:
    url, address = replay.read[SERVICE]["uri"], replay.read[ADDRESS]["address"]
    answer = json.loads(
        replay.region.curl("--max-time", "40", f"{url}/egress?url=http://ifconfig.me&timeout=5")
    )
    assert (answer["ok"], answer["body"].strip()) == (True, address), answer
