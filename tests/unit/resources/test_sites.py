"""Third parties: their addresses, their allow-lists, and what the operator may not do."""

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.errors import OperatorError
from fogbank.resources.sites import (
    BUILTIN_SITES,
    NETWORK,
    Site,
    find_site,
    new_site,
    remove_site,
    sites,
)
from fogbank.resources.world import World

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def with_site(world: World, host: str, ports=(), allow=()) -> World:
    return world.after([new_site(world, host, ports=ports, allow=allow, now=NOW, new_id=lambda: 7)])


def test_the_built_in_hosts_are_there_from_the_start_at_different_addresses():
    everybody = sites(World())
    assert {site.host for site in everybody} >= {"ifconfig.me", "api.ipify.org", "checkip.amazonaws.com"}
    assert len({site.address for site in everybody}) == len(everybody)
    assert all(site.address in NETWORK for site in everybody)


def test_ifconfig_me_keeps_its_address():
    assert BUILTIN_SITES["ifconfig.me"].address == IPv4Address("192.0.2.2")


def test_a_partner_is_read_back_as_it_was_added():
    world = with_site(World(), "Partner.Example.com", [8443, 443], ["203.0.113.7", "198.51.100.0/24"])
    assert find_site(world, "partner.example.com") == Site(
        "partner.example.com",
        IPv4Address("192.0.2.32"),
        "partner",
        (8443,),
        (IPv4Network("198.51.100.0/24"), IPv4Network("203.0.113.7/32")),
    )


def test_a_partner_listens_on_the_web_ports_and_its_own():
    world = with_site(World(), "partner.example.com", [8443, 443])
    site = find_site(world, "partner.example.com")
    assert site is not None
    assert site.all_ports == (80, 443, 8443)


def test_a_removed_partners_address_is_the_next_ones():
    world = with_site(with_site(World(), "a.example.com"), "b.example.com")
    world = world.after([remove_site(world, "a.example.com")])
    assert find_site(world, "a.example.com") is None
    site = find_site(with_site(world, "c.example.com"), "c.example.com")
    assert site is not None
    assert site.address == IPv4Address("192.0.2.32")


@given(st.integers(0, 2**32 - 1))
def test_without_an_allow_list_everybody_is_admitted(caller):
    assert Site("a.example.com", IPv4Address("192.0.2.32")).admits(IPv4Address(caller))


@given(st.integers(0, 2**32 - 1))
def test_an_allow_list_admits_exactly_its_networks(caller):
    site = Site("a.example.com", IPv4Address("192.0.2.32"), allow=(IPv4Network("203.0.113.0/24"),))
    address = IPv4Address(caller)
    assert site.admits(address) == (address in IPv4Network("203.0.113.0/24"))


@pytest.mark.parametrize(
    ("host", "ports", "allow", "why"),
    [
        ("ifconfig.me", [], [], "built in"),
        ("taken.example.com", [], [], "already"),
        ("192.0.2.9", [], [], "not a host name"),
        ("-x.example.com", [], [], "not a host name"),
        ("partner", [], [], "not a host name"),
        ("x.googleapis.com", [], [], "Google Cloud"),
        ("metadata.google.internal", [], [], "Google Cloud"),
        ("p.example.com", [70000], [], "not a port"),
        ("p.example.com", [], ["300.1.1.1"], "not an IPv4 address"),
        ("p.example.com", [], ["203.0.113.7/24"], "Did you mean 203.0.113.0/24"),
        ("p.example.com", [], ["2001:db8::/32"], "not an IPv4 address"),
    ],
)
def test_what_cannot_be_added_says_why(host, ports, allow, why):
    with pytest.raises(OperatorError, match=why):
        with_site(with_site(World(), "taken.example.com"), host, ports, allow)


def test_two_hundred_and_twenty_three_partners_fit_and_no_more():
    world = World()
    for number in range(223):
        world = with_site(world, f"p{number}.example.com")
    assert len({site.address for site in sites(world)}) == len(sites(world))
    with pytest.raises(OperatorError, match="223"):
        with_site(world, "one-more.example.com")


def test_a_built_in_host_or_a_stranger_cannot_be_removed():
    with pytest.raises(OperatorError, match="built in"):
        remove_site(World(), "ifconfig.me")
    with pytest.raises(OperatorError, match="no third party"):
        remove_site(World(), "stranger.example.com")
