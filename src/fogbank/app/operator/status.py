"""``fogbank status``: what is up, what is converging, and why.

The region's own sections are made here; what runs is told by the controllers.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from fogbank.control.controller import Controller
from fogbank.control.loop import ControlLoop
from fogbank.control.operator import Json, Question, Route
from fogbank.dataplane.linux.memory import resident
from fogbank.frontend.api.unknown_fields import UnknownFields
from fogbank.network.topology import NetworkNamespace
from fogbank.resources.operations import rfc3339
from fogbank.settings import Settings
from fogbank.store.store import Store


@dataclass(frozen=True, slots=True)
class StatusApi:
    """Answers from the loop and the controllers; ``started`` is the machine's monotonic time."""

    settings: Settings
    store: Store
    loop: ControlLoop
    controllers: Sequence[Controller]
    started: float
    ready: Callable[[], bool]
    unknown_fields: UnknownFields

    def routes(self) -> Iterable[Route]:
        """List what can be asked."""
        yield Route("GET", "status", self.status)

    async def status(self, _: Question) -> Json:
        """Return what is up, what is converging, and why."""
        from importlib.metadata import version  # takes ten milliseconds of a start

        observed = self.loop.observed
        namespaces = await asyncio.to_thread(observed.of_kind, NetworkNamespace)
        world, loop = self.store.world, self.loop
        sections = {name: rows for each in self.controllers for name, rows in each.status().items()}
        return {
            "region": self.settings.name,
            "version": version("fogbank"),
            "port": self.settings.port,
            "project": self.settings.project,
            "ready": self.ready(),
            "uptimeSeconds": round(time.monotonic() - self.started, 3),
            "memoryBytes": resident(),
            "resources": {name: len(members) for name, members in sorted(world.collections.items())},
            "namespaces": len(namespaces),
            **sections,
            "operations": [
                {
                    "name": operation.name.path,
                    "type": operation.type,
                    "target": operation.target.path,
                    "status": operation.status,
                    "since": rfc3339(operation.inserted),
                }
                for operation in world.running.values()
            ],
            "converging": list(self._converging()),
            "unknownFields": [asdict(each) for each in self.unknown_fields.list()],
            "worldVersion": world.version,
            "appliedVersion": loop.progress.applied_version,
        }

    def _converging(self) -> Iterable[Json]:
        explained = [self.loop.explain(), *(each.explain() for each in self.controllers)]
        for owner, failure in (row for rows in explained for row in rows):
            yield {
                "resource": owner.path if owner else None,
                "what": failure.what,
                "why": failure.why,
                "attempts": failure.attempts,
                "since": rfc3339(failure.since),
            }
