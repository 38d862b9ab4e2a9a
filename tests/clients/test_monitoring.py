"""What Cloud NAT and connectors measure: the kernel's own figures, by the monitoring API."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from fogbank.testing import RunningRegion

NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
PLACE = "--region=asia-northeast3"

pytestmark = [pytest.mark.slow(15), pytest.mark.netns]


@pytest.fixture
def region(new_region: Callable[..., RunningRegion]) -> RunningRegion:
    """A region of its own: others have gateways, connectors and days that would be counted, too."""
    return new_region("--ephemeral")


def series(region: RunningRegion, metric: str) -> list[dict[str, Any]]:
    """Ask for a metric's series until there are some."""
    now = datetime.now(UTC)  # other tests of the region may have had days pass on its clock
    interval = {
        "interval.startTime": (now - timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        "interval.endTime": (now + timedelta(days=30)).isoformat().replace("+00:00", "Z"),
    }
    query = urlencode({"filter": f'metric.type="{metric}"', **interval})
    end = time.monotonic() + 30
    while True:
        url = f"https://monitoring.googleapis.com/v3/projects/demo/timeSeries?{query}"
        status, answer = region.api("GET", url)
        assert status == 200, answer
        if "timeSeries" in answer or time.monotonic() > end:
            found: list[dict[str, Any]] = answer.get("timeSeries", [])
            return found
        time.sleep(0.1)


def newest(found: dict[str, Any]) -> Any:
    return next(iter(found["points"][0]["value"].values()))


def sent_bytes(region: RunningRegion) -> int:
    (sent,) = series(region, "vpcaccess.googleapis.com/connector/sent_bytes_count")
    return sum(int(point["value"]["int64Value"]) for point in sent["points"])


def port_usage(region: RunningRegion) -> int:
    """Sample until there are connections."""
    end = time.monotonic() + 8
    while time.monotonic() < end:
        region.fogbank("clock", "advance", "61s")
        found = series(region, "router.googleapis.com/nat/port_usage")
        used = {each["metric"]["labels"]["ip_protocol"]: int(newest(each)) for each in found}
        if used["TCP"]:
            return used["TCP"]
    return 0


def test_ports_and_connections_of_a_gateway_are_those_of_the_kernel(region: RunningRegion) -> None:
    network = ("--network=mon-net", PLACE)
    region.gcloud("compute", "networks", "create", "mon-net", "--subnet-mode=custom")
    subnets = ("compute", "networks", "subnets", "create", "mon-sub", "--range=10.91.0.0/28")
    region.gcloud(*subnets, *network)
    connectors = ("compute", "networks", "vpc-access", "connectors", "create", "mon-con", "--subnet=mon-sub")
    region.gcloud(*connectors, PLACE)
    region.gcloud("compute", "routers", "create", "mon-router", *network)
    nat = ("compute", "routers", "nats", "create", "mon-nat", "--router=mon-router", PLACE)
    region.gcloud(*nat, "--nat-all-subnet-ip-ranges", "--auto-allocate-nat-external-ips")
    deploy = ("run", "deploy", "mon", f"--image={NETCHECK}", PLACE, "--allow-unauthenticated")
    region.gcloud(*deploy, "--vpc-connector=mon-con", "--vpc-egress=all-traffic")
    describe = ("run", "services", "describe", "mon", PLACE, "--format=value(status.url)")
    url = region.gcloud(*describe).stdout.strip()
    with ThreadPoolExecutor() as background:
        holding = background.submit(region.curl, f"{url}/tcp?host=ifconfig.me&port=80&count=5&hold=10")
        used = port_usage(region)
        assert '"ok": 5' in holding.result()
    assert 3 <= used <= 5  # the busier of two machines has most of the five
    nat_metrics = "router.googleapis.com/nat/"
    (ports,) = [
        each
        for each in series(region, f"{nat_metrics}allocated_ports")
        if each["resource"]["labels"]["gateway_name"] == "mon-nat"
    ]
    assert newest(ports) == "128"  # 64 for each of two machines
    assert ports["resource"]["labels"]["region"] == "asia-northeast3"
    (failed,) = series(region, f"{nat_metrics}nat_allocation_failed")
    assert newest(failed) is False
    (machines,) = series(region, "vpcaccess.googleapis.com/connector/instances")
    assert newest(machines) == "2"
    end = time.monotonic() + 30
    while not (total := sent_bytes(region)) and time.monotonic() < end:
        region.fogbank("clock", "advance", "61s")  # the connectors' counters are read every five seconds
    assert total > 100
