"""What is done again and again outlives a turn that fails."""

import asyncio

import pytest

from fogbank.control.periodic import every


async def test_a_turn_that_fails_is_logged_and_followed_by_the_next(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[int] = []

    def plain() -> None:
        turns.append(1)
        raise OSError("the disk refuses")

    async def waiting() -> None:
        plain()

    for work in (plain, waiting):
        turns.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await every(0.01, work)
        assert len(turns) > 2
    assert "the disk refuses" in caplog.text
