"""Direct VPC egress by real gcloud and real packets: from the deployment to the deletion of the subnet."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud

from fogbank.testing import end_region, short_folder, start_region

pytestmark = [pytest.mark.netns, pytest.mark.slow(20), pytest.mark.xdist_group("direct-vpc")]

AN3 = "asia-northeast3"
NETCHECK = "--image=us-docker.pkg.dev/fogbank/samples/netcheck"
EXHAUSTED = "Instance failed to start because of insufficient free IP addresses in the subnetwork"


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedRegion]:
    """A region with a VPC, a subnet of 64 addresses, and a gateway with a reserved address for it."""
    started = start_region(short_folder(), "--ephemeral")
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        region = LoadedRegion(started.name, started.home, started.environment, loaded)
        compute = ("compute", "networks")
        region.gcloud(*compute, "create", "vpc", "--subnet-mode=custom")
        for name, cidr in (("direct", "10.8.0.0/26"), ("tiny", "10.9.0.0/28"), ("con", "10.10.0.0/28")):
            region.gcloud(
                *compute, "subnets", "create", name, "--network=vpc", f"--range={cidr}", f"--region={AN3}"
            )
        region.gcloud("compute", "addresses", "create", "origin", f"--region={AN3}")
        region.gcloud("compute", "routers", "create", "router", "--network=vpc", f"--region={AN3}")
        region.gcloud(
            "compute", "routers", "nats", "create", "nat", "--router=router", f"--region={AN3}",
            "--nat-all-subnet-ip-ranges", "--nat-external-ip-pool=origin",
        )  # fmt: skip
        yield region
    end_region(started)


def deploy(region: LoadedRegion, name: str, *options: str, check: bool = True) -> str:
    """Deploy a service and return its URL, or what gcloud said against it."""
    done = region.gcloud(
        "run", "deploy", name, NETCHECK, f"--region={AN3}", "--allow-unauthenticated", *options, check=check
    )
    if done.returncode:
        return done.stderr
    shown = region.gcloud(
        "run", "services", "describe", name, f"--region={AN3}", "--format=value(status.url)"
    )
    return shown.stdout.strip()


def egress(region: LoadedRegion, url: str, to: str = "http://ifconfig.me") -> dict[str, Any]:
    """Have the service fetch a page."""
    found: dict[str, Any] = json.loads(region.curl("--max-time", "20", f"{url}/egress?url={to}&timeout=2"))
    return found


def blocks(region: LoadedRegion) -> list[str]:
    """List the blocks of addresses as a user sees them."""
    rows = json.loads(
        region.gcloud("compute", "addresses", "list", "--filter=purpose=SERVERLESS", "--format=json").stdout
    )
    return sorted(f"{each['address']}/{each['prefixLength']}" for each in rows)


def status(region: LoadedRegion) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(region.fogbank("status", "--format", "json"))
    return found


def test_both_egress_modes_and_the_way_back(direct: LoadedRegion) -> None:
    access = ("--network=vpc", "--subnet=direct")
    url = deploy(direct, "web", *access, "--network-tags=web,db", "--vpc-egress=all-traffic")
    reserved = direct.gcloud(
        "compute", "addresses", "describe", "origin", f"--region={AN3}", "--format=value(address)"
    ).stdout.strip()
    assert blocks(direct) == ["10.8.0.16/28"]
    answer = egress(direct, url)
    assert (answer["body"], answer["localAddress"].split(":")[0]) == (reserved, "10.8.0.16")
    shown = direct.fogbank("trace", "run/web", "http://ifconfig.me", "--probe")
    assert "prediction and packet agree" in shown
    assert "shaped to 1000 Mbit/s" in shown
    (row,) = status(direct)["subnetworks"]
    assert (row["instances"], row["blocks"], row["freeBlocks"]) == (1, 1, 1)

    direct.gcloud("run", "services", "update", "web", f"--region={AN3}", "--vpc-egress=private-ranges-only")
    assert egress(direct, url)["body"].startswith("198.51.100.")
    shown = direct.fogbank("trace", "run/web", "http://10.8.0.60", "--probe")
    assert "prediction and packet agree" in shown
    assert "network vpc" in shown

    direct.gcloud("run", "services", "update", "web", f"--region={AN3}", "--clear-network")
    described = direct.gcloud("run", "services", "describe", "web", f"--region={AN3}", "--format=json").stdout
    assert "network-interfaces" not in json.dumps(json.loads(described)["spec"])
    assert egress(direct, url)["localAddress"].startswith("169.254.")


def test_an_egress_rule_stops_the_instances_with_its_tag_and_no_others(direct: LoadedRegion) -> None:
    access = ("--network=vpc", "--subnet=direct", "--vpc-egress=all-traffic")
    direct.gcloud(
        "compute", "firewall-rules", "create", "no-web", "--network=vpc", "--direction=EGRESS",
        "--action=DENY", "--rules=tcp:80", "--target-tags=caged",
    )  # fmt: skip
    caged = deploy(direct, "caged", *access, "--network-tags=caged")
    free = deploy(direct, "free", *access)
    assert egress(direct, caged)["error"] == "timeout"
    assert egress(direct, free)["ok"]


def test_a_subnet_without_blocks_deploys_and_then_fails(direct: LoadedRegion) -> None:
    words = deploy(direct, "small", "--network=vpc", "--subnet=tiny", check=False)
    assert EXHAUSTED in words
    assert "/subnetworks/tiny" in words
    logged = direct.fogbank("logs", "run/small")
    assert EXHAUSTED in logged


def test_what_serves_goes_on_when_the_subnet_is_exhausted(direct: LoadedRegion) -> None:
    access = ("--network=vpc", "--subnet=direct", "--vpc-egress=all-traffic", "--concurrency=1")
    url = deploy(direct, "greedy", *access, "--min-instances=20", "--max-instances=20")
    assert egress(direct, url)["ok"]
    (row,) = [each for each in status(direct)["subnetworks"] if each["subnetwork"].endswith("/direct")]
    assert (row["blocks"], row["freeBlocks"]) == (2, 0)
    assert row["instances"] <= 16
    why = [each["why"] for each in status(direct)["converging"] if "/greedy-" in each["resource"]]
    assert why
    assert why[0].startswith(EXHAUSTED)
    words = deploy(direct, "late", "--network=vpc", "--subnet=direct", check=False)
    assert EXHAUSTED in words
    assert egress(direct, url)["ok"]


def test_the_blocks_hold_the_subnet_for_an_hour_after_the_last_user(direct: LoadedRegion) -> None:
    names = direct.gcloud("run", "services", "list", f"--region={AN3}", "--format=value(metadata.name)")
    for name in names.stdout.split():
        direct.gcloud("run", "services", "delete", name, f"--region={AN3}", "--quiet")
    direct.gcloud(
        "compute", "routers", "nats", "delete", "nat", "--router=router", f"--region={AN3}", "--quiet"
    )
    name = json.loads(
        direct.gcloud("compute", "addresses", "list", "--filter=purpose=SERVERLESS", "--format=json").stdout
    )[0]["name"]
    refused = direct.gcloud("compute", "addresses", "delete", name, f"--region={AN3}", "--quiet", check=False)
    assert refused.returncode
    delete = ("compute", "networks", "subnets", "delete", "direct", f"--region={AN3}", "--quiet")
    refused = direct.gcloud(*delete, check=False)
    assert "is already being used by" in refused.stderr
    assert "/addresses/serverless-ipv4-" in refused.stderr
    direct.fogbank("clock", "advance", "59m")
    assert direct.gcloud(*delete, check=False).returncode
    direct.fogbank("clock", "advance", "2m")
    direct.gcloud(*delete)
    assert blocks(direct) == []
