"""Virtual machines as packets meet them: each flow is predicted, then sent, and both must agree."""

import contextlib
import subprocess
import time
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pytest
from tests.compute_calls import NOW, REGION, with_default_network
from tests.lowered import lower
from tests.private_world import Lab, Server

from fogbank.lowering.netns_names import instance_netns, site_netns
from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    Listener,
    NetnsName,
    Port,
    Topology,
    Workload,
)
from fogbank.paths.predict import predict
from fogbank.paths.trace import Delivered, Flow
from fogbank.resources.fleet import Fleet
from fogbank.resources.instances import VirtualMachine
from fogbank.resources.names import compute_name
from fogbank.resources.sites import BUILTIN_SITES
from fogbank.services.compute.instances.lifecycle import machine_started, machine_stopped

pytestmark = pytest.mark.netns

ZONE = f"{REGION}-a"
SITE = site_netns("ifconfig.me")
SITE_IP = BUILTIN_SITES["ifconfig.me"].address
TCP = [{"IPProtocol": "tcp"}]
DISKS = [{"boot": True, "initializeParams": {"sourceImage": "debian-cloud/debian-12"}}]


def peers(server: Server, count: int) -> set[str]:
    """Wait until ``count`` connections were accepted, and tell from which addresses."""
    deadline = time.monotonic() + 60
    while len(server.peers) < count:
        assert time.monotonic() < deadline, server.peers
        time.sleep(0.005)
    return {address for address, _ in server.peers}


