"""Compiling and planning one write: among many resources it should cost what it costs among few."""

import time
from collections.abc import Callable, Iterator, Sequence

from tests.lowered import compiler
from tests.worlds import connector, default_route, firewall, network, revision, world

from bench.table import Aim, Row, compare
from fogbank.network.topology import Topology
from fogbank.planning.plan import plan
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import Put, Resource, World
from fogbank.services.run.instances import instance_of

RULE = Aim("a write among 2,000 firewall rules", "ms", "<=", 2, "among 10")
NETWORK = Aim("a write among 2,000 networks", "ms", "<=", 2, "among 10")
INSTANCE = Aim("an instance among 4,000", "ms", "<=", 4, "among 10")
COMPILE_AIMS = (RULE, NETWORK, INSTANCE)

ROUNDS, WRITES = 5, 20

Step = Callable[[int], tuple[World, Fleet]]
"""Makes the World and the fleet that have so many of something."""


def measure_compiling(wanted: Sequence[Aim]) -> Iterator[Row]:
    """Measure the wanted rows."""
    for aim, steps, many in (
        (RULE, _rules, 2000),
        (NETWORK, _networks, 2000),
        (INSTANCE, _instances, 4000),
    ):
        if aim in wanted:
            pairs = [(_write(steps(), many), _write(steps(), 10)) for _ in range(ROUNDS)]
            yield compare(aim, [subject for subject, _ in pairs], [baseline for _, baseline in pairs])


def _write(step: Step, count: int) -> float:
    """Return the mean time of a write among ``count``, from the new World to the plan, in milliseconds."""
    compiling, observed, took = compiler(), Topology(), 0.0
    observed = compiling.compile(*step(count), observed).topology
    for number in range(count, count + WRITES):
        world_now, fleet = step(number + 1)
        before = time.perf_counter()
        desired = compiling.compile(world_now, fleet, observed).topology
        plan(observed, desired)
        took += time.perf_counter() - before
        observed = desired
    return took / WRITES * 1000


def _rules() -> Step:
    return _growing(
        lambda n: firewall(f"rule-{n}", targetTags=["web"], sourceRanges=[f"10.{n // 250}.{n % 250}.0/24"])
    )


def _networks() -> Step:
    return _growing(lambda n: network(f"network-{n}"))


def _growing(make: Callable[[int], Resource]) -> Step:
    worlds = [world(network(), default_route(), connector("c"))]

    def step(count: int) -> tuple[World, Fleet]:
        while len(worlds) <= count:
            worlds.append(worlds[-1].after([Put(make(len(worlds)))]))
        return worlds[count], Fleet()

    return step


def _instances() -> Step:
    deployed = revision("web-00001-abc", "c", "all-traffic")
    made = world(network(), default_route(), connector("c"), deployed)
    running = [instance_of(f"web-{n}", deployed, n, 7) for n in range(1, 4000 + WRITES + 2)]

    def step(count: int) -> tuple[World, Fleet]:
        return made, Fleet({each.id: each for each in running[:count]})

    return step
