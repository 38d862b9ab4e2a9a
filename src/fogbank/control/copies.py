"""What is known about one running instance."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from fogbank.resources.run import Revision
from fogbank.resources.world import Instance, Resource

State = Literal["starting", "ready"]


@dataclass(slots=True)
class Copy:
    """A copy of a revision. Times are the clock's ``seconds``; ``revision`` was read from ``source``."""

    instance: Instance
    revision: Revision
    source: Resource
    started: float
    state: State = "starting"
    probe: asyncio.Task[None] | None = None
    in_flight: int = 0
    idle_since: float = 0.0
    dealt: float = 0.0
