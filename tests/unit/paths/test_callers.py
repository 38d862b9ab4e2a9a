"""Whose a translated source address is."""

from ipaddress import IPv4Address, IPv4Network

from fogbank.network.topology import DeviceName, NetnsName, SourceNat, Topology
from fogbank.paths.callers import Callers, vpc_projects

EXT = DeviceName("ext")


def translation(netns: str, outside: str, *draining: str) -> SourceNat:
    inside = IPv4Network("10.0.0.0/28")
    addresses = tuple(map(IPv4Address, draining))
    return SourceNat(NetnsName(netns), EXT, inside, IPv4Address(outside), draining=addresses)


def test_an_address_of_cloud_nat_is_its_networks_project_and_one_of_the_pool_nobodys() -> None:
    topology = Topology.of(
        [
            translation("vpc/demo/default", "203.0.113.2", "203.0.113.9"),
            translation("vpc/other/net", "203.0.113.3"),
            translation("fabric", "198.51.100.7"),
        ]
    )
    assert vpc_projects(topology) == {"203.0.113.2": "demo", "203.0.113.9": "demo", "203.0.113.3": "other"}


def test_the_newest_topology_counts() -> None:
    topologies = [Topology(), Topology.of([translation("vpc/demo/default", "203.0.113.2")])]
    callers = Callers(lambda: topologies[-1])
    assert callers.vpc_project("203.0.113.2") == "demo"
    topologies.append(Topology())
    assert callers.vpc_project("203.0.113.2") is None
