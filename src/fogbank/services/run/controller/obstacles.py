"""What keeps instances of a revision from starting or from living, as ``fogbank status`` shows it."""

from collections.abc import Iterator
from datetime import datetime

from fogbank.clock import Clock
from fogbank.control.progress import Failure
from fogbank.control.restarts import Restarts
from fogbank.resources.names import ResourceName
from fogbank.resources.run import Readiness
from fogbank.resources.world import World
from fogbank.services.run.controller.failures import without_network
from fogbank.services.run.controller.serving import ServingRevisions


class Obstacles:
    """The obstacles of all revisions; ``places`` is how many addresses the serverless fabric has.

    ``deaths`` are those of containers, ``addresses`` those that could not be had with Direct VPC egress.
    """

    def __init__(self, clock: Clock, places: int) -> None:
        self._clock, self._places = clock, places
        self.deaths, self.addresses = Restarts(clock), Restarts(clock)
        self._crowded_out: dict[ResourceName, datetime] = {}

    def may_start(self, revision: ResourceName) -> bool:
        """Return whether no pause after a death or a refusal holds an instance of ``revision`` back."""
        return self.deaths.may_start(revision) and self.addresses.may_start(revision)

    def crowded_out(self, revision: ResourceName) -> None:
        """Take note that there is no place for its next instance."""
        self._crowded_out.setdefault(revision, self._clock.now())

    def placed(self, revision: ResourceName) -> None:
        """Take note that an instance has its place."""
        self._crowded_out.pop(revision, None)

    def forget(self, revision: ResourceName) -> None:
        """Forget a revision that does not serve any more."""
        self.deaths.came_up(revision)
        self.addresses.came_up(revision)
        self.placed(revision)

    def explain(self, world: World, serving: ServingRevisions) -> list[tuple[ResourceName, Failure]]:
        """List the serving revisions whose instances die again and again, or lack a place or a network."""
        failures = [
            *self.deaths.failures("its containers"),
            *self._without_place(),
            *self.addresses.failures("an address in its subnetwork"),
            *without_network(world, serving.revisions(), self._clock.now()),
        ]
        return [(name, failure) for name, failure in failures if _is_promised(serving, name)]

    def _without_place(self) -> Iterator[tuple[ResourceName, Failure]]:
        why = f"All {self._places} addresses of the serverless fabric are in use."
        for name, since in self._crowded_out.items():
            yield name, Failure("an instance", why, 1, since, frozenset({name}))


def _is_promised(serving: ServingRevisions, name: ResourceName) -> bool:
    found = serving.find(name)
    return found is not None and found[1].readiness is not Readiness.FAILED
