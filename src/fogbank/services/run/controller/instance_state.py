"""What is known about one running instance."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from fogbank.resources.fleet import Instance
from fogbank.resources.run import Revision

Phase = Literal["starting", "ready"]


@dataclass(slots=True, eq=False)
class InstanceState:
    """An instance of ``revision``: ``spec`` is what the fleet says of it, times are the clock's ``seconds``.

    ``place`` is its place in the serverless fabric, ``number`` counts the instances in the
    order in which they were started. ``pool_drawn`` is when it got its address of the default egress pool.
    One that ``died`` did not end because it was told to.
    """

    spec: Instance
    revision: Revision
    place: int
    number: int
    started: float
    phase: Phase = "starting"
    probe: asyncio.Task[None] | None = None
    in_flight: int = 0
    idle_since: float = 0.0
    pool_drawn: float = 0.0
    died: bool = False

    @property
    def runs(self) -> Revision:
        """What it was started for."""
        return self.revision

    @property
    def id(self) -> str:
        return self.spec.id
