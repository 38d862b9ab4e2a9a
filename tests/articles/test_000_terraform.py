"""Article 000 as Terraform builds it: the requests of the google provider, recorded and sent again.

``recorded/terraform_000.jsonl`` holds what provider google 7 sent for the tutorial's ``main.tf``: apply, a
second plan, destroy. Reads of operations are left out, because here each write is awaited. ``$latest`` stands
for the etag or fingerprint that the resource had last.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fogbank.testing import RunningRegion, end_region, short_folder, start_region

RECORDED = Path(__file__).parent / "recorded" / "terraform_000.jsonl"
REQUESTS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
SERVICE = "https://run.googleapis.com/v2/projects/demo/locations/asia-northeast3/services/production"
ADDRESS = "https://compute.googleapis.com/compute/v1/projects/demo/regions/asia-northeast3/addresses/cloud-run-origin-ip"
MARKS = ("etag", "labelFingerprint", "fingerprint")

pytestmark = [pytest.mark.slow(12), pytest.mark.netns]


class Replay:
    """Sends recorded requests, and keeps what each read answered: in ``apply``, and last of all."""

    def __init__(self, region: RunningRegion) -> None:
        self.region = region
        self.read: dict[str, Any] = {}
        self.applied = self.phase("apply")

    def phase(self, name: str) -> dict[str, Any]:
        """Send the requests of a phase; give what its reads answered, by address."""
        read = {}
        for request in REQUESTS:
            if request["phase"] == name:
                answer = self.send(request["method"], request["url"], request.get("body"))
                if request["method"] == "GET":
                    read[request["url"]] = self.read[resource_of(request["url"])] = answer
        return read

    def send(self, method: str, url: str, body: Any) -> Any:
        status, answer = self.region.api(method, url, self._filled(body, self.read.get(resource_of(url), {})))
        assert status == 200, (method, url, answer)
        if method != "GET" and ":setIamPolicy" not in url:
            self._await(url, answer)
        return answer

    def _filled(self, value: Any, known: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: known[key] if key in MARKS and inner == "$latest" else self._filled(inner, known)
                for key, inner in value.items()
            }
        return [self._filled(each, known) for each in value] if isinstance(value, list) else value

    def _await(self, url: str, operation: Any) -> None:
        where = urlsplit(url)
        version = where.path.split("/")[1]
        polled = operation.get("selfLink") or f"https://{where.netloc}/{version}/{operation['name']}"
        deadline = time.monotonic() + 30
        while not (operation.get("done") or operation.get("status") == "DONE"):
            assert time.monotonic() < deadline, operation
            time.sleep(0.05)
            status, operation = self.region.api("GET", polled)
            assert status == 200, operation
        assert "error" not in operation, operation


def resource_of(url: str) -> str:
    """Name what a request is about, without a method of its own (``/setLabels``, ``:setIamPolicy``)."""
    policy = ":getIamPolicy" if "IamPolicy" in url else ""
    return (
        url.partition("?")[0].removesuffix("/setLabels").partition(":setIam")[0].removesuffix(policy) + policy
    )


DERIVED = {"subnetworks", "users", "status", "connectedProjects"}
"""Fields that follow from resources that were made later."""


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    region = start_region(short_folder(), "--ephemeral")
    try:
        replay = Replay(region)
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
