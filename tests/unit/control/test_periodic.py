"""What is done again and again outlives a turn that fails."""

import asyncio

import pytest

from fogbank.control.periodic import every


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
