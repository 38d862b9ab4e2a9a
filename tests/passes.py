"""Waiting for passes of a control loop: a test goes on when one has ended, not when time has gone by."""

import asyncio
from collections.abc import Callable

from fogbank.control.loop import ControlLoop

PATIENCE_SECONDS = 10.0


class Passes:
    """The passes of ``loop`` that end from now on."""

    def __init__(self, loop: ControlLoop) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        loop.after_pass(self._ended)

    def _ended(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def next(self) -> None:
        """Return when a pass has ended; TimeoutError when none does."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(ended)
        await asyncio.wait_for(ended, PATIENCE_SECONDS)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when ``condition`` is true, at once or after a pass; TimeoutError when it never is."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                await self.next()
