"""Laws of the builder: whatever fails on the way, it ends with what is wanted."""

import asyncio
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drawn_worlds import Drawn, worlds
from tests.lowered import compiler, lower

from fogbank.control.builder import Builder
from fogbank.dataplane.simulated import SimulatedDriver
from fogbank.planning.plan import Action


@settings(max_examples=min(settings().max_examples, 60))  # each example is a dozen passes
@given(st.lists(worlds(), min_size=2, max_size=4), st.integers(0, 10**6))
def test_when_nothing_fails_any_more_the_network_becomes_what_is_wanted(
    passes: list[Drawn], seed: int
) -> None:
    asyncio.run(_with_failures(passes, Random(seed)))


async def _with_failures(passes: list[Drawn], random: Random) -> None:
    rate = 0.0

    def failure(_: Action) -> str | None:
        return "refused" if random.random() < rate else None

    driver = SimulatedDriver(failure=failure)
    builder = Builder(driver, compiler())
    await builder.build(*passes[0], observe=True)
    for world, fleet in passes:
        rate = random.choice([0.0, 0.1, 0.5, 1.0])
        await builder.build(world, fleet, observe=random.random() < 0.2)
        await builder.preview(*random.choice(passes))
        await builder.build(world, fleet, observe=False)
    rate = 0.0
    built = [await builder.build(*passes[-1], observe=False) for _ in range(4)]
    assert built[-1] is None
    assert await builder.preview(*passes[-1]) == ()
    exists = driver.observe()
    assert lower(*passes[-1], exists).topology.elements.items() <= exists.elements.items()
    builder.close()
