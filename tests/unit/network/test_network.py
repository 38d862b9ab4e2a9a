from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.elements import ELEMENTS

from fogbank.network.addressing import fabric_address, first_free, pool_address, usable
from fogbank.network.filtering import ICMP, Packet, decide
from fogbank.network.invariants import violations
from fogbank.network.nat import PORTS_PER_ADDRESS, Block, blocks_per_address, deal, is_block
from fogbank.network.routing import RoutingTable
from fogbank.network.topology import (
    DeviceName,
    FirewallPolicy,
    Hop,
    Link,
    NetnsName,
    NetworkNamespace,
    Port,
    PortRange,
    PortSecurity,
    Route,
    Rule,
    SourceNat,
    StatefulFirewall,
    Topology,
    Traffic,
)

SPACE = NetnsName("vpc/demo/default")
ETH = DeviceName("eth0")
SIZES = st.sampled_from([2**n for n in range(1, 17)])


def ip(text):
    return IPv4Address(text)


def net(text):
    return IPv4Network(text)


def test_a_slash_28_has_twelve_usable_addresses_and_the_third_comes_first():
    network = net("10.124.0.0/28")
    assert len(usable(network)) == 12
    assert first_free(network, {ip("10.124.0.3")}, 2) == (ip("10.124.0.2"), ip("10.124.0.4"))
    assert len(first_free(network, set(), 20)) == 12


def test_places_in_the_fabric_and_draws_of_the_pool_are_addresses():
    assert fabric_address(17) == ip("169.254.16.17")
    assert pool_address(0) == ip("198.51.100.1")
    assert pool_address(254) == pool_address(0)
    with pytest.raises(ValueError, match="no place"):
        fabric_address(0)


@pytest.mark.parametrize(("size", "blocks"), [(64, 1008), (1024, 63), (2048, 31), (32768, 1), (65536, 0)])
def test_an_address_holds_as_many_blocks_as_google_says(size, blocks):
    assert blocks_per_address(size) == blocks == PORTS_PER_ADDRESS // size


def _clients(count):
    return [IPv4Address(int(ip("10.0.0.2")) + n) for n in range(count)]


def test_blocks_are_dealt_first_fit_over_the_addresses_in_order():
    outsides = [ip("203.0.113.9"), ip("203.0.113.2")]
    dealt = deal(_clients(3), outsides, 32768, {})
    assert [str(block.outside) for block in dealt.values()] == ["203.0.113.9", "203.0.113.2"]
    first = deal(_clients(2), outsides, 64, {})
    assert [str(block.ports) for block in first.values()] == ["1024-1087", "1088-1151"]


@given(SIZES, st.integers(0, 40), st.integers(1, 3))
def test_dealt_blocks_are_aligned_and_never_overlap(size, count, outsides):
    addresses = [IPv4Address(int(ip("203.0.113.2")) + n) for n in range(outsides)]
    dealt = deal(_clients(count), addresses, size, {})
    assert len(dealt) == min(count, outsides * blocks_per_address(size))
    assert len(set(dealt.values())) == len(dealt)
    assert all(is_block(block.ports, size) for block in dealt.values())


@given(SIZES, st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30), unique=True))
def test_who_holds_a_valid_block_keeps_it(size, before, after):
    everybody, outsides = _clients(31), [ip("203.0.113.2"), ip("203.0.113.3")]
    held = deal([everybody[n] for n in before], outsides, size, {})
    dealt = deal([everybody[n] for n in after], outsides, size, held)
    for number in after:
        if (client := everybody[number]) in held:
            assert dealt[client] == held[client]
    assert len(set(dealt.values())) == len(dealt)


def test_a_block_on_a_drained_address_is_dealt_anew():
    client = ip("10.0.0.2")
    held = {client: Block(ip("203.0.113.2"), PortRange(1024, 1087))}
    assert deal([client], [ip("203.0.113.3")], 64, held)[client].outside == ip("203.0.113.3")


