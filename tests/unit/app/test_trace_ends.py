"""Ends with names: what a person means by ``compute/vm:22``, ``redis/cache`` and ``internet``."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from tests.lowered import lower
from tests.worlds import default_route, machine, network, redis, resource, site, subnetwork, world

from fogbank.app.trace_ends import NamedEnds, NoExternalAddressError
from fogbank.errors import OperatorError
from fogbank.lowering.netns_names import site_netns
from fogbank.network.topology import Topology
from fogbank.paths.blockers import blockers
from fogbank.paths.remedies import Remedies
from fogbank.paths.trace import Flow
from fogbank.resources.fleet import Fleet
from fogbank.resources.names import ResourceName

SQL = ResourceName("sqladmin.instances", "projects/demo/instances/db")
ADDRESSES = [{"type": "PRIVATE", "ipAddress": "10.5.0.3"}]
CACHE = redis("cache", "10.30.0.0/29")
OPEN = machine("open", "10.1.0.9", "s", gateway="10.1.0.1", external="203.0.113.9")
SHUT = machine("shut", "10.1.0.10", "s", gateway="10.1.0.1")
WORLD = world(
    network(),
    default_route(),
    subnetwork("s", "10.1.0.0/28"),
    OPEN,
    SHUT,
    replace(CACHE, body=CACHE.body | {"host": "10.30.0.3", "port": 6379}),
    resource(SQL, {"ipAddresses": ADDRESSES}),
    site("partner.example", "192.0.2.40"),
)
ENDS = NamedEnds(WORLD, "demo")


@pytest.mark.parametrize(
    ("asked", "outside", "meant"),
    [
        ("compute/open:22", False, ("10.1.0.9", 22)),
        ("compute/open:22", True, ("203.0.113.9", 22)),
        ("compute/demo/shut:443", False, ("10.1.0.10", 443)),
        ("redis/cache", False, ("10.30.0.3", 6379)),
        ("sql/db", False, ("10.5.0.3", 5432)),
        ("sql/db:9999", False, ("10.5.0.3", 9999)),
    ],
)
def test_a_name_means_the_address_that_the_source_would_use(asked, outside, meant):
    assert ENDS.destination(asked, outside=outside) == (IPv4Address(meant[0]), meant[1])


@pytest.mark.parametrize("asked", ["ifconfig.me", "http://compute/x", "10.1.0.9:80", "run/web"])
def test_what_is_no_such_name_is_left_to_who_reads_urls(asked):
    assert ENDS.destination(asked, outside=False) is None


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            "compute/nobody:22",
            r"no compute/nobody in the project demo. There are: compute/open, compute/shut\.",
        ),
        ("compute/open", "which port"),
        ("compute/open:ssh", "ssh is no port"),
        ("redis/other", r"There are: redis/cache\."),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(asked, told):
    with pytest.raises(OperatorError, match=told):
        ENDS.destination(asked, outside=False)


def test_a_machine_without_an_external_address_is_told_to_strangers_with_the_command():
    with pytest.raises(NoExternalAddressError) as caught:
        ENDS.destination("compute/shut:22", outside=True)
    command = "gcloud compute instances add-access-config shut --project=demo --zone="
    assert caught.value.remedy.command.startswith(command)


def test_strangers_and_third_parties_send_from_outside():
    assert ENDS.outside("run/web") is None
    partner = ENDS.outside("partner.example")
    assert partner is not None
    assert partner.netns == site_netns("partner.example")
    assert ENDS.outside("internet") is not None


@pytest.mark.parametrize(("who", "ranges"), [("internet", "0.0.0.0/0"), ("partner.example", "192.0.2.40/32")])
def test_what_lets_a_stranger_in_is_for_all_and_a_third_party_for_it_alone(who, ranges):
    source = ENDS.outside(who)
    assert source is not None
    lowered = lower(WORLD, Fleet(), Topology())
    flow = Flow(source.netns, IPv4Address("203.0.113.9"), 22)
    remedies = Remedies(WORLD, lowered.owners, source.resource)
    first, *_ = remedies.lifting(blockers(lowered.topology, flow))
    assert f"--source-ranges={ranges} " in first.command
