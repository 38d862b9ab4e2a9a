"""A write costs what changed: counted in function calls, however much there is."""

import sys

import pytest
from tests.lowered import compiler
from tests.worlds import connector, default_route, firewall, network, revision, world

from fogbank.network.topology import Topology
from fogbank.planning.plan import plan
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import Put
from fogbank.services.run.instances import instance_of

REVISION = revision("web-00001-abc", "c", "all-traffic")


def calls(work):
    """Count the function calls that ``work`` makes, those of C included."""
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def rule(number):
    return firewall(
        f"rule-{number}", targetTags=["other"], sourceRanges=[f"10.{number // 250}.{number % 250}.0/24"]
    )


def beside(number):
    return network(f"beside-{number}")


def instance(number):
    return instance_of(f"web-{number}", REVISION, number + 1, 7)


@pytest.mark.parametrize("made", [rule, beside])
def test_one_write_among_many_costs_what_it_costs_among_few(made):
    def cost(count):
        remembering = compiler()
        first = world(network(), default_route(), connector("c"), *map(made, range(count)))
        desired = remembering.compile(first, Fleet(), Topology()).topology
        following = first.after([Put(made(count))])

        def write():
            plan(desired, remembering.compile(following, Fleet(), desired).topology)

        return calls(write)

    few, many = cost(10), cost(600)
    assert many < 2 * few, (few, many)


def test_one_instance_among_many_is_all_that_a_feature_and_the_plan_look_at():
    def cost(count):
        remembering, made = compiler(), world(network(), default_route(), connector("c"), REVISION)
        running = {each.id: each for each in map(instance, range(count))}
        desired = remembering.compile(made, Fleet(running), Topology()).topology
        following = Fleet(running | {"new": instance(count)})

        def write():
            plan(desired, remembering.compile(made, following, desired).topology)

        return calls(write)

    few, many = cost(10), cost(600)
    compared = 600 - 10  # one look at each instance, whether it is the same
    assert many - compared < 2 * few, (few, many)