def test_the_longest_prefix_wins_and_a_route_without_hops_is_a_black_hole():
    targets = ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32")
    routes = [Route(SPACE, net(text), ()) for text in targets]
    table = RoutingTable.of(routes)
    for target, expected in (("10.1.2.3", 3), ("10.1.9.9", 2), ("10.9.9.9", 1), ("8.8.8.8", 0)):
        assert table.lookup(ip(target)) == routes[expected]
    assert RoutingTable.of(routes[1:]).lookup(ip("8.8.8.8")) is None


def _rule(action="allow", protocol=6, ports=(), **more):
    return Rule(action, (Traffic(protocol, tuple(ports)),), **more)


WEB = Packet(ip("10.0.0.2"), ip("10.0.0.9"), 6, 80)


def test_the_first_rule_that_matches_decides():
    deny, allow = _rule("deny", ports=[PortRange(80, 80)]), _rule()
    assert decide(FirewallPolicy(SPACE, "p", (deny, allow), "allow"), WEB, {}).rule == deny
    assert decide(FirewallPolicy(SPACE, "p", (allow, deny), "deny"), WEB, {}).rule == allow
    assert decide(FirewallPolicy(SPACE, "p", (), "deny"), WEB, {}).action == "deny"


def test_a_rule_whose_group_is_empty_matches_nothing():
    policy = FirewallPolicy(SPACE, "p", (_rule(address_sets=("tag-web",)),), "deny")
    assert decide(policy, WEB, {}).action == "deny"
    assert decide(policy, WEB, {"tag-web": {ip("10.0.0.2")}}).action == "allow"
    either = FirewallPolicy(
        SPACE, "p", (_rule(address_sets=("tag-web",), sources=(net("10.0.0.0/24"),)),), "deny"
    )
    assert decide(either, WEB, {}).action == "allow"


def test_ports_are_asked_only_of_protocols_that_have_them():
    policy = FirewallPolicy(SPACE, "p", (_rule(protocol=None, ports=[PortRange(80, 80)]),), "deny")
    assert decide(policy, WEB, {}).action == "allow"
    assert decide(policy, Packet(WEB.source, WEB.destination, ICMP, 80), {}).action == "deny"


def test_a_destination_outside_the_rules_ranges_is_not_its_business():
    policy = FirewallPolicy(SPACE, "p", (_rule("deny", destinations=(net("10.9.0.0/16"),)),), "allow")
    assert decide(policy, WEB, {}).action == "allow"


def _sound():
    other = NetnsName("instance/x")
    return [
        NetworkNamespace(SPACE, forwards=True),
        NetworkNamespace(other),
        Link(Port(SPACE, ETH), Port(other, ETH)),
        StatefulFirewall(SPACE),
        FirewallPolicy(SPACE, "p", (), "deny"),
        PortSecurity(SPACE, ETH, ip("10.0.0.2"), "p", "p"),
        SourceNat(SPACE, ETH, net("10.0.0.2/32"), ip("203.0.113.2"), PortRange(1024, 1087)),
    ]


BAD = {
    "does not exist": Route(SPACE, net("10.0.0.0/8"), (Hop(DeviceName("eth7")),)),
    "share ports": SourceNat(SPACE, ETH, net("10.0.0.3/32"), ip("203.0.113.2"), PortRange(1080, 1090)),
    "refers to": PortSecurity(SPACE, DeviceName("eth7"), ip("10.0.0.3"), "p", "other"),
    "needs the address": Route(SPACE, net("10.0.0.0/8"), (Hop(ETH),), ip("10.0.0.77")),
    "no name for a device": Link(
        Port(SPACE, DeviceName("much-too-long-name")), Port(NetnsName("instance/x"), DeviceName("b"))
    ),
    "two links claim": Link(Port(SPACE, DeviceName("eth1")), Port(NetnsName("instance/x"), ETH)),
    "stands in": StatefulFirewall(NetnsName("nowhere")),
}


def test_a_network_of_every_kind_can_be_built():
    assert violations(Topology.of(ELEMENTS)) == ()


@pytest.mark.parametrize(("complaint", "element"), BAD.items(), ids=BAD)
def test_what_cannot_be_built_is_told(complaint, element):
    assert violations(Topology.of(_sound())) == ()
    told = violations(Topology.of([*_sound(), element]))
    assert any(complaint in sentence for sentence in told), told
