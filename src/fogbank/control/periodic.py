"""Work that is done again and again as long as the region lives, and long work in short slices."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.002
"""How long requests and DNS wait for a slice of work."""


async def every(seconds: float, work: Callable[[], Awaitable[None] | None]) -> None:
    """Do ``work`` now and every ``seconds`` until cancelled; a turn that fails is logged."""
    while True:
        try:
            waiting = work()
            if waiting is not None:
                await waiting
        except Exception:  # a bug, or a disk that refuses: the next turn may work
            log.exception("%s failed", getattr(work, "__qualname__", work))
        await asyncio.sleep(seconds)


async def in_slices(steps: Iterable[None]) -> None:
    """Do ``steps``, each of which is short, and let others in the event loop have their turn in between."""
    until = time.monotonic() + SLICE_SECONDS
    for _ in steps:
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + SLICE_SECONDS
