"""Private Google Access: who reaches Google's front end, with which source, and who does not."""

from ipaddress import IPv4Address

import pytest
from tests.lowered import compiler, lower
from tests.worlds import (
    address,
    connector,
    default_route,
    firewall,
    fleet,
    nat,
    network,
    revision,
    route,
    router,
    subnetwork,
    world,
)

from fogbank.lowering.netns_names import project_of_google_netns
from fogbank.network.addressing import FRONT_END
from fogbank.network.invariants import violations
from fogbank.network.topology import Listener, NetnsName, Topology
from fogbank.paths.predict import predict
from fogbank.paths.trace import Cause, Delivered, Dropped, Flow
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import Put

NOTHING = Topology()
GATEWAY = (address("ip", "203.0.113.2"), router("router", [nat("nat", ["ip"])]))


def region(*more, access=True, routes=None):
    """A connector in a subnetwork, and a service that sends everything through it."""
    web = revision("web-00001-abc", connector("c", subnet="s", cidr="10.1.0.0/28").name.path, "all-traffic")
    made = world(
        network(),
        *((default_route(),) if routes is None else routes),
        subnetwork("s", "10.1.0.0/28", google_access=access),
        connector("c", subnet="s", cidr="10.1.0.0/28"),
        web,
        *more,
    )
    return made, fleet(web)


def branch(made, running, destination=FRONT_END, port=443):
    found = lower(made, running, NOTHING).topology
    assert violations(found) == ()
    (start,) = running.instances
    return predict(found, Flow(NetnsName(f"instance/{start}"), destination, port)).branches[0]


def test_with_the_access_google_is_reached_with_a_private_source():
    found = branch(*region())
    assert found.disposition == Delivered("front-end")
    assert found.source in {IPv4Address("10.1.0.2"), IPv4Address("10.1.0.3")}
    made, running = region()
    assert isinstance(branch(made, running, IPv4Address("192.0.2.40"), 80).disposition, Dropped)


@pytest.mark.parametrize("virtual", ["199.36.153.4", "199.36.153.7", "199.36.153.8", "199.36.153.11"])
def test_the_private_and_the_restricted_addresses_are_googles_too(virtual):
    made, running = region(*GATEWAY)
    found = branch(made, running, IPv4Address(virtual))
    assert found.disposition == Delivered("front-end")
    assert found.source in {IPv4Address("10.1.0.2"), IPv4Address("10.1.0.3")}
    made, running = region(access=False)
    assert isinstance(branch(made, running, IPv4Address(virtual)).disposition, Dropped)


def test_a_route_to_the_private_addresses_is_enough_for_them():
    made, running = region(routes=(route("google", "199.36.153.8/30"),))
    assert branch(made, running, IPv4Address("199.36.153.9")).disposition == Delivered("front-end")
    assert isinstance(branch(made, running).disposition, Dropped)


def test_cloud_nat_does_not_translate_what_goes_to_google():
    assert branch(*region(*GATEWAY)).source in {IPv4Address("10.1.0.2"), IPv4Address("10.1.0.3")}


def test_without_the_access_and_without_a_gateway_nothing_reaches_google():
    assert branch(*region(access=False)).disposition.cause == Cause.NO_EXTERNAL_ADDRESS
    other = subnetwork("t", "10.2.0.0/28", google_access=True)
    assert branch(*region(other, access=False)).disposition.cause == Cause.PRIVATE_GOOGLE_ACCESS_DISALLOWED


def test_cloud_nat_switches_the_access_on_for_the_ranges_that_it_serves():
    other = subnetwork("t", "10.2.0.0/28", google_access=True)
    assert branch(*region(other, *GATEWAY, access=False)).disposition == Delivered("front-end")


@pytest.mark.parametrize("routes", [(), (route("away", "192.0.2.0/24", via="10.1.0.9"), default_route())])
def test_the_route_must_lead_to_the_default_internet_gateway(routes):
    assert isinstance(branch(*region(routes=routes)).disposition, Dropped)


def test_egress_firewall_rules_count():
    rule = firewall("no", "EGRESS", denied=[{"IPProtocol": "tcp"}], destinationRanges=["192.0.2.1/32"])
    assert branch(*region(rule)).disposition.cause == Cause.FIREWALL_RULE


def test_switching_the_access_on_and_off_is_noticed_and_leaves_nothing():
    remembering = compiler()
    off, on = (
        world(network(), default_route(), subnetwork("s", "10.1.0.0/28", google_access=access))
        for access in (False, True)
    )
    before = remembering.compile(off, Fleet(), NOTHING).topology
    subnet = next(iter(on.all("compute.subnetworks")))
    with_access = remembering.compile(off.after([Put(subnet)]), Fleet(), NOTHING)
    (netns,) = {each.netns for each in with_access.topology.of_kind(Listener)} - {
        each.netns for each in before.of_kind(Listener)
    }
    assert project_of_google_netns(netns) == "demo"
    assert with_access.owners["netns", netns] == {subnet.name}
    assert remembering.compile(off, Fleet(), NOTHING).topology == before
    assert project_of_google_netns(NetnsName("internet")) is None
