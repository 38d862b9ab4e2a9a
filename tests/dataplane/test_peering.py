"""VPC Network Peering as packets meet it: both firewalls, nothing passes on, and it ends for both sides.

Three networks in a row, a—b—c, each with a connector machine that stands for a VM; the translation of the
connectors is taken away, so that machines send and receive with their own addresses.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

import pytest
from tests import worlds
from tests.lowered import compiler
from tests.private_world import Lab

from fogbank.lowering.compiler import Compiler
from fogbank.lowering.netns_names import connector_netns
from fogbank.network.topology import Element, Listener, NetnsName, SourceNat, Topology, Workload
from fogbank.paths.predict import predict
from fogbank.paths.trace import Cause, Dropped, Flow
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import Resource

pytestmark = pytest.mark.netns

PORT = 8080
RANGES = {"a": "10.1.0.0/28", "b": "10.2.0.0/28", "c": "10.3.0.0/28"}
MACHINES = {each: connector_netns(worlds.connector_id(f"m{each}"), 0) for each in RANGES}
HOSTS = {each: IPv4Address(cidr.removesuffix("0/28") + "2") for each, cidr in RANGES.items()}
OPEN = tuple(worlds.firewall(f"open-{each}", of=each, sourceRanges=["0.0.0.0/0"]) for each in RANGES)
ROW: dict[str, Sequence[Any]] = {"a": ("b",), "b": ("a", "c"), "c": ("b",)}


def stand(
    lab: Lab, *rules: Resource, peers: dict[str, Sequence[Any]] = ROW, known: Compiler | None = None
) -> Topology:
    """Build the three networks with ``rules``; ``known`` is a compiler that has seen another state."""
    world = worlds.world(
        *(worlds.network(each, peers=peers.get(each, ())) for each in RANGES),
        *(worlds.subnetwork(f"s{each}", cidr, of=each) for each, cidr in RANGES.items()),
        *(worlds.connector(f"m{each}", cidr, of=each, subnet=f"s{each}") for each, cidr in RANGES.items()),
        *rules,
    )
    lowered = (known or compiler()).compile(world, Fleet({}), Topology())
    assert not lowered.failures
    topology = Topology.of(filter(_kept, lowered.topology))
    lab.build(*topology)
    return topology


def _kept(element: Element) -> bool:
    return not isinstance(element, Workload | Listener) and not (
        isinstance(element, SourceNat) and element.netns.startswith("connector/")
    )


def _arrives(lab: Lab, topology: Topology, one: str, other: str) -> bool:
    """Send a packet from ``one`` machine to the ``other``; what it does must be what was predicted."""
    predicted = predict(topology, Flow(MACHINES[one], HOSTS[other], PORT, source=HOSTS[one]))
    with lab.listen(MACHINES[other], HOSTS[other], PORT) as server:
        arrived = lab.reaches(MACHINES[one], HOSTS[other], PORT, source=HOSTS[one])
        assert arrived == all(not isinstance(each.disposition, Dropped) for each in predicted.branches)
        assert not arrived or server.first_peer()[0] == str(HOSTS[one]), "the peer sees the private source"
    return arrived


def test_peers_reach_one_another_and_nobody_beyond(lab: Lab) -> None:
    topology = stand(lab, *OPEN)
    reached = {
        (one, other): _arrives(lab, topology, one, other)
        for one in RANGES
        for other in RANGES
        if one != other
    }
    assert {pair for pair, arrived in reached.items() if arrived} == {
        ("a", "b"), ("b", "a"), ("b", "c"), ("c", "b"),
    }  # fmt: skip
    (branch,) = predict(topology, Flow(MACHINES["a"], HOSTS["c"], PORT)).branches
    assert isinstance(branch.disposition, Dropped)
    assert branch.disposition.cause == Cause.NO_ROUTE


def test_each_network_judges_its_own_endpoints(lab: Lab) -> None:
    """Egress rules count at the sender, ingress rules at the receiver, by the sender's own address."""
    caged = worlds.firewall(
        "caged",
        "EGRESS",
        of="a",
        priority=10,
        denied=[{"IPProtocol": "tcp"}],
        destinationRanges=["10.2.0.0/16"],
    )
    only = worlds.firewall("only-a", of="b", sourceRanges=["10.1.0.2/32"])
    assert _arrives(lab, stand(lab, only), "a", "b")
    assert not _arrives(lab, stand(lab, only), "c", "b"), "an implied rule denies it"
    assert not _arrives(lab, stand(lab, only), "b", "a"), "and a has no rule at all"
    assert not _arrives(lab, stand(lab, only, caged), "a", "b"), "a's own rule denies it"


