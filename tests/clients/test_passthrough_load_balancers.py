"""Passthrough load balancers: packets reach machines as clients sent them, by the kernel alone.

One region with three machines behind an external and an internal address.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.clients.test_load_balancers import PAGES
from tests.waiting import wait_until

from fogbank.testing import RunningRegion, end_region, fetch_servers, short_folder, start_region

pytestmark = [pytest.mark.slow(35), pytest.mark.netns, pytest.mark.xdist_group("passthrough")]

REGION, ZONE = "asia-northeast3", "asia-northeast3-a"
V1 = "https://compute.googleapis.com/compute/v1/projects/demo"
INSIDE = "10.178.0.200"
PATIENCE = 60.0
MACHINES = ("one", "two", "three")
ASK = f"""while :; do
  seen=$(curl -s -m 2 http://{INSIDE}/inside) && echo "seen=$seen" || echo "seen=nothing"
  sleep 0.3
done"""


class Balanced:
    """The region and its machines."""

    def __init__(self, region: RunningRegion) -> None:
        self.region = region
        self.address = ""

    def call(self, verb: str, path: str, body: Any = None) -> Any:
        """Call compute and wait until the operation has ended."""
        status, answer = self.region.api(verb, f"{V1}/{path}", body)
        assert status == 200, answer
        while answer.get("kind") == "compute#operation" and answer["status"] != "DONE":
            place = answer["selfLink"].partition("/compute/v1/")[2]
            wait = f"https://compute.googleapis.com/compute/v1/{place}/wait"
            status, answer = self.region.api("POST", wait)
            assert status == 200, answer
        assert "error" not in answer, answer
        return answer

    def machine(self, name: str, script: str) -> None:
        disk = {"boot": True, "initializeParams": {
            "sourceImage": "projects/debian-cloud/global/images/family/debian-12"}}  # fmt: skip
        body = {
            "name": name,
            "machineType": f"zones/{ZONE}/machineTypes/e2-small",
            "disks": [disk],
            "networkInterfaces": [{"network": "global/networks/default"}],
            "metadata": {"items": [{"key": "startup-script", "value": script}]},
        }
        self.call("POST", f"zones/{ZONE}/instances", body)

    def console(self, name: str) -> str:
        status, answer = self.region.api("GET", f"{V1}/zones/{ZONE}/instances/{name}/serialPort?port=1")
        assert status == 200
        return str(answer["contents"])

    def health(self) -> Counter[str]:
        group = f"zones/{ZONE}/networkEndpointGroups/machines"
        answer = self.call("POST", f"regions/{REGION}/backendServices/outside/getHealth", {"group": group})
        return Counter(each["healthState"] for each in answer["healthStatus"])

    def ask(self, port: int = 80) -> tuple[str, str]:
        """Ask from the internet; give the machine and the client that it saw, empty without an answer."""
        command = [sys.executable, "-m", "fogbank.cli", "connect", self.address, str(port)]
        done = subprocess.run(
            [*command, "--name", self.region.name],
            input=b"GET / HTTP/1.0\r\n\r\n",
            env=self.region._own_environment(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        body = done.stdout.rpartition(b"\r\n\r\n")[2]
        if not body.startswith(b"{"):
            return "", ""
        seen = json.loads(body)
        return seen["machine"], seen["client"]


@pytest.fixture(scope="module")
def balanced() -> Iterator[Balanced]:
    fetch_servers("machine")
    region = start_region(short_folder(), "--ephemeral", "--region", REGION)
    try:
        made = Balanced(region)
        for each in MACHINES:
            made.machine(each, PAGES)
        made.machine("client", ASK)
        rule = {
            "name": "pages",
            "network": "global/networks/default",
            "sourceRanges": ["0.0.0.0/0"],
            "allowed": [{"IPProtocol": "tcp", "ports": ["80", "7"]}],
        }
        made.call("POST", "global/firewalls", rule)
        _balance(made)
        wait_until(lambda: made.health() == Counter(HEALTHY=3), PATIENCE)
        yield made
    finally:
        end_region(region)


def _balance(made: Balanced) -> None:
    place = f"regions/{REGION}"
    check = {"name": "page", "type": "HTTP", "unhealthyThreshold": 10}
    made.call("POST", f"{place}/healthChecks", check)
    group = {"name": "machines", "networkEndpointType": "GCE_VM_IP", "network": "global/networks/default"}
    made.call("POST", f"zones/{ZONE}/networkEndpointGroups", group)
    endpoints = {"networkEndpoints": [{"instance": each} for each in MACHINES]}
    made.call("POST", f"zones/{ZONE}/networkEndpointGroups/machines/attachNetworkEndpoints", endpoints)
    for name, scheme in (("outside", "EXTERNAL"), ("inside", "INTERNAL")):
        service = {
            "name": name,
            "loadBalancingScheme": scheme,
            "protocol": "TCP",
            "healthChecks": [f"{place}/healthChecks/page"],
            "backends": [{"group": f"zones/{ZONE}/networkEndpointGroups/machines"}],
        }
        made.call("POST", f"{place}/backendServices", service)
        rule: dict[str, Any] = {
            "name": name,
            "loadBalancingScheme": scheme,
            "backendService": f"{place}/backendServices/{name}",
            "ports": ["80"],
        }
        if scheme == "INTERNAL":
            rule |= {"IPAddress": INSIDE, "subnetwork": f"{place}/subnetworks/default"}
        made.call("POST", f"{place}/forwardingRules", rule)
    made.address = made.call("GET", f"{place}/forwardingRules/outside")["IPAddress"]


def test_machines_share_the_address_and_see_the_client_itself(balanced):
    seen = set[tuple[str, str]]()

    def all_answered() -> bool:
        seen.add(balanced.ask())
        return {machine for machine, _ in seen} >= set(MACHINES)

    wait_until(all_answered, PATIENCE)
    assert {client for machine, client in seen if machine} == {"192.0.2.255"}


def test_the_rules_port_is_open_and_another_one_is_not(balanced):
    wait_until(lambda: balanced.ask()[0] != "", PATIENCE)
    assert balanced.ask(7) == ("", "")
    drops = balanced.region.fogbank("drops")
    assert "forwarding-rule-outside" in drops


def test_an_internal_address_is_reached_from_the_network_and_no_instance_gets_it(balanced):
    wait_until(lambda: '"path": "/inside"' in balanced.console("client"), PATIENCE)
    status, answer = balanced.region.api(
        "POST",
        f"{V1}/regions/{REGION}/addresses",
        {
            "name": "taken",
            "addressType": "INTERNAL",
            "address": INSIDE,
            "subnetwork": f"regions/{REGION}/subnetworks/default",
        },
    )
    assert status == 400, answer
    trace = balanced.region.fogbank("trace", "compute/client", f"http://{INSIDE}", "--probe", check=False)
    assert "way 1 of" in trace
    assert "connected after" in trace


def test_a_machine_that_leaves_the_group_gets_no_new_flows_and_one_that_is_broken_neither(balanced):
    gone = {"networkEndpoints": [{"instance": "one"}]}
    group = f"zones/{ZONE}/networkEndpointGroups/machines"
    balanced.call("POST", f"{group}/detachNetworkEndpoints", gone)
    wait_until(lambda: balanced.health() == Counter(HEALTHY=2), PATIENCE)
    recent: list[str] = []

    def left() -> bool:
        recent.append(balanced.ask()[0])
        return len(recent) >= 8 and "one" not in recent[-8:] and "" not in recent[-8:]

    wait_until(left, PATIENCE)
    balanced.call("POST", f"zones/{ZONE}/instances/two/stop")
    recent.clear()
    wait_until(lambda: left() and set(recent[-8:]) == {"three"}, PATIENCE)
    balanced.call("POST", f"zones/{ZONE}/instances/two/start")
    balanced.call("POST", f"{group}/attachNetworkEndpoints", gone)
    wait_until(lambda: balanced.health() == Counter(HEALTHY=3), PATIENCE)
