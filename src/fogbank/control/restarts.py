"""Restarts: what died is started again after a pause that grows with each death, and shows meanwhile.

The count begins anew when something of the same owner has come up. Pauses are on the region's clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from fogbank.clock import Clock
from fogbank.control.progress import Failure
from fogbank.resources.names import ResourceName

RESTART_PAUSES = (0.2, 1.0, 5.0, 20.0)
"""Seconds before something is started again after it died, growing with each death; the last one repeats."""


@dataclass(frozen=True, slots=True)
class Deaths:
    """How often something of one owner died since one last came up, and what is known of it."""

    count: int
    last: float
    since: datetime
    why: str


class Restarts:
    """Who died how often, by the resource that it was started for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deaths: dict[ResourceName, Deaths] = {}

    def died(self, owner: ResourceName, why: str) -> None:
        """Note a death."""
        known = self._deaths.get(owner)
        self._deaths[owner] = Deaths(
            known.count + 1 if known else 1,
            self._clock.seconds(),
            known.since if known else self._clock.now(),
            why,
        )

    def came_up(self, owner: ResourceName) -> None:
        """Forget the deaths of ``owner``'s: one of them lives. Also to be called when the owner is gone."""
        self._deaths.pop(owner, None)

    def may_start(self, owner: ResourceName) -> bool:
        """Return whether the pause after the last death is over."""
        deaths = self._deaths.get(owner)
        if deaths is None:
            return True
        pause = RESTART_PAUSES[min(deaths.count, len(RESTART_PAUSES)) - 1]
        return self._clock.seconds() - deaths.last >= pause

    def failures(self, what: str) -> Iterator[tuple[ResourceName, Failure]]:
        """List the owners whose ``what`` (``its containers``) die."""
        for owner, deaths in self._deaths.items():
            yield owner, Failure(what, deaths.why, deaths.count, deaths.since, frozenset({owner}))
