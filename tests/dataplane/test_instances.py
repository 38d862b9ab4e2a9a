"""Virtual machines as packets meet them: each flow is predicted, then sent, and both must agree."""

import time
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pytest
from tests.compute_calls import REGION, with_default_network
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

pytestmark = pytest.mark.netns

ZONE = f"{REGION}-a"
SITE = site_netns("ifconfig.me")
SITE_IP = BUILTIN_SITES["ifconfig.me"].address
TCP = [{"IPProtocol": "tcp"}]
DISKS = [{"boot": True, "initializeParams": {"sourceImage": "debian-cloud/debian-12"}}]


def peers(server: Server, count: int) -> set[str]:
    """Wait until ``count`` connections were accepted, and tell from which addresses."""
    deadline = time.monotonic() + 5
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
