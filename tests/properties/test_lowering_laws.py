"""Laws that lowering and planning keep for every World."""

from ipaddress import IPv4Address
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drawn_worlds import Drawn, worlds
from tests.kernel_model import apply
from tests.lowered import compiler, lower

from fogbank.network.invariants import violations
from fogbank.network.topology import NetnsName, SourceNat, Topology
from fogbank.paths.explain import explain, to_json
from fogbank.paths.predict import predict
from fogbank.paths.trace import Flow
from fogbank.planning.plan import plan
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import Delete, Put, World

NOTHING = Topology()


@given(worlds())
def test_every_world_lowers_to_a_network_that_can_be_built(drawn: Drawn) -> None:
    topology = lower(*drawn, NOTHING).topology
    assert violations(topology) == ()
    assert apply(NOTHING, plan(NOTHING, topology)).elements == topology.elements


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_in_which_resources_came_does_not_matter(drawn: Drawn, random: Random) -> None:
    world, fleet = drawn
    resources = [r for members in world.collections.values() for r in members.values()]
    random.shuffle(resources)
    again = World().after(Put(each) for each in resources)
    first, second = lower(world, fleet, NOTHING), lower(again, fleet, NOTHING)
    assert tuple(first.topology) == tuple(second.topology)
    assert first.owners == second.owners


@given(worlds())
def test_nothing_is_to_be_done_when_the_network_is_as_desired(drawn: Drawn) -> None:
    lowered = lower(*drawn, NOTHING)
    assert plan(lowered.topology, lowered.topology) == ()
    assert plan(lowered.topology, lower(*drawn, lowered.topology).topology) == ()


@given(worlds(), worlds())
def test_a_plan_turns_any_network_into_any_other(before: Drawn, after: Drawn) -> None:
    old = lower(*before, NOTHING).topology
    new = lower(*after, old).topology
    assert apply(old, plan(old, new)).elements == new.elements


@given(worlds(), worlds())
def test_what_exists_decides_who_holds_which_ports_but_not_who_is_served(before: Drawn, after: Drawn) -> None:
    old = lower(*before, NOTHING).topology
    new = {e.key: e for e in lower(*after, old).topology.of_kind(SourceNat)}
    fresh = {e.key: e for e in lower(*after, NOTHING).topology.of_kind(SourceNat)}
    assert new.keys() == fresh.keys()
    again = {e.key: e for e in lower(*after, Topology(new)).topology.of_kind(SourceNat)}
    assert again == new


@given(st.lists(worlds(), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_a_compiler_with_memory_gives_what_a_new_one_gives(passes, random):
    remembering, observed = compiler(), NOTHING
    for world, fleet in passes:
        lowered = remembering.compile(world, fleet, observed)
        fresh = lower(world, fleet, observed)
        assert tuple(lowered.topology) == tuple(fresh.topology)
        assert lowered.owners == fresh.owners
        observed = random.choice([observed, lowered.topology, Topology(dict(lowered.topology.elements))])


@pytest.mark.slow(6)
@settings(max_examples=min(settings().max_examples, 100))  # each example is some dozens of passes
@given(worlds(), st.randoms(use_true_random=False))
def test_a_compiler_that_saw_each_resource_come_and_go_gives_what_a_new_one_gives(drawn, random):
    world, fleet = drawn
    resources = [r for members in world.collections.values() for r in members.values()]
    remembering, growing, observed = compiler(), World(), NOTHING
    steps = [Put(each) for each in resources] + [Delete(each.name) for each in resources]
    random.shuffle(steps)
    for step in steps:
        growing = growing.after((step,))
        running = random.choice([Fleet(), fleet])
        lowered = remembering.compile(growing, running, observed)
        if random.random() < 0.2:
            fresh = lower(growing, running, observed)
            assert tuple(lowered.topology) == tuple(fresh.topology)
            assert lowered.owners == fresh.owners
        observed = random.choice([observed, lowered.topology])


@given(worlds(), worlds())
def test_a_preview_is_the_next_pass_and_advances_nothing(before, after):
    remembering = compiler()
    first = remembering.compile(before[0], before[1], NOTHING)
    preview = remembering.preview(after[0], after[1], first.topology)
    assert remembering.compile(before[0], before[1], first.topology) is first
    assert remembering.compile(after[0], after[1], first.topology).topology == preview.topology


@given(worlds(), worlds())
def test_a_plan_is_the_same_whether_two_networks_share_what_is_equal_or_not(before, after):
    remembering = compiler()
    old = remembering.compile(before[0], before[1], NOTHING).topology
    new = remembering.compile(after[0], after[1], old).topology
    assert plan(old, new) == plan(Topology(dict(old.elements)), Topology(dict(new.elements)))


@given(worlds())
def test_every_element_of_a_resource_has_an_owner_that_exists_or_is_referred_to(drawn: Drawn) -> None:
    lowered = lower(*drawn, NOTHING)
    assert lowered.owners.keys() == lowered.topology.elements.keys()


@given(
    worlds(),
    st.sampled_from(
        ["192.0.2.40", "192.0.2.2", "10.1.0.2", "10.1.0.1", "10.1.0.9", "8.8.8.8", "169.254.169.254"],
    ),
    st.sampled_from([22, 80, 443, 8080]),
)
def test_every_flow_has_a_prediction_that_can_be_told(drawn: Drawn, destination: str, port: int) -> None:
    world, fleet = drawn
    lowered = lower(world, fleet, NOTHING)
    for identifier in fleet.instances:
        flow = Flow(NetnsName(f"instance/{identifier}"), IPv4Address(destination), port)
        trace = predict(lowered.topology, flow)
        assert trace.branches
        assert len(explain(trace, lowered.owners)) > len(trace.branches)
        assert len(to_json(trace, lowered.owners)["traces"]) == len(trace.branches)
