"""A feature that nobody knew of: routes, firewall rules and Cloud NAT serve its endpoints like any others."""

from ipaddress import IPv4Address, IPv4Interface

import pytest
from tests.worlds import (
    address,
    connector,
    default_route,
    firewall,
    link,
    nat,
    network,
    regional,
    resource,
    route,
    router,
    subnetwork,
    world,
)

from fogbank.app.features import features
from fogbank.lowering.compiler import Compiler
from fogbank.lowering.endpoints import tag_mark
from fogbank.lowering.feature import Contribution, Feature, Interface, Membership
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import INTERNET, LOOPBACK
from fogbank.lowering.routes import endpoint_routes
from fogbank.lowering.vpc import interface
from fogbank.network.invariants import violations
from fogbank.network.topology import (
    Address,
    NetnsName,
    NetworkNamespace,
    Port,
    PortSecurity,
    Route,
    SourceNat,
    Topology,
)
from fogbank.resources.compute import Subnetwork
from fogbank.resources.fleet import Fleet
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Delete, Put

NOTHING = Topology()
VPC = "vpc/demo/default"


def machine(name, subnet="s", ip=None, tags=()):
    path = f"projects/demo/zones/z/instances/{name}"
    return resource(ResourceName("toy.instances", path), {"subnet": subnet, "ip": ip, "tags": list(tags)})


class Machines(Feature):
    """Virtual machines with one interface, in a subnetwork that they only name."""

    resources = frozenset({"toy.instances"})

    def contribution(self, source, find):
        name = regional("subnetworks", source.body["subnet"])
        found = find(name)
        if found is None:
            return Contribution(reads=(name,))
        subnet, ip = Subnetwork.of(found), source.body["ip"]
        marks = frozenset(map(tag_mark, source.body["tags"]))
        netns = NetnsName(f"toy/{source.name.id}")
        own = Interface(
            netns,
            subnet.region,
            marks,
            source.name,
            address=IPv4Address(ip) if ip else None,
            within=subnet.range,
        )
        return Contribution((Membership(subnet.network, interfaces=(own,)),), reads=(name,))

    def inside(self, source, network, endpoints):
        def elements():
            for endpoint in endpoints:
                yield NetworkNamespace(endpoint.netns)
                yield from interface(endpoint, network.mtu)
                yield from endpoint_routes(network.routes, endpoint)

        return Fragment.of(elements(), source.name)


def compiler():
    return Compiler((*features(), Machines()))


def base(*more):
    return world(network(), default_route(), subnetwork("s", "10.1.0.0/24"), *more)


def lower(made, observed=NOTHING):
    found = compiler().compile(made, Fleet(), observed).topology
    assert violations(found) == ()
    return found


def address_of(found, name):
    (own,) = [e.interface.ip for e in found.of_kind(Address) if e.port.netns == f"toy/{name}"]
    return str(own)


def test_its_endpoints_have_port_security_with_the_rules_for_their_tags():
    rule = firewall("web", targetTags=["web"], allowed=[{"IPProtocol": "tcp", "ports": ["80"]}])
    found = lower(base(machine("a", tags=["web"]), machine("b"), rule))
    security = {str(e.address): e.ingress for e in found.of_kind(PortSecurity) if e.netns == VPC}
    assert security[address_of(found, "b")] == "ingress"
    assert security[address_of(found, "a")].startswith("ingress-")


def test_cloud_nat_serves_them_beside_a_connectors_machines():
    gateway = nat("nat", ["ip"])
    made = base(machine("a"), connector("c"), address("ip", "203.0.113.2"), router("router", [gateway]))
    served = {str(e.inside) for e in lower(made).of_kind(SourceNat) if e.netns == VPC}
    assert served == {"10.1.0.2/32", "10.8.0.2/32", "10.8.0.3/32"}


def test_a_route_for_another_tag_is_closed_to_them():
    found = lower(base(machine("a"), route("theirs", "192.0.2.0/24", tags=["web"])))
    own = {str(e.destination) for e in found.of_kind(Route) if e.netns == "toy/a" and e.hops}
    assert "192.0.2.0/24" not in own
    assert "0.0.0.0/0" in own


def test_an_address_that_was_asked_for_or_reserved_is_given_to_nobody_else():
    body = {
        "address": "10.1.0.2",
        "addressType": "INTERNAL",
        "subnetwork": link(regional("subnetworks", "s")),
    }
    reserved = resource(regional("addresses", "mine"), body)
    found = lower(base(machine("a"), machine("b"), machine("c", ip="10.1.0.3"), reserved))
    assert [address_of(found, name) for name in "abc"] == ["10.1.0.4", "10.1.0.5", "10.1.0.3"]


def test_an_address_once_given_stays_when_others_come_and_go():
    before = base(machine("a"), machine("b"))
    first = lower(before)
    gone = Delete(machine("a").name)
    second = lower(before.after([gone]), first)
    assert address_of(second, "b") == address_of(first, "b") == "10.1.0.3"
    assert address_of(lower(before.after([gone])), "b") == "10.1.0.2"


def test_what_a_source_looked_up_and_comes_later_is_noticed():
    remembering = compiler()
    made = world(network(), default_route(), machine("a"))
    assert "toy/a" not in remembering.compile(made, Fleet(), NOTHING).topology.by_netns
    found = remembering.compile(made.after([Put(subnetwork("s", "10.1.0.0/24"))]), Fleet(), NOTHING).topology
    assert address_of(found, "a") == "10.1.0.2"


class Twice(Feature):
    """A feature that claims what another one has."""

    resources = frozenset({"toy.twice"})

    def outside(self, source):
        return Fragment.of((NetworkNamespace(INTERNET),), source.name)


def test_two_features_that_claim_one_element_are_a_contradiction_and_change_nothing():
    remembering = Compiler((*features(), Twice()))
    before = remembering.compile(base(), Fleet(), NOTHING)
    wrong = base().after([Put(resource(ResourceName("toy.twice", "projects/demo/twice/a"), {}))])
    with pytest.raises(ValueError, match="two parts claim"):
        remembering.compile(wrong, Fleet(), NOTHING)
    assert remembering.compile(base(), Fleet(), NOTHING).topology == before.topology


class Gateways(Feature):
    """A feature that gives the router an address which a subnetwork's gateway may have."""

    resources = frozenset({"toy.gateways"})

    def outside(self, source):
        port, address = Port(NetnsName(VPC), LOOPBACK), IPv4Interface(source.body["address"])
        return Fragment.of((Address(port, address),), source.name)


@pytest.mark.parametrize("together", [True, False])
def test_a_contradiction_names_the_resources_whose_it_is(together):
    remembering = Compiler((*features(), Gateways()))
    gateway = resource(ResourceName("toy.gateways", "projects/demo/gateways/a"), {"address": "10.1.0.1/32"})
    made = world(network(), subnetwork("s", "10.1.0.0/24"))
    if not together:
        remembering.compile(made, Fleet(), NOTHING)
    with pytest.raises(ValueError, match=r"projects/demo/gateways/a, projects/demo/.*/subnetworks/s"):
        remembering.compile(made.after([Put(gateway)]), Fleet(), NOTHING)
