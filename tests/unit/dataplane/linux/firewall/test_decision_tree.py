"""A tree decides as its list of rules does."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from fogbank.dataplane.linux.firewall.decision_tree import Leaf, Line, Node, Split, decide_by, lines_of
from fogbank.network.filtering import Packet, decide
from fogbank.network.topology import FirewallPolicy, NetnsName, PortRange, Rule, Traffic

numbers = st.integers(0, 40).map(lambda n: n * 7)
ports = st.tuples(numbers, numbers).map(lambda pair: PortRange(min(pair), max(pair)))
protocols = st.sampled_from([None, 1, 6, 17, 47, 132])
traffics = st.builds(Traffic, protocols, st.lists(ports, max_size=3).map(tuple))
addresses = st.integers(0, 255).map(lambda n: IPv4Address(0x0A080000 + n))
networks = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    addresses,
    st.sampled_from([0, 8, 24, 25, 28, 30, 32]),
)
rules = st.builds(
    Rule,
    st.sampled_from(["allow", "deny"]),
    st.lists(traffics, min_size=1, max_size=2).map(tuple),
    st.lists(networks, max_size=2).map(tuple),
    st.lists(st.sampled_from(["web", "batch"]), max_size=1).map(tuple),
    st.lists(networks, max_size=2).map(tuple),
    st.sampled_from(["a", "b", "c"]),
)
packets = st.builds(Packet, addresses, addresses, st.sampled_from([1, 6, 17, 47, 132]), numbers)
GROUPS = {"web": frozenset(map(IPv4Address, ("10.8.0.1", "10.8.0.2"))), "batch": frozenset()}


def walk(node: Node, packet: Packet, address_sets: Mapping[str, AbstractSet[IPv4Address]]) -> Rule | None:
    """Follow a packet through a tree as the kernel would."""
    values = {
        "protocol": packet.protocol,
        "port": packet.port,
        "source": int(packet.source),
        "destination": int(packet.destination),
    }
    while isinstance(node, Split):
        value = values[node.dimension]
        found = [branch for (first, last), branch in node.branches if first <= value <= last]
        assert len(found) <= 1
        node = found[0] if found else node.otherwise
    return next((line.rule for line in node.lines if holds(line, values, packet.source, address_sets)), None)


def holds(line: Line, values: dict, source: IPv4Address, address_sets: Mapping) -> bool:
    within = all(
        not line.spans(dimension) or any(a <= values[dimension] <= b for a, b in line.spans(dimension))
        for dimension in ("protocol", "port", "source", "destination")
    )
    return within and (line.address_set is None or source in address_sets[line.address_set])


def leaves(node: Node) -> list[Leaf]:
    if isinstance(node, Leaf):
        return [node]
    return [leaf for _, branch in node.branches for leaf in leaves(branch)] + leaves(node.otherwise)


@given(st.lists(rules, min_size=1, max_size=40), st.lists(packets, min_size=1, max_size=20))
def test_a_tree_finds_the_first_rule_that_matches(drawn: list[Rule], sent: list[Packet]) -> None:
    policy = FirewallPolicy(NetnsName("vpc"), "p", tuple(drawn), "deny")
    tree = decide_by(tuple(lines_of(policy.rules)))
    for packet in sent:
        ruling = decide(policy, packet, GROUPS)
        assert walk(tree, packet, GROUPS) == ruling.rule


def test_a_thousand_rules_by_port_leave_one_to_compare() -> None:
    many = [Rule("deny", (Traffic(6, (PortRange(n, n),)),)) for n in range(1, 1001)]
    tree = decide_by(tuple(lines_of(many)))
    assert max(len(leaf.lines) for leaf in leaves(tree)) == 1


def test_a_thousand_rules_by_source_leave_few_to_compare() -> None:
    last = Rule("allow", (Traffic(),))
    many = [
        Rule("allow", (Traffic(6, (PortRange(443, 443),)),), (IPv4Network((0x0A000000 + n * 256, 24)),))
        for n in range(1000)
    ]
    tree = decide_by(tuple(lines_of([*many, last])))
    assert max(len(leaf.lines) for leaf in leaves(tree)) == 2


def test_a_short_policy_stays_a_list() -> None:
    few = [Rule("deny", (Traffic(6, (PortRange(n, n),)),)) for n in range(8)]
    assert isinstance(decide_by(tuple(lines_of(few))), Leaf)
