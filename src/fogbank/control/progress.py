"""What is known of convergence now: read by ``fogbank status``, by ``fogbank plan`` and by the front end."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fogbank.network.topology import Key
from fogbank.planning.plan import Plan
from fogbank.resources.names import ResourceName

PASSES_KEPT = 50


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be made as promised: what, why, how often it was tried, since when.

    It has no owners when it belongs to the region itself. What was tried 0 times could not even be lowered:
    only a change helps, not time.
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


class Progress:
    """The newest World that was applied, what fails, and the last passes that did something.

    ``failing`` names every resource that waits for something that fails; it is the same object while the
    failures are.
    """

    def __init__(self) -> None:
        self.applied_version = -1
        self.failures: Mapping[Key, Failure] = {}
        self.failing: frozenset[ResourceName] = frozenset()
        self.passes: deque[Pass] = deque(maxlen=PASSES_KEPT)

    def set_failures(self, failures: Mapping[Key, Failure]) -> None:
        """Replace what fails."""
        if failures or self.failures:
            self.failures = failures
            self.failing = frozenset(owner for failure in failures.values() for owner in failure.owners)
