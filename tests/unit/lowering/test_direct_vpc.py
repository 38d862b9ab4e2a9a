"""What an instance with Direct VPC egress adds to its network."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from tests import worlds
from tests.lowered import lower

from fogbank.network.topology import NetnsName, PortSecurity, Route, SourceNat, Topology
from fogbank.paths.predict import predict
from fogbank.paths.trace import Dropped, Flow
from fogbank.resources.fleet import Fleet

NAT = worlds.nat(addresses=["ip"])


def lowered(*more, egress="all-traffic", tags=(), nat=True):
    """Lower one instance on 10.8.0.16, with a gateway for its subnetwork."""
    interface = {"network": "default", "subnetwork": "run", "tags": list(tags)}
    one = worlds.revision("web-00001-abc", egress=egress, interface=interface)
    (instance,) = worlds.fleet(one).instances.values()
    direct = worlds.direct(instance, "10.8.0.16", nat=nat)
    made = worlds.world(
        worlds.network(),
        worlds.subnetwork("run", "10.8.0.0/26"),
        worlds.address("ip", "203.0.113.9"),
        worlds.router("r", [NAT]),
        worlds.site("partner.example", "192.0.2.40"),
        one,
        *more,
    )
    return lower(made, Fleet({direct.id: direct}), Topology()).topology, NetnsName(f"instance/{direct.id}")


def end(topology, start, destination):
    """Return where a packet ends: the source that arrived, or the cause of its drop."""
    (branch,) = predict(topology, Flow(start, IPv4Address(destination), 80)).branches
    return branch.disposition.cause if isinstance(branch.disposition, Dropped) else str(branch.source)


@pytest.mark.parametrize(("nat", "count"), [(True, 1), (False, 0)])
def test_cloud_nat_translates_it_unless_it_may_not(nat, count):
    topology, start = lowered(worlds.default_route(), nat=nat)
    inside = [each for each in topology.of_kind(SourceNat) if each.netns == "vpc/demo/default"]
    assert len(inside) == count
    assert end(topology, start, "192.0.2.40") == ("203.0.113.9" if nat else "NO_EXTERNAL_ADDRESS")


def test_with_private_ranges_only_the_six_ranges_go_to_the_network():
    topology, start = lowered(worlds.default_route(), egress="private-ranges-only")
    mine = [each for each in topology.of_kind(Route) if each.netns == start]
    to_vpc = {str(each.destination) for each in mine if each.hops[0].device == "eth1"}
    assert to_vpc == {
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
        "199.36.153.4/30", "199.36.153.8/30",
    }  # fmt: skip
    assert end(topology, start, "192.0.2.40").startswith("198.51.100.")


@pytest.mark.parametrize(("tags", "seen"), [(["out"], "203.0.113.9"), ([], "NO_ROUTE")])
def test_a_route_with_a_tag_is_for_the_instances_that_carry_it(tags, seen):
    topology, start = lowered(worlds.route("out", tags=["out"]), tags=tags)
    assert end(topology, start, "192.0.2.40") == seen


def test_a_tagged_route_to_a_private_range_is_seen_with_private_ranges_only():
    dead = worlds.route("dead", "10.50.0.0/16", via="10.8.0.60", tags=["web"])
    live = worlds.route("live", "10.50.0.0/16", tags=["other"])
    routes = worlds.default_route(), dead, live
    topology, start = lowered(*routes, egress="private-ranges-only", tags=["web"])
    mine = {each.destination: each for each in topology.of_kind(Route) if each.netns == start}
    assert mine[IPv4Network("10.0.0.0/8")].hops[0].device == "eth1"
    assert end(topology, start, "10.50.0.1") == "ROUTE_BLACKHOLE"


def test_it_is_no_target_of_ingress_rules():
    everything = worlds.firewall("all", sourceRanges=["0.0.0.0/0"])
    topology, _ = lowered(everything, tags=["web"])
    (guard,) = [each for each in topology.of_kind(PortSecurity) if each.address == IPv4Address("10.8.0.16")]
    (policy,) = [each for each in topology if getattr(each, "name", "") == guard.ingress]
    assert (policy.rules, policy.default) == ((), "deny")
