"""What is known about one running instance."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from fogbank.resources.fleet import Instance
from fogbank.resources.run import Revision

Phase = Literal["starting", "ready"]


@dataclass(slots=True)
class InstanceState:
    """A copy of a revision: ``built`` once its container was started; times are the clock's ``seconds``."""

    instance: Instance
    revision: Revision
    started: float
    phase: Phase = "starting"
    built: bool = False
    probe: asyncio.Task[None] | None = None
    in_flight: int = 0
    idle_since: float = 0.0
    dealt: float = 0.0
