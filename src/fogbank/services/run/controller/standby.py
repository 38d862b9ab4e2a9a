"""Revisions that keep one instance for a while though nobody asks for them.

One that begins to serve by a change has an instance started, and one whose instance died another, as long as
an idle instance would have been kept. A region that starts again has no reason: requests start instances.
"""

from fogbank.clock import Clock
from fogbank.resources.names import ResourceName
from fogbank.services.run.controller.scaling import IDLE_SECONDS


class Standby:
    """Who keeps an instance, and since when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[ResourceName, float] = {}

    def keep(self, revision: ResourceName, *, since: float | None = None) -> None:
        """Keep one for ``revision``, from ``since`` (the clock's seconds) or from now on."""
        self._since[revision] = self._clock.seconds() if since is None else since

    def drop(self, revision: ResourceName) -> None:
        """Keep none: the revision does not serve any more."""
        self._since.pop(revision, None)

    def minimum(self, revision: ResourceName) -> int:
        """Return how many instances ``revision`` should have at least for this reason."""
        since = self._since.get(revision)
        if since is None:
            return 0
        if self._clock.seconds() - since < IDLE_SECONDS:
            return 1
        del self._since[revision]
        return 0
