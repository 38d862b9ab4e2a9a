"""Laws of the builder: it knows what exists whatever failed, and ends with what is wanted."""

import asyncio
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drawn_worlds import draw_world
from tests.lowered import compiler, lower

from fogbank.control.builder import Builder
from fogbank.dataplane.simulated import SimulatedDriver
from fogbank.planning.plan import Action

A_DOZEN_PASSES_EACH = settings(max_examples=min(settings().max_examples, 100))


class Failing:
    """A builder and a machine that refuses a part ``rate`` of what it is asked, by chance."""

    def __init__(self, random: Random) -> None:
        self.rate, self._random = 0.0, random
        self.driver = SimulatedDriver(failure=self._failure)
        self.builder = Builder(self.driver, compiler())

    def _failure(self, _: Action) -> str | None:
        return "refused" if self._random.random() < self.rate else None


@A_DOZEN_PASSES_EACH
@given(st.integers(0, 10**6))
def test_whatever_was_refused_the_builder_knows_what_exists(seed: int) -> None:
    async def check() -> None:
        random = Random(seed)
        failing = Failing(random)
        for _ in range(4):
            failing.rate = random.choice([0.0, 0.1, 0.5, 1.0])
            built = await failing.builder.build(*draw_world(random), observe=False)
            assert built is not None
            assert built.observed.elements == failing.driver.observe().elements
        failing.builder.close()

    asyncio.run(check())


@A_DOZEN_PASSES_EACH
@given(st.integers(0, 10**6))
def test_when_nothing_fails_any_more_the_network_becomes_what_is_wanted(seed: int) -> None:
    async def check() -> None:
        random = Random(seed)
        failing = Failing(random)
        build = failing.builder.build
        drawn = [draw_world(random) for _ in range(random.randint(2, 4))]
        for world, fleet in drawn:
            failing.rate = random.choice([0.0, 0.1, 0.5, 1.0])
            await build(world, fleet, observe=random.random() < 0.2)
            await failing.builder.preview(*random.choice(drawn))
            await build(world, fleet, observe=False)
        failing.rate = 0.0
        # One pass builds, a second may move what kept an address that the first took away; then all is said.
        last = [await build(*drawn[-1], observe=False) for _ in range(4)]
        assert last[-1] is None
        assert await failing.builder.preview(*drawn[-1]) == ()
        exists = failing.driver.observe()
        assert exists.elements == lower(*drawn[-1], exists).topology.elements
        failing.builder.close()

    asyncio.run(check())
