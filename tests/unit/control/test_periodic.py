"""What is done again and again outlives a turn that fails."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from fogbank.control.periodic import SLICE_SECONDS, every, in_slices


async def test_a_turn_that_fails_is_logged_and_followed_by_the_next(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[int] = []
    thrice = asyncio.Event()

    def plain() -> None:
        turns.append(1)
        if len(turns) == 3:
            thrice.set()
        raise OSError("the disk refuses")

    async def waiting() -> None:
        plain()

    for work in (plain, waiting):
        turns.clear()
        thrice.clear()
        ticking = asyncio.create_task(every(0.001, work))
        await asyncio.wait_for(thrice.wait(), 5)
        ticking.cancel()
    assert caplog.text.count("the disk refuses") >= 6


async def test_others_have_their_turn_between_slices_of_long_work() -> None:
    turns: list[int] = []
    done: list[int] = []

    async def other() -> None:
        while True:
            turns.append(len(done))
            await asyncio.sleep(0)

    def steps() -> Iterator[None]:
        for number in range(6):
            until = time.monotonic() + SLICE_SECONDS / 2
            while time.monotonic() < until:
                pass
            done.append(number)
            yield

    beside = asyncio.create_task(other())
    await asyncio.sleep(0)
    turns.clear()
    await in_slices(steps())
    beside.cancel()
    assert len(done) == 6
    assert len(turns) >= 2
