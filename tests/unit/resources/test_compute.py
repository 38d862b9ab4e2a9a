"""Compute's resources, read into real types."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from tests.compute_calls import REGION, Compute, auto_nat, manual_nat

from fogbank.network.topology import NatTimeouts, PortRange, Traffic
from fogbank.resources.compute import (
    FirewallRule,
    Network,
    Router,
    StaticAddress,
    StaticRoute,
    Subnetwork,
    power_of_two,
    read_traffic,
)
from fogbank.resources.names import compute_name


@pytest.fixture
def compute():
    made = Compute()
    made.network("net")
    pods = {"rangeName": "pods", "ipCidrRange": "10.4.0.0/14"}
    services = {"rangeName": "services", "ipCidrRange": "10.8.0.0/20"}
    made.subnetwork("s", "10.0.0.0/24", secondaryIpRanges=[pods, services])
    made.address("ip")
    return made


def regional(compute, kind, name):
    return compute.world.get(compute_name(kind, "demo", "regions", REGION, name))


def served(compute, **coverage):
    compute.router(nats=[manual_nat("ip") | coverage])
    (gateway,) = Router.of(regional(compute, "routers", "router")).nats
    return [str(each) for each in gateway.covers(Subnetwork.of(regional(compute, "subnetworks", "s")))]


def test_a_network_without_an_mtu_has_googles(compute):
    network = Network.of(compute.world.get(compute_name("networks", "demo", "global", None, "net")))
    assert (network.mtu, network.auto, network.dynamic_routing) == (1460, False, "REGIONAL")


def test_a_subnetwork_reserves_four_addresses(compute):
    subnetwork = Subnetwork.of(regional(compute, "subnetworks", "s"))
    assert sorted(map(str, subnetwork.reserved)) == ["10.0.0.0", "10.0.0.1", "10.0.0.254", "10.0.0.255"]
    assert [str(each) for each in subnetwork.ranges] == ["10.0.0.0/24", "10.4.0.0/14", "10.8.0.0/20"]


def test_an_address_is_a_range_of_one(compute):
    address = StaticAddress.of(regional(compute, "addresses", "ip"))
    assert (address.external, address.region) == (True, REGION)
    assert address.range == IPv4Network("203.0.113.1/32")


def test_a_gateway_reads_googles_defaults(compute):
    compute.router(nats=[manual_nat("ip", tcpTimeWaitTimeoutSec=60)])
    (gateway,) = Router.of(regional(compute, "routers", "router")).nats
    assert gateway.ports == 64
    assert gateway.timeouts == NatTimeouts(tcp_time_wait=60)
    assert gateway.logs is None
    assert gateway.addresses == (compute_name("addresses", "demo", "regions", REGION, "ip"),)
    assert gateway.id == f"projects/demo/regions/{REGION}/routers/router/nats/nat"


def test_an_automatic_gateway_knows_the_addresses_that_it_made(compute):
    compute.router(nats=[auto_nat()])
    (gateway,) = Router.of(regional(compute, "routers", "router")).nats
    (address,) = gateway.addresses
    assert compute.world.get(address).body["purpose"] == "NAT_AUTO"


LISTED = {"sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS"}


@pytest.mark.parametrize(
    ("coverage", "expected"),
    [
        ({}, ["10.0.0.0/24", "10.4.0.0/14", "10.8.0.0/20"]),
        ({"sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES"}, ["10.0.0.0/24"]),
        (LISTED | {"subnetworks": [{"name": "s"}]}, ["10.0.0.0/24", "10.4.0.0/14", "10.8.0.0/20"]),
        (
            LISTED
            | {
                "subnetworks": [
                    {
                        "name": "s",
                        "sourceIpRangesToNat": ["PRIMARY_IP_RANGE", "LIST_OF_SECONDARY_IP_RANGES"],
                        "secondaryIpRangeNames": ["services"],
                    }
                ]
            },
            ["10.0.0.0/24", "10.8.0.0/20"],
        ),
    ],
)
def test_a_gateway_serves_the_ranges_that_were_chosen(compute, coverage, expected):
    assert served(compute, **coverage) == expected


def test_a_gateway_serves_nothing_of_another_region(compute):
    compute.subnetwork("far", "10.9.0.0/24", region="us-central1")
    compute.router(nats=[auto_nat()])
    (gateway,) = Router.of(regional(compute, "routers", "router")).nats
    far = compute.world.get(compute_name("subnetworks", "demo", "regions", "us-central1", "far"))
    assert gateway.covers(Subnetwork.of(far)) == ()


def test_a_rule_reads_protocols_and_ports(compute):
    body = {"name": "f", "network": "net", "denied": [{"IPProtocol": "tcp", "ports": ["22", "80-90"]}]}
    compute("firewalls.insert", body)
    rule = FirewallRule.of(compute.world.get(compute_name("firewalls", "demo", "global", None, "f")))
    assert rule.action == "deny"
    assert rule.traffic == (Traffic(6, (PortRange(22, 22), PortRange(80, 90))),)


@pytest.mark.parametrize(("name", "number"), [("all", None), ("ICMP", 1), ("esp", 50), ("47", 47)])
def test_a_protocol_is_a_name_a_number_or_all(name, number):
    assert read_traffic({"IPProtocol": name}) == Traffic(number)


def test_a_route_leads_to_the_internet_or_to_an_address(compute):
    body = {"name": "r", "network": "net", "destRange": "8.8.8.0/24", "nextHopIp": "10.0.0.9"}
    compute("routes.insert", body)
    routes = {r.name.id: StaticRoute.of(r) for r in compute.world.all("compute.routes")}
    assert routes.pop("r").via == IPv4Address("10.0.0.9")
    (default,) = routes.values()
    assert default.to_internet
    assert default.destination == IPv4Network("0.0.0.0/0")


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (2, 2), (50, 64), (64, 64), (65, 128), (65536, 65536)])
def test_ports_are_rounded_up_to_a_power_of_two(asked, given):
    assert power_of_two(asked) == given
