"""A feature that nobody knew of: routes, firewall rules and Cloud NAT serve its endpoints like any others."""

from ipaddress import IPv4Address, IPv4Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
from fogbank.lowering import vpc_networks
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
        own = NetworkNamespace(NetnsName(f"twice/{source.name.id}"))
        return Fragment.of((own, NetworkNamespace(INTERNET, forwards=False)), source.name)


class Gateways(Feature):
    """A feature that gives the router an address which a subnetwork's gateway may have."""

    resources = frozenset({"toy.gateways"})

    def outside(self, source):
        port, address = Port(NetnsName(VPC), LOOPBACK), IPv4Interface(source.body["address"])
        return Fragment.of((Address(port, address),), source.name)


class Broken(Feature):
    """A feature that raises where its resource says so."""

    resources = frozenset({"toy.broken"})

    def contribution(self, source, find):
        self._fail(source, "contribution")
        subnet = Subnetwork.of(find(regional("subnetworks", "s")))
        netns = NetnsName(f"broken/{source.name.id}")
        own = Interface(netns, subnet.region, frozenset(), source.name, within=subnet.range)
        return Contribution((Membership(subnet.network, interfaces=(own,)),), shared=(source.name,))

    def outside(self, source):
        self._fail(source, "outside")
        return Fragment.of((NetworkNamespace(NetnsName(f"broken/{source.name.id}")),), source.name)

    def inside(self, source, network, endpoints):
        self._fail(source, "inside")
        elements = (each for endpoint in endpoints for each in interface(endpoint, network.mtu))
        return Fragment.of(elements, source.name)

    def shared(self, name, resource, endpoints):
        self._fail(resource, "shared")
        return Fragment.of((NetworkNamespace(NetnsName(f"shared/{name.id}")),), name)

    def _fail(self, source, where):
        if source.body["where"] == where:
            raise ZeroDivisionError(where)


TOYS = (*features(), Machines(), Twice(), Gateways(), Broken())


def toy(kind, name="a", **body):
    return resource(ResourceName(f"toy.{kind}", f"projects/demo/{kind}/{name}"), body)


def made_of(*more, remembering=None, observed=NOTHING):
    return (remembering or Compiler(TOYS)).compile(base(*more), Fleet(), observed)


def test_what_claims_anothers_element_is_left_out_whole_and_everything_else_is_lowered():
    alone, contradicted = made_of(machine("m")), made_of(machine("m"), toy("twice"))
    assert contradicted.topology == alone.topology
    (failure,) = contradicted.failures.values()
    assert failure.owners == {toy("twice").name}
    assert "two parts claim ('netns', 'internet')" in failure.why
    assert "projects/demo/twice/a" in failure.why


@pytest.mark.parametrize("together", [True, False])
def test_a_contradiction_names_both_resources_and_fails_for_that_of_the_later_feature(together):
    remembering = Compiler(TOYS)
    made = world(network(), subnetwork("s", "10.1.0.0/24"))
    gateway = toy("gateways", address="10.1.0.1/32")
    if not together:
        remembering.compile(world(network(), gateway), Fleet(), NOTHING)
    (failure,) = remembering.compile(made.after([Put(gateway)]), Fleet(), NOTHING).failures.values()
    assert failure.owners == {gateway.name}
    assert f"projects/demo/gateways/a, {subnetwork('s', '10.1.0.0/24').name.path}" in failure.why


@pytest.mark.parametrize("where", ["contribution", "outside", "inside", "shared"])
def test_a_feature_that_raises_fails_for_its_resource_alone_and_heals(where):
    remembering = Compiler(TOYS)
    bad, good = toy("broken", "z", where=where), toy("broken", "z", where="nowhere")
    other = toy("broken", "b", where="nowhere")
    failed = made_of(machine("m"), bad, other, remembering=remembering)
    (failure,) = failed.failures.values()
    assert (failure.why, failure.owners) == (f"ZeroDivisionError: {where}", {bad.name})
    assert isinstance(failure.error, ZeroDivisionError)
    whole = made_of(machine("m"), good, other)
    mine = {key for key, owners in whole.owners.items() if owners == {good.name}}
    assert whole.topology.elements.keys() - failed.topology.elements.keys() <= mine
    healed = made_of(machine("m"), good, other, remembering=remembering)
    assert not healed.failures
    assert healed.topology == whole.topology


def test_a_network_that_cannot_be_lowered_is_missing_and_everything_in_it_waits(monkeypatch):
    remembering = Compiler(TOYS)
    monkeypatch.setattr(vpc_networks, "nat_fragments", lambda *_: 1 // 0)
    gateway = (address("ip", "203.0.113.2"), router("router", [nat("nat", ["ip"])]))
    failed = made_of(machine("m"), network("other"), *gateway, remembering=remembering)
    (failure,) = failed.failures.values()
    assert failure.owners >= {network().name, machine("m").name, gateway[1].name}
    assert "vpc/demo/other" in failed.topology.by_netns
    assert "vpc/demo/default" not in failed.topology.by_netns
    monkeypatch.undo()
    healed = made_of(machine("m"), network("other"), gateway[0], remembering=remembering)
    assert not healed.failures
    assert healed.topology == made_of(machine("m"), network("other"), gateway[0]).topology
    assert not remembering.compile(world(), Fleet(), NOTHING).failures


def test_a_failed_network_that_is_deleted_fails_no_more(monkeypatch):
    remembering = Compiler(TOYS)
    monkeypatch.setattr(vpc_networks, "routes_of", lambda *_: 1 // 0)
    assert made_of(remembering=remembering).failures
    assert not remembering.compile(world(), Fleet(), NOTHING).failures


FEW = st.sampled_from(["a", "b", "c"])
CONTENTIOUS = st.one_of(
    st.builds(toy, st.just("twice"), FEW),
    st.builds(toy, st.just("gateways"), FEW, address=st.sampled_from(["10.1.0.1/32", "10.2.0.1/32"])),
    st.builds(toy, st.just("broken"), FEW, where=st.sampled_from(["contribution", "inside", "shared", ""])),
    st.builds(machine, FEW),
    st.just(subnetwork("t", "10.2.0.0/24")),
)


@given(st.lists(st.tuples(st.booleans(), CONTENTIOUS), max_size=12))
def test_who_came_first_does_not_decide_who_is_left_out(steps):
    remembering, growing = Compiler(TOYS), base()
    for comes, each in steps:
        growing = growing.after([Put(each) if comes else Delete(each.name)])
        one = remembering.compile(growing, Fleet(), NOTHING)
        other = Compiler(TOYS).compile(growing, Fleet(), NOTHING)
        assert tuple(one.topology) == tuple(other.topology)
        assert (one.owners, one.failures) == (other.owners, other.failures)
