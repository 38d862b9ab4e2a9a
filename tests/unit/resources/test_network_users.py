"""Who has addresses in a network is found by what it keeps, whatever API it is of."""

from dataclasses import replace
from ipaddress import IPv4Network

from tests import worlds

from fogbank.resources.names import ResourceName, compute_name
from fogbank.resources.network_ranges import taken_ranges
from fogbank.resources.network_users import NetworkUser, network_use, network_users, subnetwork_users
from fogbank.resources.world import World

NET, OTHER = (compute_name("networks", worlds.P, "global", None, name) for name in ("default", "other"))
SUBNET = worlds.regional("subnetworks", "s")
RANGE = IPv4Network("10.77.0.0/29")


def cache(name, network=NET, within=RANGE, subnetwork=None, state="READY"):
    path = f"projects/{worlds.P}/locations/{worlds.R}/instances/{name}"
    made = worlds.resource(ResourceName("toy.instances", path), {"state": state})
    return replace(made, private=network_use(network, within, subnetwork) | {"own": 1})


def test_an_unknown_apis_resources_and_connectors_are_found_by_their_network():
    world = worlds.world(cache("a"), cache("b", OTHER), worlds.connector("c"))
    assert [each.name.id for each in network_users(world, NET)] == ["a", "c"]
    assert [each.noun for each in network_users(world, NET)] == ["instance", "connector"]
    assert list(network_users(world, OTHER)) == [NetworkUser(cache("b").name, RANGE, None)]


def test_one_in_error_and_one_without_a_place_use_nothing():
    nowhere = replace(cache("c"), private={"network": NET.path})
    assert list(network_users(worlds.world(cache("a", state="ERROR"), nowhere), NET)) == []
    assert list(network_users(World(), NET)) == []


def test_a_subnetwork_is_used_by_those_who_name_it():
    world = worlds.world(cache("a", subnetwork=SUBNET), cache("b"))
    assert [each.id for each in subnetwork_users(world, NET, SUBNET)] == ["a"]


def test_a_range_that_was_brought_is_taken_and_one_in_a_subnetwork_is_the_subnetworks():
    world = worlds.world(
        worlds.subnetwork("s", "10.1.0.0/24"),
        cache("a"),
        cache("b", within=IPv4Network("10.1.0.0/24"), subnetwork=SUBNET),
    )
    assert [(str(each.range), each.holder) for each in taken_ranges(world, NET)] == [
        ("10.1.0.0/24", f"existing subnetwork 's' in region '{worlds.R}'."),
        ("10.77.0.0/29", f"the range of instance 'a' in region '{worlds.R}'."),
    ]
