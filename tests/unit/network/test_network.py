from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.elements import ELEMENTS

from fogbank.network.addressing import fabric_address, first_free, pool_address, usable
from fogbank.network.filtering import ICMP, Packet, decide
from fogbank.network.invariants import violations
from fogbank.network.nat import PORTS_PER_ADDRESS, Blocks, addresses_for, deal, is_aligned
from fogbank.network.routing import RoutingTable
from fogbank.network.topology import (
    DeviceName,
    FirewallPolicy,
    Hop,
    Link,
    NetnsName,
    NetworkNamespace,
    Port,
    PortBlock,
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


@pytest.mark.parametrize(
    ("clients", "size", "addresses"),
    [(1008, 64, 1), (1009, 64, 2), (63, 1024, 1), (64, 1024, 2), (1, 65536, 2)],
)
def test_as_many_addresses_are_needed_as_google_says(clients, size, addresses):
    assert addresses_for(clients * size) == addresses


def _clients(count):
    return [IPv4Address(int(ip("10.0.0.2")) + n) for n in range(count)]


def _addresses(count):
    return [IPv4Address(int(ip("203.0.113.2")) + n) for n in range(count)]


def _equal(clients, size):
    return dict.fromkeys(clients, size)


def _ports(blocks):
    """List every port that somebody has, with its address."""
    return [
        (block.outside, port) for block in blocks for port in range(block.ports.first, block.ports.last + 1)
    ]


def test_blocks_are_dealt_first_fit_over_the_addresses_in_order():
    outsides = [ip("203.0.113.9"), ip("203.0.113.2")]
    dealt = deal(_equal(_clients(2), 32768), outsides, {})
    assert [str(block.outside) for (block,) in dealt.values()] == ["203.0.113.9", "203.0.113.2"]
    first = deal(_equal(_clients(2), 64), outsides, {})
    assert [str(block.ports) for (block,) in first.values()] == ["1024-1087", "1088-1151"]


def test_ports_that_are_in_no_one_run_are_dealt_in_several():
    dealt = deal(_equal(_clients(4), 32768), _addresses(2), {})
    assert [len(blocks) for blocks in dealt.values()] == [1, 1, 2]
    assert {sum(len(block.ports) for block in blocks) for blocks in dealt.values()} == {32768}
    (whole,) = deal(_equal(_clients(1), 65536), _addresses(2), {}).values()
    assert [len(block.ports) for block in whole] == [32768, 32768]
    assert deal(_equal(_clients(1), 65536), _addresses(1), {}) == {}


@given(SIZES, st.integers(0, 40), st.integers(1, 3))
def test_dealt_blocks_are_aligned_never_overlap_and_use_every_port_there_is(size, count, outsides):
    dealt = deal(_equal(_clients(count), size), _addresses(outsides), {})
    assert len(dealt) == min(count, outsides * PORTS_PER_ADDRESS // size)
    blocks = [block for found in dealt.values() for block in found]
    assert all(is_aligned(block.ports) for block in blocks)
    assert sum(len(block.ports) for block in blocks) == size * len(dealt)
    spans = sorted((block.outside, block.ports.first, block.ports.last) for block in blocks)
    assert all(one[0] != two[0] or one[2] < two[1] for one, two in pairwise(spans))


@given(SIZES, st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30), unique=True))
def test_who_holds_valid_blocks_keeps_them(size, before, after):
    everybody, outsides = _clients(31), _addresses(2)
    held = deal(_equal([everybody[n] for n in before], size), outsides, {})
    dealt = deal(_equal([everybody[n] for n in after], size), outsides, held)
    for number in after:
        if (client := everybody[number]) in held:
            assert dealt[client] == held[client]
    ports = [block for blocks in dealt.values() for block in blocks]
    assert len(set(ports)) == len(ports)


@given(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from([32, 64, 128, 1024])), max_size=12),
    st.integers(1, 2),
)
def test_whoever_grows_or_shrinks_keeps_the_ports_that_it_may_have(steps, outsides):
    """Allocations of a dynamic gateway, changed one client at a time."""
    clients = _clients(9)
    wanted: dict[IPv4Address, int] = {}
    held: Mapping[IPv4Address, Blocks] = {}
    for number, ports in steps:
        wanted = wanted | {clients[number]: ports}
        dealt = deal(wanted, _addresses(outsides), held, fewest=32)
        taken = [each for blocks in dealt.values() for each in _ports(blocks)]
        assert len(taken) == len(set(taken)), "two clients share a port"
        for client, blocks in dealt.items():
            assert 32 <= sum(len(block.ports) for block in blocks) <= wanted[client]
            mine, before = set(_ports(blocks)), set(_ports(held.get(client, ())))
            assert before <= mine or mine <= before, "growing or shrinking moved something"
        held = dealt


def test_more_ports_are_around_the_old_ones_where_there_is_room():
    (client,) = _clients(1)
    held = deal({client: 64}, _addresses(1), {})
    assert [str(b.ports) for b in deal({client: 128}, _addresses(1), held)[client]] == ["1024-1151"]
    both = deal(_equal(_clients(2), 64), _addresses(1), {})
    grown = deal({client: 128, _clients(2)[1]: 64}, _addresses(1), both)
    assert [str(b.ports) for b in grown[client]] == ["1024-1087", "1152-1215"]


def test_a_client_that_cannot_grow_keeps_what_it_has():
    one, other = _clients(2)
    held = deal({one: 32768, other: 16384}, _addresses(1), {})
    dealt = deal({one: 65536, other: 16384}, _addresses(1), held, fewest=64)
    assert dealt[other] == held[other]
    assert sum(len(block.ports) for block in dealt[one]) == PORTS_PER_ADDRESS - 16384


def test_a_block_on_a_drained_address_is_dealt_anew():
    client = ip("10.0.0.2")
    held = {client: (PortBlock(ip("203.0.113.2"), PortRange(1024, 1087)),)}
    assert deal({client: 64}, [ip("203.0.113.3")], held)[client][0].outside == ip("203.0.113.3")


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
