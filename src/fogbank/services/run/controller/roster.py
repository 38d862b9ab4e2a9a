"""Which instances there are: by id, by place in the fabric, by revision."""

from collections.abc import Iterator

from fogbank.resources.names import ResourceName
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.controller.revision_instances import RevisionInstances


class Roster:
    """``running`` are those that should run, by id; ``ending`` were told to end and have not yet.

    ``by_revision`` has the running ones of each revision that has any.
    """

    def __init__(self) -> None:
        self.running: dict[str, InstanceState] = {}
        self.ending: dict[str, InstanceState] = {}
        self.by_revision: dict[ResourceName, RevisionInstances] = {}
        self._by_place: dict[int, InstanceState] = {}

    def of(self, revision: ResourceName) -> RevisionInstances:
        """Return the running instances of ``revision``."""
        return self.by_revision.get(revision) or RevisionInstances()

    def revisions(self) -> Iterator[ResourceName]:
        """Name the revisions that have running instances."""
        return iter(tuple(self.by_revision))

    def at(self, place: int) -> InstanceState | None:
        """Find who has a place in the fabric, also when it is about to end."""
        return self._by_place.get(place)

    def find(self, identifier: str) -> InstanceState | None:
        """Find an instance, also when it is about to end."""
        return self.running.get(identifier) or self.ending.get(identifier)

    def add(self, instance: InstanceState) -> None:
        """Take in an instance that is started."""
        self.running[instance.id] = self._by_place[instance.place] = instance
        self.by_revision.setdefault(instance.revision.name, RevisionInstances()).add(instance)

    def remove(self, instance: InstanceState) -> None:
        """Count an instance among the running no more; it keeps its place."""
        del self.running[instance.id]
        siblings = self.by_revision[instance.revision.name]
        siblings.remove(instance)
        if not siblings:
            del self.by_revision[instance.revision.name]

    def vacate(self, instance: InstanceState) -> None:
        """Free the place of an instance that is no more."""
        del self._by_place[instance.place]
