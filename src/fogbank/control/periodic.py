"""Ticking: work that is done again and again as long as the region lives, whatever happens to one turn."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


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
