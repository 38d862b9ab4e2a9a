"""Routes over several hops keep their group as hops come and go; old kernels get an ordinary route."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from fogbank.dataplane.linux.net import ecmp, rtnetlink
from fogbank.dataplane.linux.net.ecmp import NEWNEXTHOP, NexthopGroups
from fogbank.dataplane.linux.net.netlink import Message
from fogbank.dataplane.linux.net.rtnetlink import NEWROUTE, Way
from fogbank.network.topology import NetnsName

HUB, KEY, ANY = NetnsName("hub/a"), ("route", "hub/a", "0.0.0.0/0"), IPv4Network("0.0.0.0/0")
ONE, TWO, THREE = (Way(index, IPv4Address("169.254.1.5")) for index in (100, 102, 104))


def put(groups: NexthopGroups, *ways: Way) -> list[Message]:
    return groups.put(KEY, HUB, ANY, ways, None)


def test_hops_come_before_their_group_and_the_group_before_its_route() -> None:
    kinds = [message.kind for message in put(NexthopGroups(), ONE, TWO)]
    assert kinds == [NEWNEXTHOP, NEWNEXTHOP, NEWNEXTHOP, NEWROUTE]


def test_a_hop_more_changes_the_group_and_nothing_else() -> None:
    groups = NexthopGroups()
    first, second, _, route = put(groups, ONE, TWO)
    again = put(groups, ONE, TWO, THREE)
    assert again[:2] == [first, second]
    assert again[-1] == route


@pytest.mark.parametrize("ways", [(), (ONE,)])
def test_a_route_with_one_hop_or_none_needs_no_group(ways: tuple[Way, ...]) -> None:
    assert put(NexthopGroups(), *ways) == [rtnetlink.put_route(ANY, ways, None)]


def test_a_kernel_without_resilient_groups_gets_an_ordinary_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecmp, "_kernel", lambda: (5, 10))
    assert put(NexthopGroups(), ONE, TWO) == [rtnetlink.put_route(ANY, (ONE, TWO), None)]
