"""A region as of the preview of Direct VPC egress: what it refused, and that no NAT served it."""

import json
from collections.abc import Callable

import pytest

from fogbank.testing import RunningRegion

pytestmark = [pytest.mark.netns, pytest.mark.slow(10)]

AN3 = "asia-northeast3"
COMPUTE = f"https://compute.googleapis.com/compute/v1/projects/demo/regions/{AN3}"
RUN = f"https://run.googleapis.com/v2/projects/demo/locations/{AN3}/services"


def test_in_august_2023_it_wants_beta_and_no_third_party_answers(
    new_region: Callable[..., RunningRegion],
) -> None:
    region = new_region("--ephemeral", "--as-of", "2023-08-24")
    subnetwork = {"name": "direct", "network": "global/networks/default", "ipCidrRange": "10.8.0.0/24"}
    nat = {
        "name": "nat",
        "natIpAllocateOption": "AUTO_ONLY",
        "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
    }
    for collection, body in (
        ("subnetworks", subnetwork),
        ("routers", {"name": "router", "network": "global/networks/default", "nats": [nat]}),
    ):
        status, answer = region.api("POST", f"{COMPUTE}/{collection}", body)
        assert status == 200, answer
    access = {"networkInterfaces": [{"network": "default", "subnetwork": "direct"}], "egress": "ALL_TRAFFIC"}
    template = {"containers": [{"image": "us-docker.pkg.dev/fogbank/samples/netcheck"}], "vpcAccess": access}
    service = {"template": template, "invokerIamDisabled": True}
    status, answer = region.api("POST", f"{RUN}?serviceId=web", service)
    assert status == 400
    assert "is not supported in the declared launch stage" in answer["error"]["message"]
    status, answer = region.api("POST", f"{RUN}?serviceId=web", {**service, "launchStage": "BETA"})
    assert status == 200, answer
    region.gcloud("run", "services", "update-traffic", "web", "--to-latest", f"--region={AN3}")
    url = region.api("GET", f"{RUN}/web")[1]["uri"]
    answer = json.loads(region.curl(f"{url}/egress?url=http://ifconfig.me&timeout=1"))
    assert answer["error"] == "timeout"


@pytest.mark.parametrize("date", ["yesterday", "2019-01-01"])
def test_a_date_that_is_none_or_too_early_is_refused(date: str, tmp_path) -> None:
    region = RunningRegion("never", tmp_path)
    with pytest.raises(AssertionError, match="--as-of"):
        region.fogbank("up", "--detach", "--as-of", date)
