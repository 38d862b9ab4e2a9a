"""What is kept after each pass is what the machine would be observed to have."""

import random

from hypothesis import given
from hypothesis import strategies as st
from tests import worlds

from fogbank.control.existing import Existing
from fogbank.dataplane.driver import Outcome
from fogbank.dataplane.simulated import SimulatedDriver
from fogbank.errors import DriverError
from fogbank.lowering.lower import lower
from fogbank.network.topology import NetnsName, NetworkNamespace, Topology
from fogbank.planning.plan import Create, Remove, plan
from fogbank.resources.world import Fleet, World


def networks() -> list[Topology]:
    world, fleet = worlds.article()
    return [
        lower(world, fleet, Topology()).topology,
        lower(world, Fleet(), Topology()).topology,
        lower(World(), Fleet(), Topology()).topology,
        Topology(),
    ]


NETWORKS = networks()


@given(st.lists(st.sampled_from(NETWORKS), max_size=5), st.integers(0, 9), st.integers())
def test_it_agrees_with_what_the_driver_observes_whatever_is_built_and_whatever_fails(
    wanted: list[Topology], failures: int, seed: int
) -> None:
    driver, draw = SimulatedDriver(), random.Random(seed)
    driver.failure = lambda _action: "no room" if draw.random() < failures / 20 else None
    existing = Existing(driver.observe())
    for topology in wanted:
        existing.take(driver.apply(plan(existing.topology, topology)))
        assert existing.topology.elements == driver.observe().elements


def test_an_action_that_failed_has_changed_nothing() -> None:
    netns = NetworkNamespace(NetnsName("vpc/a"))
    existing = Existing(Topology())
    existing.take([Outcome(Create(netns), DriverError("no room"))])
    assert len(existing.topology) == 0
    existing.take([Outcome(Create(netns)), Outcome(Remove(netns), DriverError("busy"))])
    assert list(existing.topology) == [netns]
