"""VPN gateways and on-premises networks in the network that is built, and paths over their tunnels."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from tests.compute_calls import NOW, REGION, Compute
from tests.lowered import lower
from tests.worlds import fleet

from fogbank.lowering.netns_names import site_netns
from fogbank.network.invariants import violations
from fogbank.network.topology import NetnsName, Topology, Tunnel
from fogbank.paths.predict import predict
from fogbank.paths.trace import Cause, Dropped, Encapsulated, Flow
from fogbank.resources.names import ResourceName
from fogbank.resources.onprem import connected, find_onprem, new_onprem, onprem_seen
from fogbank.resources.vpn import TUNNELS
from fogbank.services.compute.vpn.tunnels import tunnel_seen

OFFICE, GATEWAY = IPv4Address("192.0.2.32"), IPv4Address("203.0.113.1")
RULES = {"esp": {"IPProtocol": "ESP"}}
RULES |= {f"udp-{port}": {"IPProtocol": "UDP", "portRange": str(port)} for port in (500, 4500)}


class Joined:
    """A VPC network and an office with a classic tunnel between them, which is ``established``."""

    def __init__(self, *, established=True, near="10.0.0.0/24"):
        compute = self.compute = Compute()
        compute.network("net")
        compute.subnetwork("s", "10.0.0.0/24")
        office = new_onprem(
            compute.world,
            "office",
            ranges=["192.168.0.0/24"],
            address="",
            asn=65001,
            now=NOW,
            new_id=lambda: 7,
        )
        self._put(office)
        where = {"region": REGION}
        address = compute.address("ip")
        compute("targetVpnGateways.insert", {"name": "gw", "network": "global/networks/net"}, **where)
        for name, body in RULES.items():
            rule = {"name": name, "IPAddress": address, "target": f"regions/{REGION}/targetVpnGateways/gw"}
            compute("forwardingRules.insert", rule | body, **where)
        tunnel = {"name": "tun", "peerIp": str(OFFICE), "sharedSecret": "hush", "targetVpnGateway": "gw"}
        selectors = {"localTrafficSelector": [near], "remoteTrafficSelector": ["192.168.0.0/24"]}
        compute("vpnTunnels.insert", tunnel | selectors, **where)
        route = {"name": "r", "network": "global/networks/net", "destRange": "192.168.0.0/24"}
        compute("routes.insert", route | {"nextHopVpnTunnel": f"regions/{REGION}/vpnTunnels/tun"})
        disk = [
            {
                "boot": True,
                "initializeParams": {"sourceImage": "projects/debian-cloud/global/images/family/debian-12"},
            }
        ]
        nic = [{"subnetwork": f"regions/{REGION}/subnetworks/s"}]
        machine = {"name": "vm", "machineType": "e2-small", "disks": disk, "networkInterfaces": nic}
        compute("instances.insert", machine, zone=f"{REGION}-a")
        self._put(
            connected(compute.world, "office", address, secret="hush", remote=["10.0.0.0/24"], bgp=None)
        )
        if established:
            self.establish()

    def _put(self, put):
        self.compute.world = self.compute.world.after([put])

    def establish(self):
        world = self.compute.world
        tunnel = world.get(ResourceName(TUNNELS, f"projects/demo/regions/{REGION}/vpnTunnels/tun"))
        office = find_onprem(world, "office")
        changes = tunnel_seen(world, tunnel, "ESTABLISHED", "")
        changes += onprem_seen(world, office.name, GATEWAY, established=True, learned=())
        self.compute.world = world.after(changes)

    def firewall(self):
        rule = {"name": "in", "network": "global/networks/net", "allowed": [{"IPProtocol": "tcp"}]}
        self.compute("firewalls.insert", rule | {"sourceRanges": ["192.168.0.0/24"]})

    @property
    def topology(self) -> Topology:
        lowered = lower(self.compute.world, fleet(), Topology())
        assert violations(lowered.topology) == ()
        return lowered.topology

    @property
    def machine(self) -> NetnsName:
        vm = self.compute("instances.get", zone=f"{REGION}-a", instance="vm")
        return NetnsName(f"instance/vm-{int(vm['id'])}")

    def to_office(self):
        return predict(self.topology, Flow(self.machine, IPv4Address("192.168.0.10"), 80))

    def to_machine(self, port=22):
        start = site_netns("web.office.onprem")
        return predict(self.topology, Flow(start, IPv4Address("10.0.0.2"), port))


def cause(trace):
    (branch,) = trace.branches
    return branch.disposition.cause if isinstance(branch.disposition, Dropped) else None


def test_a_machine_reaches_the_office_over_the_tunnel_under_its_own_address():
    trace = Joined().to_office()
    assert trace.verdicts == {"accepted"}
    assert trace.sources == {IPv4Address("10.0.0.2")}
    steps = [step for hop in trace.branches[0].hops for step in hop.steps]
    assert [(step.local, step.remote) for step in steps if isinstance(step, Encapsulated)] == [
        (GATEWAY, OFFICE)
    ]


def test_the_office_reaches_a_machine_when_a_firewall_rule_lets_it():
    joined = Joined()
    assert cause(joined.to_machine()) is Cause.FIREWALL_RULE
    joined.firewall()
    trace = joined.to_machine()
    assert cause(trace) is None
    assert trace.branches[0].source == IPv4Address("192.168.0.10")


def test_a_tunnel_that_is_not_established_takes_nothing():
    joined = Joined(established=False)
    joined.firewall()
    assert cause(joined.to_office()) is not None
    assert cause(joined.to_machine()) is Cause.ROUTE_NEXT_HOP_VPN_TUNNEL_NOT_ESTABLISHED
    joined.establish()
    assert joined.to_office().verdicts == {"accepted"}


def test_what_no_traffic_selector_has_is_dropped_at_the_gateway():
    assert cause(Joined(near="10.0.0.128/25").to_office()) is Cause.VPN_TUNNEL_LOCAL_SELECTOR_MISMATCH


def test_a_gateway_is_built_with_its_rule_and_a_tunnel_at_both_ends():
    tunnels = {(each.local, each.remote): each for each in Joined().topology.of_kind(Tunnel)}
    assert set(tunnels) == {(GATEWAY, OFFICE), (OFFICE, GATEWAY)}
    assert all(each.established for each in tunnels.values())
    one = tunnels[GATEWAY, OFFICE]
    assert replace(one, established=False).key == one.key


@pytest.mark.parametrize("address", ["10.9.9.9", "8.8.8.8"])
def test_the_office_sends_everything_else_to_the_internet_under_its_devices_address(address):
    start = site_netns("web.office.onprem")
    trace = predict(Joined().topology, Flow(start, IPv4Address(address), 80))
    assert trace.branches[0].source == OFFICE