def test_a_peer_sends_from_its_own_ranges_only(lab: Lab) -> None:
    stand(lab, *OPEN)
    with lab.listen(MACHINES["b"], HOSTS["b"], PORT):
        elsewhere = NetnsName("peering/demo/a/demo/b")
        assert not lab.reaches(elsewhere, HOSTS["b"], PORT), "the router has no address of a's"


def test_a_peering_that_one_side_ends_is_over_for_both_and_comes_back(lab: Lab) -> None:
    known = compiler()
    assert _arrives(lab, stand(lab, *OPEN, known=known), "a", "b")
    one_sided = ROW | {"b": ("c",)}
    topology = stand(lab, *OPEN, peers=one_sided, known=known)
    assert not _arrives(lab, topology, "a", "b")
    assert not _arrives(lab, topology, "b", "a")
    assert _arrives(lab, topology, "b", "c"), "the other peering is as before"
    assert _arrives(lab, stand(lab, *OPEN, known=known), "b", "a")


def test_a_subnetwork_that_grows_is_reached_whole(lab: Lab) -> None:
    """The range in the peer's filter is exchanged in one step: old and new overlap."""
    known = compiler()
    topology = stand(lab, *OPEN, known=known)
    assert _arrives(lab, topology, "a", "b")
    world = worlds.world(
        *(worlds.network(each, peers=ROW[each]) for each in RANGES),
        worlds.subnetwork("sa", RANGES["a"], of="a"),
        worlds.subnetwork("sb", "10.2.0.0/24", of="b", secondary=("10.20.0.0/16",)),
        worlds.subnetwork("sc", RANGES["c"], of="c"),
        *(worlds.connector(f"m{each}", cidr, of=each, subnet=f"s{each}") for each, cidr in RANGES.items()),
        *OPEN,
    )
    lowered = known.compile(world, Fleet({}), Topology())
    topology = Topology.of(filter(_kept, lowered.topology))
    lab.build(*topology)
    assert _arrives(lab, topology, "a", "b")
    assert _arrives(lab, topology, "b", "a")


def test_a_default_route_to_an_address_is_exchanged_like_any_other(lab: Lab) -> None:
    """It leads into the peer, where nobody has the next hop: dropped there, and not before."""
    out = worlds.route("out", of="b", via="10.2.0.9")
    peers: dict[str, Sequence[Any]] = {
        "a": [("b", {"imports": True})],
        "b": [("a", {"exports": True}), "c"],
        "c": ["b"],
    }
    topology = stand(lab, *OPEN, out, peers=peers)
    assert _arrives(lab, topology, "a", "b")
    (branch,) = predict(topology, Flow(MACHINES["a"], IPv4Address("192.0.2.40"), 80)).branches
    assert branch.hops[-1].netns == "vpc/demo/b"
    assert not lab.reaches(MACHINES["a"], "192.0.2.40", 80, timeout=0.3)
    (branch,) = predict(topology, Flow(MACHINES["c"], IPv4Address("192.0.2.40"), 80)).branches
    assert branch.hops[-1].netns == "vpc/demo/c", "nothing is exported to c"
