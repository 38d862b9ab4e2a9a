"""Which revisions serve: those that get traffic, have a tag, or are being checked.

Kept service by service, so that a change costs what it changed and not what there is. What a revision asks
for is read once for each version of it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from fogbank.resources.names import ResourceName
from fogbank.resources.run import (
    REVISIONS,
    SERVICE_LABEL,
    SERVICES,
    Readiness,
    Revision,
    read_revision,
    read_service,
    ready_condition,
    service_name,
)
from fogbank.resources.world import Change, Delete, Put, Resource, World
from fogbank.services.run.controller.scaling import Portion, deal_maximum, portion_of

_NONE: frozenset[ResourceName] = frozenset()


@dataclass(frozen=True, slots=True)
class Shift:
    """What an update changed: revisions that serve from now on, and that do no longer."""

    begun: AbstractSet[ResourceName]
    ended: AbstractSet[ResourceName]


class ServingRevisions:
    """The revisions that serve. One may serve without a resource: then it has no instances."""

    def __init__(self) -> None:
        self._of_service: dict[ResourceName, frozenset[ResourceName]] = {}
        self._service: dict[ResourceName, ResourceName] = {}
        self._read: dict[ResourceName, tuple[Resource, Revision]] = {}
        self._portions: dict[ResourceName, Portion] = {}

    def __contains__(self, revision: ResourceName) -> bool:
        return revision in self._service

    def __iter__(self) -> Iterator[ResourceName]:
        return iter(self._service)

    def of(self, service: ResourceName) -> AbstractSet[ResourceName]:
        """Name the revisions of ``service`` that serve."""
        return self._of_service.get(service, _NONE)

    def find(self, revision: ResourceName) -> tuple[Resource, Revision] | None:
        """Return what is stored of a revision and what it asks for; None unless it serves and exists."""
        return self._read.get(revision)

    def portion(self, revision: ResourceName) -> Portion:
        """Return what the service's own scaling comes to for ``revision``."""
        return self._portions.get(revision, Portion())

    def revisions(self) -> Iterable[Revision]:
        """List what the revisions that serve and exist ask for."""
        return [revision for _, revision in self._read.values()]

    def services(self) -> AbstractSet[ResourceName]:
        """Name the services that have any."""
        return self._of_service.keys()

    def touched(self, changes: Iterable[Change]) -> set[ResourceName]:
        """Name the services that ``changes`` are about."""
        return {service for change in changes if (service := self._touched(change))}

    def _touched(self, change: Change) -> ResourceName | None:
        match change:
            case Put(resource) if resource.name.collection == REVISIONS:
                label = resource.body["metadata"]["labels"][SERVICE_LABEL]
                return service_name(resource.name.project, resource.name.region or "", label)
            case Put(resource) if resource.name.collection == SERVICES:
                return resource.name
            case Delete(name) if name.collection == SERVICES:
                return name
            case Delete(name):
                return self._service.get(name)
            case _:
                return None

    def update(self, world: World, service: ResourceName) -> Shift:
        """Look at one service again."""
        portions = _serving(world, service)
        before, now = self.of(service), frozenset(portions)
        if now:
            self._of_service[service] = now
        else:
            self._of_service.pop(service, None)
        for revision in before - now:
            self._service.pop(revision, None)
            self._read.pop(revision, None)
            self._portions.pop(revision, None)
        self._portions.update(portions)
        for revision in now:
            self._service[revision] = service
            self._note(revision, world.find(revision))
        return Shift(now - before, before - now)

    def _note(self, revision: ResourceName, found: Resource | None) -> None:
        known = self._read.get(revision)
        if found is None:
            self._read.pop(revision, None)
        elif known is None or known[0] is not found:
            self._read[revision] = found, read_revision(found)


def _serving(world: World, name: ResourceName) -> dict[ResourceName, Portion]:
    """List the revisions of a service that serve, each with its part of the service's scaling."""
    found = world.find(name)
    if found is None:
        return {}
    service = read_service(found)
    names = {service.revision(target.revision) for target in service.traffic if target.percent or target.tag}
    percents = Counter[ResourceName]()
    for target in service.traffic:
        percents[service.revision(target.revision)] += target.percent
    if service.latest_created:
        latest = world.find(service.revision(service.latest_created))
        if latest and ready_condition(latest.body) is not Readiness.FAILED:
            names.add(latest.name)
    counts = service.min_instances, service.manual_instances
    portions = {each: portion_of(percents[each], *counts) for each in sorted(names)}
    if service.max_instances is None:
        return portions
    most = deal_maximum({each: percents[each] for each in portions}, service.max_instances)
    return {each: replace(portion, maximum=most[each]) for each, portion in portions.items()}
