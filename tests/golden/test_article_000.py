"""Article 000 as a network: what should exist, and what a change of it does."""

from ipaddress import IPv4Address

from tests.golden.pictures import check, picture, plan_picture
from tests.lowered import lower
from tests.worlds import article

from fogbank.network.topology import NetnsName, Topology
from fogbank.paths.explain import explain
from fogbank.paths.predict import predict
from fogbank.paths.trace import Flow
from fogbank.planning.plan import plan

NOTHING = Topology()
HIDDEN = ("site/", "192.0.2.")


def _ours(topology):
    """Leave out the third parties, which are the same everywhere."""
    return [e for e in topology if not any(part in " ".join(e.key) for part in HIDDEN)]


def test_the_network_of_article_000():
    check("article_000_topology.txt", picture(_ours(lower(*article(), NOTHING).topology)))


def test_adding_the_gateway_touches_nothing_but_its_translations():
    before = lower(*article(nats=False), NOTHING).topology
    after = lower(*article(), before).topology
    check("article_000_add_nat_plan.txt", plan_picture(plan(before, after)))


def test_changing_the_egress_setting_moves_only_the_instances_routes():
    before = lower(*article(), NOTHING).topology
    after = lower(*article(egress="private-ranges-only"), before).topology
    check("article_000_private_ranges_plan.txt", plan_picture(plan(before, after)))


def _told(destination, port=80, **settings):
    world, fleet = article(**settings)
    lowered = lower(world, fleet, NOTHING)
    start = NetnsName(f"instance/{next(iter(fleet.instances))}")
    trace = predict(lowered.topology, Flow(start, IPv4Address(destination), port))
    return "\n".join(explain(trace, lowered.owners)) + "\n"


def test_the_path_to_a_third_party_is_told_hop_by_hop():
    check("article_000_trace.txt", _told("192.0.2.2"))


def test_without_the_gateway_the_drop_is_told():
    check("article_000_trace_without_nat.txt", _told("192.0.2.2", nats=False))


def test_with_private_ranges_only_the_pool_is_told():
    check("article_000_trace_private_ranges.txt", _told("192.0.2.2", egress="private-ranges-only"))
