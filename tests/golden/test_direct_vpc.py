"""Direct VPC egress as a network: what should exist, and what a move from a connector does."""

from dataclasses import replace
from ipaddress import IPv4Address

from tests import worlds
from tests.golden.pictures import check, plan_picture
from tests.lowered import lower

from fogbank.network.topology import NetnsName, Topology
from fogbank.paths.explain import explain
from fogbank.paths.predict import predict
from fogbank.paths.trace import Flow
from fogbank.planning.plan import plan
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import Put

NOTHING = Topology()
SUBNETWORK = "run-direct-vpc-egress"


def deployed(egress="all-traffic", tags=("web",)):
    """Article 000 with a second revision, whose instance is in a subnetwork itself."""
    world, fleet = worlds.article()
    interface = {"network": "default", "subnetwork": SUBNETWORK, "tags": list(tags)}
    one = worlds.revision("production-00002-xyz", egress=egress, service="production", interface=interface)
    gateway = worlds.nat("cloud-run-nat", ["cloud-run-origin-ip"], ["cloud-run-subnet", SUBNETWORK])
    rule = worlds.firewall(
        "no-mail", "EGRESS", denied=[{"IPProtocol": "tcp", "ports": ["25"]}], targetTags=["web"]
    )
    added = (
        worlds.subnetwork(SUBNETWORK, "10.8.0.0/24"), one, worlds.router("cloud-run-router", [gateway]), rule
    )  # fmt: skip
    (instance,) = worlds.fleet(one).instances.values()
    direct = worlds.direct(instance, "10.8.0.16")
    return world.after(map(Put, added)), fleet, direct


def _told(destination, port=80, **settings):
    world, _, direct = deployed(**settings)
    lowered = lower(world, Fleet({direct.id: direct}), NOTHING)
    start = NetnsName(f"instance/{direct.id}")
    trace = predict(lowered.topology, Flow(start, IPv4Address(destination), port))
    return "\n".join(explain(trace, lowered.owners)) + "\n"


def test_an_instance_with_an_interface_of_its_own_comes_beside_the_one_with_a_connector():
    world, fleet, direct = deployed()
    before = lower(world, fleet, NOTHING).topology
    after = lower(world, Fleet({**fleet.instances, direct.id: _at(direct, 3)}), before).topology
    check("direct_vpc_move_plan.txt", plan_picture(plan(before, after)))


def _at(instance, index):
    """Give an instance another place in the fabric."""
    fabric, *others = instance.attachments
    return replace(instance, attachments=(replace(fabric, index=index), *others))


def test_the_path_to_a_third_party_is_told_hop_by_hop():
    check("direct_vpc_trace.txt", _told("192.0.2.2"))


def test_what_a_rule_for_its_tag_denies_is_told():
    check("direct_vpc_trace_denied.txt", _told("192.0.2.2", 25))


def test_with_private_ranges_only_the_pool_is_told():
    check("direct_vpc_trace_private_ranges.txt", _told("192.0.2.2", egress="private-ranges-only"))
