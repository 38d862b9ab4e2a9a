"""The store: decides on the newest World, makes it durable, then shows it.

Writers queue. Each decides on the World that includes everyone before it in the queue; one transaction then
makes the whole queue durable (group commit), and only after that does anyone see the new World or get an
answer. When the disk refuses, the whole queue fails and nothing has happened.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from fogbank.resources.decisions import Decision
from fogbank.resources.world import Change, PutOperation, World
from fogbank.store.journal import Journal

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.002
"""A disk that answers within this time is waited for where we are. Another thread, and hearing from it, costs
0.3 ms for each write, and a slow disk would hold up everybody else.
"""


@dataclass(frozen=True, slots=True)
class Committed:
    """A decision that is on the disk, and the first World that shows it."""

    decision: Decision
    world: World


@dataclass(slots=True)
class _Waiting:
    decision: Decision
    changes: tuple[Change, ...]
    world: World
    acknowledged: asyncio.Future[None]
    synced: bool


class Store:
    """The current World and the only way to change it."""

    def __init__(self, journal: Journal) -> None:
        self.world = journal.load()
        self._newest = self.world
        self._journal = journal
        self._queue: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._watchers: list[Callable[[World], None]] = []
        self._change_watchers: list[Callable[[Sequence[Change]], None]] = []

    def watch(self, tell: Callable[[World], None]) -> None:
        """Have ``tell`` called with each new World, in the event loop."""
        self._watchers.append(tell)

    def watch_changes(self, tell: Callable[[Sequence[Change]], None]) -> None:
        """Have ``tell`` called with what led to each new World, in order, in the event loop."""
        self._change_watchers.append(tell)

    async def commit(self, decide: Callable[[World], Decision], *, synced: bool = True) -> Committed:
        """Decide on the newest World; return when that is durable. What ``decide`` raises passes.

        A decision that changes nothing may rest on what is still in the queue, so it waits for that, too.
        Conclusions that would be drawn again after a start need not be ``synced``: a power cut may take them.
        """
        decision = decide(self._newest)
        changes = decision.changes
        if decision.operation is not None:
            operation = replace(decision.operation, version=self._newest.version + 1)
            decision = replace(decision, operation=operation)
            changes = (*changes, PutOperation(operation))
        if not changes and self._newest is self.world:
            return Committed(decision, self.world)
        if changes:
            self._newest = self._newest.after(changes)
        acknowledged = asyncio.get_running_loop().create_future()
        waiting = _Waiting(decision, changes, self._newest, acknowledged, synced)
        self._queue.append(waiting)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await waiting.acknowledged
        return Committed(decision, waiting.world)

    async def close(self) -> None:
        """Wait for the queue and close the database."""
        if self._writer is not None:
            await self._writer
        self._journal.close()

    async def _write(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            try:
                await self._append(batch)
            except Exception as error:  # noqa: BLE001 - each writer of the batch gets it
                self._fail([*batch, *self._queue], error)
                continue
            self.world = batch[-1].world
            for waiting in batch:
                if not waiting.acknowledged.done():
                    waiting.acknowledged.set_result(None)
            self._tell([change for waiting in batch for change in waiting.changes])

    def _tell(self, changes: Sequence[Change]) -> None:
        calls = [partial(tell, self.world) for tell in self._watchers]
        calls += [partial(tell, changes) for tell in self._change_watchers]
        for call in calls:
            try:
                call()
            except Exception:  # a bug of one watcher must not hold up writers
                log.exception("somebody who watches the World failed")

    async def _append(self, batch: list[_Waiting]) -> None:
        """Write ``batch``; in a thread when the disk has been slow of late."""
        version = batch[-1].world.version
        changes = [change for waiting in batch for change in waiting.changes]
        synced = any(waiting.synced for waiting in batch)
        if synced and self._journal.slowest > PATIENCE_SECONDS:
            await asyncio.to_thread(self._journal.append, version, changes)
        else:
            self._journal.append(version, changes, synced=synced)

    def _fail(self, batch: list[_Waiting], error: Exception) -> None:
        self._queue = []
        self._newest = self.world
        for waiting in batch:
            if not waiting.acknowledged.done():
                waiting.acknowledged.set_exception(error)
