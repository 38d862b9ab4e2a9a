"""Connections from the internet: what answers them needs a way back."""

from ipaddress import IPv4Address

import pytest
from tests import worlds
from tests.lowered import lower

from fogbank.lowering.netns_names import site_netns
from fogbank.network.topology import Topology
from fogbank.paths.predict import predict
from fogbank.paths.trace import Cause, Delivered, Dropped, Flow
from fogbank.resources.fleet import Fleet

OUTSIDE = "203.0.113.101"


def arrives(*routes):
    """Say what becomes of a connection from a third party to a machine's external address."""
    world = worlds.world(
        worlds.network(),
        worlds.subnetwork("s", "10.1.0.0/28"),
        worlds.firewall("open", sourceRanges=["0.0.0.0/0"]),
        worlds.machine("vm", "10.1.0.5", "s", gateway="10.1.0.1", external=OUTSIDE),
        worlds.site("partner.example", "192.0.2.40"),
        *routes,
    )
    topology = lower(world, Fleet({}), Topology()).topology
    (branch,) = predict(topology, Flow(site_netns("partner.example"), IPv4Address(OUTSIDE), 80)).branches
    return branch.disposition


def test_with_a_route_to_the_internet_it_is_answered():
    assert isinstance(arrives(worlds.default_route()), Delivered)
    assert isinstance(arrives(worlds.route("narrow", "192.0.2.0/24")), Delivered)


@pytest.mark.parametrize(
    "route", [None, worlds.route("elsewhere", "10.50.0.0/16"), worlds.route("dead", via="10.1.0.9")]
)
def test_without_one_it_times_out(route):
    end = arrives(*([route] if route else []))
    assert isinstance(end, Dropped)
    assert end.cause == Cause.NO_ROUTE
