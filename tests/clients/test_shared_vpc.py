"""Shared VPC by real gcloud and real packets: what a service project has in the host's network."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud
from tests.waiting import wait_until

from fogbank.testing import end_region, fetch_servers, short_folder, start_region

pytestmark = [pytest.mark.netns, pytest.mark.slow(20), pytest.mark.xdist_group("shared-vpc")]

AN3 = "--region=asia-northeast3"
TEAM = "--project=team-one"
SUBNET = "projects/demo/regions/asia-northeast3/subnetworks/shared"
NETCHECK = "--image=us-docker.pkg.dev/fogbank/samples/netcheck"


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedRegion]:
    fetch_servers("machine")
    started = start_region(short_folder(), "--ephemeral")
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        made = LoadedRegion(started.name, started.home, started.environment, loaded)
        made.gcloud("projects", "create", "team-one")
        made.gcloud("compute", "networks", "create", "vpc", "--subnet-mode=custom")
        made.gcloud(
            "compute", "networks", "subnets", "create", "shared", "--network=vpc", "--range=10.8.0.0/24", AN3
        )
        yield made
    end_region(started)


def ask(region: LoadedRegion, url: str, probe: str) -> dict[str, Any]:
    """Have the service send something."""
    found: dict[str, Any] = json.loads(region.curl("--max-time", "60", f"{url}/{probe}"))
    return found


def test_a_service_project_lives_in_the_hosts_network_under_the_hosts_rules(region: LoadedRegion) -> None:
    machine = (
        "compute", "instances", "create", "db", TEAM, "--zone=asia-northeast3-a", f"--subnet={SUBNET}",
        "--private-network-ip=10.8.0.9", "--no-address",
    )  # fmt: skip
    refused = region.gcloud(*machine, check=False)
    assert "Cross project referencing is not allowed for this resource." in refused.stderr
    shared = ("compute", "shared-vpc")
    region.gcloud(*shared, "enable", "demo")
    region.gcloud(*shared, "associated-projects", "add", "team-one", "--host-project=demo")
    shown = region.gcloud(*shared, "get-host-project", "team-one", "--format=value(name)")
    assert shown.stdout.strip() == "demo"
    listed = region.gcloud(*shared, "list-associated-resources", "demo", "--format=value(id)")
    assert listed.stdout.split() == ["team-one"]
    region.gcloud(*machine)
    region.gcloud(
        "run", "deploy", "web", NETCHECK, TEAM, AN3, "--allow-unauthenticated", "--min-instances=1",
        "--network=projects/demo/global/networks/vpc", f"--subnet={SUBNET}", "--max-instances=1",
    )  # fmt: skip
    url = region.gcloud(
        "run", "services", "describe", "web", TEAM, AN3, "--format=value(status.url)"
    ).stdout.strip()
    assert ask(region, url, "tcp?host=10.8.0.9&port=22&count=1&timeout=0.5")["ok"] == 0
    region.gcloud(
        "compute", "firewall-rules", "create", "ssh", "--network=vpc", "--allow=tcp:22",
        "--source-ranges=10.8.0.0/24",
    )  # fmt: skip
    wait_until(lambda: ask(region, url, "tcp?host=10.8.0.9&port=22&count=1&timeout=2")["ok"] == 1, 60)
    held = region.gcloud(
        *shared, "associated-projects", "remove", "team-one", "--host-project=demo", check=False
    )
    assert "already being used by" in held.stderr
    region.gcloud("compute", "instances", "delete", "db", TEAM, "--zone=asia-northeast3-a", "--quiet")
    region.gcloud(*shared, "associated-projects", "remove", "team-one", "--host-project=demo")
    region.gcloud(*shared, "disable", "demo")
    assert "Cross project" in region.gcloud(*machine, check=False).stderr
