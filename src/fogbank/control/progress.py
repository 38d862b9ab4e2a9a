"""What is known of convergence now: read by ``fogbank status``, by ``fogbank plan`` and by the front end."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fogbank.network.topology import Key
from fogbank.planning.plan import Plan
from fogbank.resources.names import ResourceName

PASSES_KEPT = 50


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be made as promised: what, why, how often it was tried, since when.

    It has no owners when it belongs to the region itself.
    """

    what: str
    why: str
    attempts: int
    since: datetime
    owners: frozenset[ResourceName]


@dataclass(frozen=True, slots=True)
class Pass:
    """A record of one turn of the loop."""

    at: datetime
    version: int
    seconds: float
    plan: Plan
    failures: Mapping[Key, str]


@dataclass
class Progress:
    """The newest World that was applied, what fails, and the last passes that did something."""

    applied_version: int = -1
    failures: dict[Key, Failure] = field(default_factory=dict)
    passes: deque[Pass] = field(default_factory=lambda: deque(maxlen=PASSES_KEPT))

    def failing(self) -> frozenset[ResourceName]:
        """Name every resource that waits for something that fails."""
        return frozenset(owner for failure in self.failures.values() for owner in failure.owners)
