"""The World: every resource that a client was promised, as one immutable snapshot.

A resource keeps the JSON that its API speaks (so nothing a client wrote is lost); what the network needs
of it is read into real types by `lowering` and by the services. A World never changes: the store replaces it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from immutables import Map

from fogbank.errors import not_found
from fogbank.resources.history import History
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation

Json = dict[str, Any]
"""A JSON object. By convention nobody changes one that came out of a World."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource: its name, Google's numeric ``id``, and ``body`` as its API shows it.

    ``private`` is what the region remembers of it and no client sees (how many instances a connector has
    grown to).
    """

    name: ResourceName
    id: int
    created: datetime
    body: Json
    private: Json = field(default_factory=dict)

    def with_body(self, **fields: Any) -> "Resource":
        """Copy it with these top-level fields replaced; ``None`` removes one."""
        body = {k: v for k, v in (self.body | fields).items() if v is not None}
        return replace(self, body=body)


@dataclass(frozen=True, slots=True)
class Put:
    """Make or replace a resource."""

    resource: Resource


@dataclass(frozen=True, slots=True)
class Delete:
    """Take a resource away."""

    name: ResourceName


@dataclass(frozen=True, slots=True)
class PutOperation:
    """Make or replace an operation."""

    operation: Operation


@dataclass(frozen=True, slots=True)
class DeleteOperation:
    """Forget an operation that ended long ago."""

    name: ResourceName


Change = Put | Delete | PutOperation | DeleteOperation

_EMPTY: Map[str, Resource] = Map()


@dataclass(frozen=True, slots=True)
class World:
    """Everything acknowledged so far. ``version`` counts commits; ``running`` are unfinished operations."""

    version: int = 0
    collections: Map[str, Map[str, Resource]] = field(default_factory=Map)
    operations: Map[str, Operation] = field(default_factory=Map)
    running: Map[str, Operation] = field(default_factory=Map)
    history: History = field(default_factory=History, repr=False, compare=False)

    def changed_since(self, earlier: "World") -> set[ResourceName] | None:
        """Name the resources that changed after ``earlier``; None when the two must be compared to know."""
        if earlier.collections is self.collections:
            return set()
        return self.history.since(earlier.collections)

    def find(self, name: ResourceName) -> Resource | None:
        """Look a resource up; None when it does not exist."""
        return self.collections.get(name.collection, _EMPTY).get(name.path)

    def get(self, name: ResourceName) -> Resource:
        """Look a resource up; Google's 404 when it does not exist."""
        found = self.find(name)
        if found is None:
            raise not_found(name.path)
        return found

    def all(self, collection: str, under: str = "") -> Iterator[Resource]:
        """List the resources of ``collection`` whose path starts with ``under``, in no particular order."""
        for path, resource in self.collections.get(collection, _EMPTY).items():
            if path.startswith(under):
                yield resource

    def after(self, changes: Iterable[Change]) -> "World":
        """Make the World that follows when ``changes`` are made, in order."""
        changes = tuple(changes)
        collections, operations, running = self.collections, self.operations, self.running
        for change in changes:
            match change:
                case Put(resource):
                    name = resource.name
                    members = collections.get(name.collection, _EMPTY).set(name.path, resource)
                    collections = collections.set(name.collection, members)
                case Delete(name):
                    members = collections.get(name.collection, _EMPTY)
                    if name.path in members:
                        collections = collections.set(name.collection, members.delete(name.path))
                case PutOperation(operation):
                    path = operation.name.path
                    operations = operations.set(path, operation)
                    if operation.status == "RUNNING":
                        running = running.set(path, operation)
                    elif path in running:
                        running = running.delete(path)
                case DeleteOperation(name):
                    if name.path in operations:
                        operations = operations.delete(name.path)
                    if name.path in running:
                        running = running.delete(name.path)
        history = self.history
        if collections is not self.collections:
            history = history.after(self.collections, _touched(changes))
        return World(self.version + 1, collections, operations, running, history)


def _touched(changes: Iterable[Change]) -> Iterator[ResourceName]:
    for change in changes:
        match change:
            case Put(resource):
                yield resource.name
            case Delete(name):
                yield name
            case PutOperation() | DeleteOperation():
                continue
