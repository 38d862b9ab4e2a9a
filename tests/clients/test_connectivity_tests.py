"""Connectivity Tests by real gcloud: the analysis, its steps, and the packet that verifies it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud

from fogbank.testing import end_region, short_folder, start_region

pytestmark = [pytest.mark.netns, pytest.mark.slow(20), pytest.mark.xdist_group("connectivity-tests")]

AN3 = "asia-northeast3"
WHERE = f"--region={AN3}"
SITE = "192.0.2.2"
TEST = ("network-management", "connectivity-tests")


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedRegion]:
    """A service with Direct VPC egress behind a gateway."""
    started = start_region(short_folder(), "--ephemeral")
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        made = LoadedRegion(started.name, started.home, started.environment, loaded)
        made.make_vpc(AN3)
        made.gcloud("compute", "addresses", "create", "origin", WHERE)
        made.gcloud("compute", "routers", "create", "router", "--network=vpc", WHERE)
        made.gcloud(
            "compute", "routers", "nats", "create", "nat", "--router=router", WHERE,
            "--nat-all-subnet-ip-ranges", "--nat-external-ip-pool=origin",
        )  # fmt: skip
        made.deploy_into_vpc(AN3)
        yield made
    end_region(started)


def revision(region: LoadedRegion) -> str:
    listed = region.gcloud("run", "revisions", "list", "--service=web", WHERE, "--format=value(name)")
    return f"projects/demo/locations/{AN3}/revisions/{listed.stdout.strip()}"


def described(region: LoadedRegion, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(region.gcloud(*TEST, "describe", name, "--format=json").stdout)
    return found


def create(region: LoadedRegion, name: str, *destination: str) -> dict[str, Any]:
    source = f"--source-cloud-run-revision={revision(region)}"
    region.gcloud(*TEST, "create", name, source, "--protocol=TCP", *destination)
    return described(region, name)


def test_a_reachable_flow_shows_every_step_and_the_packet_agrees(region: LoadedRegion) -> None:
    to = (f"--destination-ip-address={SITE}", "--destination-port=443")
    test = create(region, "out", *to)
    (trace,) = test["reachabilityDetails"]["traces"]
    assert test["reachabilityDetails"]["result"] == "REACHABLE"
    assert [step["state"] for step in trace["steps"]] == [
        "START_FROM_CLOUD_RUN_REVISION",
        "DIRECT_VPC_EGRESS_CONNECTION",
        "APPLY_EGRESS_FIREWALL_RULE",
        "APPLY_ROUTE",
        "NAT",
        "DELIVER",
    ]
    nat = trace["steps"][4]["nat"]
    assert (nat["natGatewayName"], nat["type"]) == ("nat", "CLOUD_NAT")
    origin = region.gcloud("compute", "addresses", "describe", "origin", WHERE, "--format=value(address)")
    assert nat["newSourceIp"] == origin.stdout.strip()
    assert trace["endpointInfo"]["sourceIp"].startswith("10.8.0.")
    probed = test["probingDetails"]
    assert (probed["result"], probed["sentProbeCount"], probed["successfulProbeCount"]) == ("REACHABLE", 1, 1)


def test_a_rule_that_denies_is_named_and_a_rerun_sees_that_it_is_gone(region: LoadedRegion) -> None:
    region.gcloud(
        "compute", "firewall-rules", "create", "no-http", "--network=vpc", "--direction=EGRESS",
        "--action=DENY", "--rules=tcp:80",
    )  # fmt: skip
    to = (f"--destination-ip-address={SITE}", "--destination-port=80")
    test = create(region, "stopped", *to)
    steps = test["reachabilityDetails"]["traces"][0]["steps"]
    assert test["reachabilityDetails"]["result"] == "UNREACHABLE"
    judged = next(step for step in steps if step["state"] == "APPLY_EGRESS_FIREWALL_RULE")
    assert judged["causesDrop"]
    assert judged["firewall"]["uri"] == "projects/demo/global/firewalls/no-http"
    assert steps[-1]["drop"]["cause"] == "FIREWALL_RULE"
    assert steps[-1]["drop"]["resourceUri"] == judged["firewall"]["uri"]
    assert test["probingDetails"]["result"] == "UNREACHABLE"

    region.gcloud("compute", "firewall-rules", "delete", "no-http", "--quiet")
    region.gcloud(*TEST, "rerun", "stopped")
    again = described(region, "stopped")
    assert again["reachabilityDetails"]["result"] == "REACHABLE"
    assert again["probingDetails"]["result"] == "REACHABLE"


def test_a_source_that_is_not_there_is_undetermined(region: LoadedRegion) -> None:
    region.gcloud(
        *TEST, "create", "nobody", "--source-ip-address=10.8.0.60",
        "--source-network=projects/demo/global/networks/vpc",
        f"--destination-ip-address={SITE}", "--destination-port=80", "--protocol=TCP",
    )  # fmt: skip
    details = described(region, "nobody")["reachabilityDetails"]
    assert details["result"] == "UNDETERMINED"
    assert details["traces"][0]["steps"][0]["abort"]["cause"] == "SOURCE_IP_ADDRESS_NOT_IN_SOURCE_NETWORK"
    listed = json.loads(region.gcloud(*TEST, "list", "--format=json").stdout)
    assert "nobody" in {each["displayName"] for each in listed}
    region.gcloud(*TEST, "delete", "nobody", "--quiet")
    assert region.gcloud(*TEST, "describe", "nobody", check=False).returncode == 1


def test_what_is_not_built_is_refused_by_its_name(region: LoadedRegion) -> None:
    done = region.gcloud(
        *TEST, "create", "sql", "--source-cloud-sql-instance=projects/demo/instances/db",
        f"--destination-ip-address={SITE}", "--destination-port=80", "--protocol=TCP", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "source.cloudSqlInstance is not built yet" in done.stderr
