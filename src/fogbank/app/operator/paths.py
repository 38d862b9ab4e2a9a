"""``fogbank trace``, ``fogbank why`` and ``fogbank drops``: where packets go, and where they are dropped."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fogbank.app.tracing import Tracer
from fogbank.control.loop import ControlLoop
from fogbank.control.operator import Json, Question, Route
from fogbank.network.topology import NetnsName, NetworkNamespace, Topology


@dataclass(frozen=True, slots=True)
class PathsApi:
    """Answers from the observed network and the kernel's counters."""

    loop: ControlLoop
    tracer: Tracer
    drops_in: Callable[[NetnsName], Mapping[str, int]]

    def routes(self) -> Iterable[Route]:
        """List what can be asked."""
        yield Route("POST", "trace", self.trace)
        yield Route("POST", "why", self.why)
        yield Route("GET", "drops", self.drops)

    async def trace(self, question: Question) -> Json:
        """Predict a path, and probe it."""
        body = question.body
        return await self.tracer.trace(str(body["source"]), str(body["url"]), probe=bool(body.get("probe")))

    async def why(self, question: Question) -> Json:
        """Name every setting that stops a flow."""
        return await self.tracer.why(str(question.body["source"]), str(question.body["url"]))

    async def drops(self, _: Question) -> Json:
        """Count dropped packets, by namespace and reason."""
        return {"drops": await asyncio.to_thread(self._count, self.loop.observed)}

    def _count(self, observed: Topology) -> list[Json]:
        namespaces = sorted(netns.name for netns in observed.of_kind(NetworkNamespace))
        return [
            {"netns": netns, "reason": reason, "packets": packets}
            for netns in namespaces
            for reason, packets in self.drops_in(netns).items()
        ]
