"""After kill -9 the blocks of Direct VPC egress are there, and services have their addresses again."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from fogbank.frontend.client_environment import applied
from fogbank.testing import RunningRegion, end_region, short_folder, start_region

pytestmark = [pytest.mark.netns, pytest.mark.slow(8)]

AN3 = "asia-northeast3"
COMPUTE = f"https://compute.googleapis.com/compute/v1/projects/demo/regions/{AN3}"
RUN = f"https://run.googleapis.com/v2/projects/demo/locations/{AN3}/services"


@pytest.fixture
def region() -> Iterator[RunningRegion]:
    """Return a region that keeps its state."""
    region = start_region(short_folder())
    yield region
    end_region(region)


def addresses(region: RunningRegion) -> list[tuple[str, str]]:
    _, listed = region.api("GET", f"{COMPUTE}/addresses")
    return [(each["name"], each["address"]) for each in listed.get("items", ())]


def source(region: RunningRegion, url: str) -> str:
    """Have the service connect somewhere, and tell from which address."""
    answer = json.loads(region.curl(f"{url}/egress?url=http://10.8.0.60&timeout=0.3"))
    assert answer["error"] == "timeout"
    shown = region.fogbank("trace", "run/web", "http://10.8.0.60")
    return next(word for line in shown.splitlines() for word in line.split() if word.startswith("10.8.0.1"))


def test_after_kill_9_a_service_has_its_address_again(region: RunningRegion) -> None:
    subnetwork = {"name": "direct", "network": "global/networks/default", "ipCidrRange": "10.8.0.0/24"}
    assert region.api("POST", f"{COMPUTE}/subnetworks", subnetwork)[0] == 200
    access = {"networkInterfaces": [{"network": "default", "subnetwork": "direct"}]}
    template = {
        "containers": [{"image": "us-docker.pkg.dev/fogbank/samples/netcheck"}],
        "vpcAccess": access,
        "scaling": {"minInstanceCount": 2},
    }
    body = {"template": template, "invokerIamDisabled": True}
    status, answer = region.api("POST", f"{RUN}?serviceId=web", body)
    assert status == 200, answer
    region.gcloud("run", "services", "update-traffic", "web", "--to-latest", f"--region={AN3}")
    url = region.api("GET", f"{RUN}/web")[1]["uri"]
    blocks, before = addresses(region), source(region, url)
    assert [address for _, address in blocks] == ["10.8.0.16"]
    os.kill(int(json.loads(region.fogbank("status", "--format", "json"))["pid"]), signal.SIGKILL)
    region.fogbank("up", "--detach", "--port", "0", timeout=60)
    region.environment = applied(json.loads(region.fogbank("env", "--format", "json")), os.environ)
    region.curl("--retry", "5", "--retry-all-errors", f"{url}/")
    assert addresses(region) == blocks
    assert source(region, url) in {before, "10.8.0.16", "10.8.0.18"}
    (row,) = json.loads(region.fogbank("status", "--format", "json"))["subnetworks"]
    assert row["blocks"] == 1
    status, answer = region.api("DELETE", f"{COMPUTE}/subnetworks/direct")
    while answer.get("status") != "DONE":
        _, answer = region.api("POST", f"{COMPUTE}/operations/{answer['name']}/wait")
    assert blocks[0][0] in json.dumps(answer["error"])
