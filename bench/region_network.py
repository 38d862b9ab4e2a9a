"""The networks that paths are measured in: resources, lowered and built as in a region.

A World holds a VPC with the preset firewall rules and those that connectors bring, two subnetworks with
connectors, a gateway, services with all their traffic to the VPC by a connector and by Direct VPC egress, and
a partner on the internet. Two things differ from a region. Rates are not held (no Shaper). The machines of
one connector stand for ordinary endpoints with an interface in the VPC, and translate nothing themselves.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from tests.lowered import lower
from tests.private_world import Lab
from tests.worlds import (
    address,
    automatic_rules,
    connector,
    connector_id,
    default_route,
    direct,
    firewall,
    fleet,
    nat,
    network,
    revision,
    router,
    site,
    subnetwork,
    world,
)

from bench.load import Way
from fogbank.lowering.netns_names import connector_netns, instance_netns, site_netns
from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    Hop,
    Link,
    NetnsName,
    NetworkNamespace,
    Port,
    Route,
    Shaper,
    SourceNat,
    Topology,
    Workload,
)
from fogbank.resources.fleet import Fleet
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource

PARTNER, PARTNER_IP = "partner.example", "192.0.2.40"
_LEFT, _RIGHT = NetnsName("bench/left"), NetnsName("bench/right")
_LEFT_IP, _RIGHT_IP = "10.255.0.1", "10.255.0.2"
_ETH0 = DeviceName("eth0")

BARE = Way("bare veth pair", _LEFT, _RIGHT, _RIGHT_IP)


def bare_pair() -> Iterator[Element]:
    """Two namespaces and one veth pair, of the VPC's MTU; nothing else."""
    yield from (
        NetworkNamespace(_LEFT),
        NetworkNamespace(_RIGHT),
        Link(Port(_LEFT, _ETH0), Port(_RIGHT, _ETH0)),
    )
    for here, own, there in ((_LEFT, _LEFT_IP, _RIGHT_IP), (_RIGHT, _RIGHT_IP, _LEFT_IP)):
        yield Address(Port(here, _ETH0), IPv4Interface(own))
        yield Route(here, IPv4Network(there), (Hop(_ETH0),))


@dataclass(frozen=True, slots=True)
class Vpc:
    """One VPC with all that the paths need; ``number`` sets it apart in names and addresses."""

    name: str
    number: int
    instances: int = 1
    rules: int = 0

    def resources(self) -> Iterator[Resource]:
        """List what its users made."""
        near, far, serverless = (f"{self.name}-{kind}" for kind in ("near", "far", "run"))
        yield from (network(self.name), default_route(self.name))
        for part, subnet in enumerate((near, far, serverless)):
            cidr = f"10.{128 + self.number}.{part}.0/28"
            yield subnetwork(subnet, cidr, of=self.name)
            yield connector(subnet, cidr, of=self.name, subnet=subnet)
            if not self.rules:
                yield from automatic_rules(subnet, cidr, of=self.name)
        yield subnetwork(f"{self.name}-own", f"10.{128 + self.number}.3.0/26", of=self.name)
        yield from self._firewall()
        for part, subnet in enumerate((near, serverless)):
            ip = f"{subnet}-ip"
            yield address(ip, f"203.0.113.{10 + 2 * self.number + part}")
            gateway = nat(f"{subnet}-nat", [ip], [subnet], minPortsPerVm=_PORTS)
            yield router(f"{subnet}-router", [gateway], of=self.name)

    def _firewall(self) -> Iterator[Resource]:
        """Make the preset rules, or exactly ``rules`` rules of which only the last one allows the traffic."""
        of = self.name
        allow = {"of": of, "sourceRanges": ["10.128.0.0/9"], "priority": 65534}
        yield firewall(f"{of}-allow-internal", **allow)
        if not self.rules:
            for port in ("22", "3389"):
                yield firewall(
                    f"{of}-allow-{port}",
                    of=of,
                    allowed=[{"IPProtocol": "tcp", "ports": [port]}],
                    priority=65534,
                )
        for number in range(self.rules - 1):
            yield firewall(
                f"{of}-rule-{number}",
                of=of,
                sourceRanges=[f"172.16.{number // 250}.{number % 250}/32"],
                allowed=[{"IPProtocol": "tcp", "ports": [str(10000 + number)]}],
            )

    def revisions(self) -> list[Resource]:
        """List its instances' revisions: one each, so that a fleet is easy to make; the last is direct."""
        path = connector_id(f"{self.name}-run").path
        interface = {"network": self.name, "subnetwork": f"{self.name}-own"}
        return [
            *(
                revision(f"{self.name}-{n:05}", path, "all-traffic", service=self.name)
                for n in range(self.instances)
            ),
            revision(f"{self.name}-direct", egress="all-traffic", interface=interface),
        ]

    def with_addresses(self, made: Fleet) -> Fleet:
        """Give the instance with Direct VPC egress its address."""
        plugged = {
            each.id: direct(each, f"10.{128 + self.number}.3.16", self.name)
            for each in made.instances.values()
            if each.owner.id == f"{self.name}-direct"
        }
        return Fleet({**made.instances, **plugged})

    def ways(self, index: int) -> dict[str, Way]:
        """Return the paths; its first instance is number ``index`` of the fleet."""
        near, far = self._machine("near"), self._machine("far")
        inside = f"10.{128 + self.number}.1.2"
        instance = instance_netns(f"{self.name}-00000-{index:04x}")
        own = instance_netns(f"{self.name}-direct-{index + self.instances:04x}")
        partner = site_netns(PARTNER)
        return {
            "direct": Way("direct", near, far, inside),
            "nat": Way("nat", near, partner, PARTNER_IP),
            "direct VPC": Way("direct VPC", own, far, inside),
            "connector": Way("connector", instance, far, inside),
            "connector+nat": Way("connector+nat", instance, partner, PARTNER_IP),
        }

    def _machine(self, kind: str) -> NetnsName:
        return connector_netns(connector_id(f"{self.name}-{kind}"), 0)

    def stand_ins(self) -> set[NetnsName]:
        """Name the machines that stand for ordinary endpoints."""
        names: tuple[ResourceName, ...] = tuple(connector_id(f"{self.name}-{k}") for k in ("near", "far"))
        return {connector_netns(name, n) for name in names for n in range(2)}


_PORTS = 16384
"""For each endpoint: more than the connections that one measurement opens."""


def build(lab: Lab, *vpcs: Vpc) -> dict[str, dict[str, Way]]:
    """Build ``vpcs``, the partner and the bare pair in the lab; give the ways by VPC."""
    revisions = [each for vpc in vpcs for each in vpc.revisions()]
    resources = [each for vpc in vpcs for each in vpc.resources()]
    made = world(*resources, *revisions, site(PARTNER, PARTNER_IP))
    instances = fleet(*revisions)
    for vpc in vpcs:
        instances = vpc.with_addresses(instances)
    lowered = lower(made, instances, Topology()).topology
    keep = _kept({netns for vpc in vpcs for netns in vpc.stand_ins()})
    lab.build(*filter(keep, lowered), *bare_pair())
    ways, index = {}, 2
    for vpc in vpcs:
        ways[vpc.name] = vpc.ways(index)
        index += vpc.instances + 1
    return ways


def _kept(endpoints: set[NetnsName]) -> Callable[[Element], bool]:
    def keep(element: Element) -> bool:
        match element:
            case Shaper() | Workload():
                return False
            case SourceNat(netns=netns):
                return netns not in endpoints
            case _:
                return True

    return keep
