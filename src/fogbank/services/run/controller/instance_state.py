"""What is known about one running instance."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from fogbank.resources.fleet import Container, Instance
from fogbank.resources.run import Revision

Phase = Literal["starting", "ready", "unready"]


@dataclass(slots=True, eq=False)
class InstanceState:
    """An instance of ``revision``: ``spec`` is what the fleet says of it, times are the clock's ``seconds``.

    ``place`` is its place in the serverless fabric, ``number`` counts the instances in the
    order in which they were started. ``pool_drawn`` is when it got its address of the default egress pool.
    ``planned`` are all its containers, of which ``up`` have started; ``unready`` fail their readiness probes.
    One that ``died`` did not end because it was told to.
    """

    spec: Instance
    revision: Revision
    place: int
    number: int
    started: float
    phase: Phase = "starting"
    planned: tuple[Container, ...] = ()
    up: set[str] = field(default_factory=set)
    unready: set[str] = field(default_factory=set)
    probes: set[asyncio.Task[None]] = field(default_factory=set)
    in_flight: int = 0
    served: bool = False
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