class Cloud:
    """A network ``net`` whose machines are made by the API, and built in a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.compute = lab, with_default_network()
        self.compute.network("net")
        self.topology = Topology()

    def __call__(self, method: str, body: Any = None, **parameters: Any) -> Any:
        return self.compute(method, body, **parameters)

    def subnetwork(self, name: str, cidr: str, **more: Any) -> None:
        self.compute.subnetwork(name, cidr, **more)

    def allow(self, name: str, **more: Any) -> None:
        rule = {"name": name, "network": "global/networks/net", "allowed": TCP}
        self("firewalls.insert", rule | more)

    def machine(
        self, name: str, subnetwork: str = "s", *, external: bool = False, zone: str = ZONE, **more: Any
    ) -> NetnsName:
        interface: dict[str, Any] = {"subnetwork": f"regions/{zone[:-2]}/subnetworks/{subnetwork}"}
        interface |= more.pop("interface", {})
        if external:
            interface["accessConfigs"] = [{}]
        body = {"name": name, "machineType": "e2-micro", "disks": DISKS, "networkInterfaces": [interface]}
        body["networkInterfaces"] += more.pop("further", [])
        tags = {"items": more.pop("tags", [])}
        operation = self("instances.insert", body | {"tags": tags} | more, zone=zone)
        assert operation.error is None, operation.error
        found = compute_name("instances", "demo", "zones", zone, name)
        self.compute.world = self.compute.world.after(machine_started(self.compute.world, found, 1, NOW))
        return instance_netns(self.read(name, zone).machine)

    def read(self, name: str, zone: str = ZONE) -> VirtualMachine:
        found = self.compute.world.get(compute_name("instances", "demo", "zones", zone, name))
        return VirtualMachine.of(found)

    def address(self, name: str, zone: str = ZONE) -> IPv4Address:
        return self.read(name, zone).interfaces[0].address

    def external(self, name: str) -> IPv4Address:
        found = self.read(name).interfaces[0].external
        assert found is not None
        return found

    def build(self, *more: Element) -> None:
        lowered = lower(self.compute.world, Fleet(), self.lab.driver.observe())
        assert not lowered.failures
        self.topology = Topology.of([*lowered.topology, *more])
        self.lab.build(*(each for each in self.topology if not isinstance(each, Workload | Listener)))

    def stopped(self, name: str) -> None:
        """Have the machine of an instance that is to stop do so."""
        found = compute_name("instances", "demo", "zones", ZONE, name)
        world = self.compute.world
        self.compute.world = world.after(machine_stopped(world, found, NOW))

    def reaches(
        self, start: NetnsName, to: IPv4Address, port: int, *, source: IPv4Address | None = None
    ) -> bool:
        """Predict a flow, send it, and tell whether it came about; both must say the same."""
        trace = predict(self.topology, Flow(start, to, port, source=source))
        arrives = {isinstance(branch.disposition, Delivered) for branch in trace.branches}
        sent = self.lab.reaches(start, to, port, source=source)
        assert arrives == {sent}, (sent, trace)
        return sent

    def seen(self, start: NetnsName) -> str:
        """Return the address that the third party sees, which was predicted."""
        with self.lab.listen(SITE, SITE_IP, 80) as server:
            assert self.reaches(start, SITE_IP, 80)
            peer, _ = server.first_peer()
        trace = predict(self.topology, Flow(start, SITE_IP, 80))
        assert trace.sources == {IPv4Address(peer)}
        return str(peer)


def test_a_machine_is_reached_as_rules_say_and_leaves_by_an_external_address_only(lab: Lab) -> None:
    cloud = Cloud(lab)
    cloud.subnetwork("s", "10.0.1.0/24")
    cloud.subnetwork("t", "10.0.2.0/24")
    cloud.allow("web", targetTags=["web"], allowed=[{"IPProtocol": "tcp", "ports": ["80"]}])
    private = cloud.machine("private")
    public = cloud.machine("public", "t", external=True, tags=["web"])
    cloud.build()
    inside, outside = cloud.address("public"), cloud.external("public")
    with lab.listen(public, inside, 80) as server, lab.listen(public, inside, 81):
        assert cloud.reaches(private, inside, 80)
        assert not cloud.reaches(private, inside, 81)
        assert cloud.reaches(SITE, outside, 80)
        assert not cloud.reaches(SITE, outside, 81)
        assert peers(server, 2) == {str(cloud.address("private")), str(SITE_IP)}
    with lab.listen(private, cloud.address("private"), 80):
        assert not cloud.reaches(public, cloud.address("private"), 80)
    assert cloud.seen(public) == str(outside)
    assert not cloud.reaches(private, SITE_IP, 80)


def test_a_machine_reaches_the_external_address_of_its_neighbour_and_of_another_project_network(
    lab: Lab,
) -> None:
    cloud = Cloud(lab)
    cloud.subnetwork("s", "10.0.1.0/24")
    cloud.allow("all")
    first, second = cloud.machine("first", external=True), cloud.machine("second", external=True)
    cloud.build()
    with lab.listen(second, cloud.address("second"), 80) as server:
        assert cloud.reaches(first, cloud.external("second"), 80)
        assert peers(server, 1) == {str(cloud.external("first"))}
    # Its own one too, as long as a rule lets it in.
    with lab.listen(first, cloud.address("first"), 80):
        assert cloud.reaches(first, cloud.external("first"), 80)


def test_alias_ranges_are_behind_their_machine_and_nobody_else_may_send_from_them(lab: Lab) -> None:
    cloud = Cloud(lab)
    cloud.subnetwork("s", "10.0.1.0/24", secondaryIpRanges=[{"rangeName": "p", "ipCidrRange": "10.9.0.0/20"}])
    cloud.allow("all")
    alias = {"aliasIpRanges": [{"ipCidrRange": "10.9.1.0/24", "subnetworkRangeName": "p"}]}
    owner, other = cloud.machine("owner", interface=alias), cloud.machine("other")
    cloud.build()
    pod = IPv4Address("10.9.1.7")
    with lab.listen(owner, pod, 80), lab.listen(other, cloud.address("other"), 80) as server:
        assert cloud.reaches(other, pod, 80)
        assert cloud.reaches(owner, cloud.address("other"), 80, source=pod)
        assert peers(server, 1) == {str(pod)}
    foreign = Address(Port(other, DeviceName("lo")), IPv4Interface("10.9.2.1/32"))
    cloud.build(foreign)
    with lab.listen(owner, cloud.address("owner"), 80):
        assert not cloud.reaches(other, cloud.address("owner"), 80, source=foreign.interface.ip)
        assert lab.driver.drops(NetnsName("vpc/demo/net")) == {"spoofed": 1}


def test_the_hand_made_nat_instance_serves_whom_a_tagged_route_sends_there(lab: Lab) -> None:
    cloud = Cloud(lab)
    cloud.subnetwork("s", "10.0.1.0/24")
    cloud.subnetwork("t", "10.0.2.0/24")
    cloud.allow("inside", sourceRanges=["10.0.0.0/16"])
    gateway = cloud.machine("gateway", external=True, canIpForward=True)
    tagged, plain = cloud.machine("tagged", "t", tags=["no-ip"]), cloud.machine("plain", "t")
    way = {"name": "no-ip", "network": "global/networks/net", "destRange": "0.0.0.0/0", "priority": 800}
    hop = {"nextHopInstance": f"zones/{ZONE}/instances/gateway", "tags": ["no-ip"]}
    cloud("routes.insert", way | hop)
    cloud.build()
    become_nat(lab, gateway)
    with lab.listen(SITE, SITE_IP, 80) as server:
        assert predict(cloud.topology, Flow(tagged, SITE_IP, 80)).verdicts == {"unknown"}
        assert lab.reaches(tagged, SITE_IP, 80)
        assert peers(server, 1) == {str(cloud.external("gateway"))}
        assert not cloud.reaches(plain, SITE_IP, 80)
    # Subnet routes win over any static route, and the gateway's own packets take the default one.
    with lab.listen(tagged, cloud.address("tagged"), 80), lab.listen(plain, cloud.address("plain"), 80):
        assert cloud.reaches(tagged, cloud.address("plain"), 80)
        assert cloud.reaches(plain, cloud.address("tagged"), 80)
    assert cloud.seen(gateway) == str(cloud.external("gateway"))
    # A single machine is a single point of failure: nobody takes its place.
    cloud("instances.stop", zone=ZONE, instance="gateway")
    cloud.stopped("gateway")
    cloud.build()
    assert not cloud.reaches(tagged, SITE_IP, 80)
    warnings = cloud("routes.get", route="no-ip")["warnings"]
    assert [each["code"] for each in warnings] == ["NEXT_HOP_NOT_RUNNING"]


def test_a_route_to_an_address_passes_over_a_machine_that_is_gone_to_the_next_best(lab: Lab) -> None:
    cloud = Cloud(lab)
    cloud.subnetwork("s", "10.0.1.0/24")
    cloud.allow("all")
    machine = cloud.machine("machine")
    hops = {name: cloud.machine(name, canIpForward=True) for name in ("first", "second", "third")}
    for name, priority in (("first", 100), ("second", 200), ("third", 200)):
        way = {"name": name, "network": "global/networks/net", "destRange": "10.77.0.0/16"}
        cloud("routes.insert", way | {"priority": priority, "nextHopIp": str(cloud.address(name))})
    beyond = IPv4Address("10.77.0.1")
    reached = [Address(Port(netns, DeviceName("lo")), IPv4Interface(beyond)) for netns in hops.values()]
    cloud.build(*reached)
    with contextlib.ExitStack() as listening:
        servers = {
            each: listening.enter_context(lab.listen(netns, beyond, 80)) for each, netns in hops.items()
        }
        assert cloud.reaches(machine, beyond, 80)
        assert peers(servers["first"], 1) == {str(cloud.address("machine"))}
    cloud("instances.stop", zone=ZONE, instance="first")
    cloud.stopped("first")
    cloud.build(*reached[1:])
    branches = predict(cloud.topology, Flow(machine, beyond, 80)).branches
    assert {branch.hops[-1].netns for branch in branches} == {hops["second"], hops["third"]}
    with lab.listen(hops["second"], beyond, 80), lab.listen(hops["third"], beyond, 80):
        assert cloud.reaches(machine, beyond, 80)


def become_nat(lab: Lab, netns: NetnsName) -> None:
    """Do in a machine what its owner would: forward, and masquerade what leaves."""
    with lab.driver.namespaces.inside(netns):
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        chain = 'type nat hook postrouting priority srcnat; oifname "ens4" masquerade;'
        subprocess.run(["nft", f"table ip nat {{ chain out {{ {chain} }}; }}"], check=True)
