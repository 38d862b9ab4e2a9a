"""What a call costs does not grow with what it is not about: it looks at no other resource."""

from itertools import islice

import pytest
from tests import worlds
from tests.compute_calls import NOW, REGION, Compute

from fogbank.resources.compute_indexes import in_network
from fogbank.resources.names import compute_name
from fogbank.resources.world import Put, Resource
from fogbank.services.compute.instances.lifecycle import machine_stopped

OTHERS = 300


class WatchedBody(dict):
    """A body that knows how often somebody read one of its kind."""

    reads = 0

    def __getitem__(self, key):
        WatchedBody.reads += 1
        return super().__getitem__(key)

    def get(self, key, default=None):
        WatchedBody.reads += 1
        return super().get(key, default)


@pytest.fixture
def compute():
    """Compute with a custom network, and beside it many resources in another one."""
    others = [
        each
        for number in range(OTHERS)
        for each in (
            worlds.firewall(f"rule-{number:03}", of="crowded"),
            worlds.subnetwork(f"subnet-{number:03}", f"10.{number // 256}.{number % 256}.0/24", of="crowded"),
            worlds.machine(
                f"vm-{number:03}",
                f"10.{number // 256}.{number % 256}.9",
                f"subnet-{number:03}",
                of="crowded",
                gateway=f"10.{number // 256}.{number % 256}.1",
            ),
        )
    ]
    watched = [
        Resource(r.name, 10**6 + n, r.created, WatchedBody(r.body), r.private) for n, r in enumerate(others)
    ]
    compute = Compute(*map(Put, [worlds.network("crowded"), *watched]))
    compute("networks.insert", {"name": "quiet", "autoCreateSubnetworks": False})
    return compute


def _subnetwork(compute):
    network = "global/networks/quiet"
    body = {"name": "s", "network": network, "ipCidrRange": "10.0.0.0/24"}
    compute("subnetworks.insert", body, region=REGION)
    compute("subnetworks.delete", region=REGION, subnetwork="s")


def _rule(compute):
    rule = {"name": "r", "network": "global/networks/quiet", "allowed": [{"IPProtocol": "tcp"}]}
    compute("firewalls.insert", rule)
    compute("firewalls.patch", {"priority": 7}, firewall="r")
    compute("firewalls.delete", firewall="r")


def _network(compute):
    compute("networks.insert", {"name": "another", "autoCreateSubnetworks": False})
    compute("networks.get", network="another")
    compute("networks.delete", network="another")


def _instance(compute):
    zone = f"{REGION}-a"
    subnet = {"name": "s", "network": "global/networks/quiet", "ipCidrRange": "10.0.0.0/24"}
    compute("subnetworks.insert", subnet, region=REGION)
    body = {
        "name": "vm",
        "machineType": "e2-micro",
        "disks": [{"boot": True, "initializeParams": {"sourceImage": "debian-cloud/debian-12"}}],
        "networkInterfaces": [{"subnetwork": f"regions/{REGION}/subnetworks/s", "accessConfigs": [{}]}],
    }
    compute("instances.insert", body, zone=zone)
    compute("disks.get", zone=zone, disk="vm")
    compute("instances.delete", zone=zone, instance="vm")
    gone = compute_name("instances", "demo", "zones", zone, "vm")
    compute.world = compute.world.after(machine_stopped(compute.world, gone, NOW))
    compute("disks.delete", zone=zone, disk="vm")
    compute("subnetworks.delete", region=REGION, subnetwork="s")


CALLS = {
    "an instance comes and goes": _instance,
    "a rule comes, changes and goes": _rule,
    "a network comes and goes": _network,
    "a subnetwork comes and goes": _subnetwork,
    "the rules of a network": lambda c: c("networks.getEffectiveFirewalls", network="quiet"),
    "a network by its id": lambda c: c("networks.get", network=c("networks.get", network="quiet")["id"]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_looks_at_no_resource_of_another_network(compute, call):
    call(compute)  # the first one may build indexes
    WatchedBody.reads = 0
    call(compute)
    assert WatchedBody.reads == 0


def test_the_watch_sees_who_looks(compute):
    WatchedBody.reads = 0
    crowded = compute.world.get(worlds.network("crowded").name).name
    found = in_network(compute.world, "firewalls", crowded)
    assert [rule.body["priority"] for rule in islice(found, 3)] == [1000] * 3
    assert WatchedBody.reads >= 3 + OTHERS  # an index is built, then three rules are read
