"""`fogbank why`: the commands that it gives, typed into real gcloud, let the packet through."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud

from fogbank.cli.exits import Exit
from fogbank.testing import end_region, short_folder, start_region

pytestmark = [pytest.mark.netns, pytest.mark.slow(15), pytest.mark.xdist_group("why")]

AN3 = "asia-northeast3"
SITE = "http://ifconfig.me"
SOURCE = "run/web"


@pytest.fixture(scope="module")
def shut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedRegion]:
    """A region where a service's packets to the internet meet a rule that denies, and no gateway."""
    started = start_region(short_folder(), "--ephemeral")
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        region = LoadedRegion(started.name, started.home, started.environment, loaded)
        region.make_vpc(AN3)
        region.gcloud(
            "compute", "firewall-rules", "create", "no-web", "--network=vpc", "--direction=EGRESS",
            "--action=DENY", "--rules=tcp:80,tcp:443", "--priority=900",
        )  # fmt: skip
        region.deploy_into_vpc(AN3)
        yield region
    end_region(started)


def why(region: LoadedRegion) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(region.fogbank("why", SOURCE, SITE, "--format", "json", check=False))
    return found


def test_the_commands_of_every_blocker_open_the_way(shut: LoadedRegion) -> None:
    answer = why(shut)
    assert [each["cause"] for each in answer["blockers"]] == ["FIREWALL_RULE", "NO_EXTERNAL_ADDRESS"]
    probe = json.loads(shut.fogbank("trace", SOURCE, SITE, "--probe", "--format", "json"))
    assert probe["observed"]["verdict"] == "timeout"

    told = shut.fogbank("why", SOURCE, SITE, check=False)
    for blocker in answer["blockers"]:
        assert blocker["command"] in told
        for command in blocker["command"].split(" && "):
            shut.gcloud(*shlex.split(command)[1:])

    assert why(shut)["blockers"] == []
    (client,) = json.loads(shut.fogbank("top", "--format", "json"))["clients"]
    assert client["client"].startswith("10.8.0.")
    probe = json.loads(shut.fogbank("trace", SOURCE, SITE, "--probe", "--format", "json"))
    assert (probe["observed"]["verdict"], probe["differences"]) == ("connected", [])
    top = json.loads(shut.fogbank("top", "--format", "json"))
    used = top["clients"][0]
    flow = next(each for each in top["flows"] if each["destination"] == {"address": "192.0.2.2", "port": 80})
    assert flow["source"]["address"] == client["client"]
    assert flow["translatedTo"]["address"] in client["natAddresses"]
    assert min(flow["sentBytes"], flow["receivedBytes"]) >= 40
    assert (used["busiestEndpoint"]["address"], used["portUsage"]) == ("192.0.2.2", 1)
    assert "192.0.2.2:80/tcp" in shut.fogbank("top")
    # The rule still denies what nobody asked about.
    denied = json.loads(shut.fogbank("why", SOURCE, "https://ifconfig.me", "--format", "json", check=False))
    assert [each["setting"] for each in denied["blockers"]] == ["projects/demo/global/firewalls/no-web"]


def test_the_exit_status_says_whether_anything_stops_it(shut: LoadedRegion) -> None:
    command = [sys.executable, "-m", "fogbank.cli", "why", "--name", shut.name, SOURCE]
    environment = os.environ | {"XDG_STATE_HOME": str(shut.home / "state")}
    done = subprocess.run([*command, "http://192.0.2.99"], env=environment, capture_output=True, check=False)
    assert done.returncode == Exit.BLOCKED


def planned(type_: str, after: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": f"{type_}.planned",
        "mode": "managed",
        "type": type_,
        "name": "planned",
        "provider_name": "registry.terraform.io/hashicorp/google",
        "change": {"actions": ["create"], "before": None, "after": after, "after_unknown": {}},
    }


MACHINE = planned(
    "google_compute_instance",
    {
        "name": "planned",
        "zone": f"{AN3}-a",
        "machine_type": "e2-micro",
        "boot_disk": [{"initialize_params": [{"image": "debian-cloud/debian-12"}]}],
        "network_interface": [
            {"subnetwork": f"projects/demo/regions/{AN3}/subnetworks/direct", "access_config": [{}]}
        ],
    },
)
RULE = planned(
    "google_compute_firewall",
    {
        "name": "planned",
        "network": "vpc",
        "source_ranges": ["10.8.0.0/26"],
        "allow": [{"protocol": "tcp", "ports": ["7000"]}],
    },
)


def test_a_plan_of_terraform_s_is_compared_with_the_region_and_changes_nothing(
    shut: LoadedRegion, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"resource_changes": [MACHINE, RULE], "configuration": {}}))
    answer = json.loads(shut.fogbank("plan", "--terraform", str(plan), "--format", "json"))
    assert answer["unread"] == []
    appear = {(each["source"], each["destination"], each["port"]) for each in answer["flows"]}
    assert (SOURCE, "compute/planned", 7000) in appear
    assert not {each for each in appear if each[1:] == ("ifconfig.me", 443)}, "the rule no-web denies it"
    told = shut.fogbank("plan", "--terraform", str(plan), "--flow", f"{SOURCE}=compute/planned:7000")
    assert "1 of 1 flows would change" in told
    assert f"appears   {SOURCE} to compute/planned:7000" in told
    assert json.loads(shut.gcloud("compute", "instances", "list", "--format=json").stdout) == []
