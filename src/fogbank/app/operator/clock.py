"""``fogbank clock``: the region's time, which can be skipped."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from fogbank.clock import Clock
from fogbank.control.controller import Controller
from fogbank.control.operator import Json, Question, Route
from fogbank.errors import OperatorError
from fogbank.resources.clock_offset import advanced_offset
from fogbank.resources.decisions import Decision
from fogbank.resources.operations import rfc3339
from fogbank.store.store import Store


@dataclass(frozen=True, slots=True)
class ClockApi:
    """Reads and advances the clock, and has everything that waits for it look again."""

    store: Store
    clock: Clock
    controllers: Sequence[Controller]
    advance_conntrack_timeouts: Callable[[int], None]
    new_id: Callable[[], int]

    def routes(self) -> Iterable[Route]:
        """List what can be asked."""
        yield Route("GET", "clock", self.read)
        yield Route("POST", "clock", self.advance)

    def read(self, _: Question) -> Json:
        """Return the region's time."""
        return {"now": rfc3339(self.clock.now()), "advancedSeconds": self.clock.offset.total_seconds()}

    async def advance(self, question: Question) -> Json:
        """Skip time, for good: a restart of the region does not take it back."""
        by, clock = timedelta(seconds=float(question.body["advanceSeconds"])), self.clock
        if by < timedelta():
            raise OperatorError("The clock only goes forward.")
        await self.store.commit(
            lambda world: Decision((advanced_offset(world, by, clock.now(), self.new_id),))
        )
        clock.advance(by)
        await asyncio.to_thread(self.advance_conntrack_timeouts, int(by.total_seconds()))
        for controller in self.controllers:
            controller.reconcile()
        return self.read(question)
