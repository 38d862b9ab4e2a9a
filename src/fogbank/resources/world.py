"""The World: every resource that a client was promised, as one immutable snapshot.

A resource keeps the JSON that its API speaks (so nothing a client wrote is lost); what the network needs
of it is read into real types by `lowering` and by the services. A World never changes: the store replaces it.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from immutables import Map

from fogbank.errors import not_found
from fogbank.resources.history import History
from fogbank.resources.indexes import (
    OPERATIONS,
    CollectionIndexes,
    Index,
    Member,
    Step,
    by_id,
    by_path,
    count_under,
    paths_of,
    paths_under,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation
from fogbank.resources.ordered import OrderedSet

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


def changed_members(changes: Iterable[Change], collection: str) -> Iterator[ResourceName]:
    """Name the members of ``collection`` that ``changes`` make, replace or take away."""
    for change in changes:
        match change:
            case Put(resource) if resource.name.collection == collection:
                yield resource.name
            case Delete(name) if name.collection == collection:
                yield name
            case _:
                continue


_EMPTY: Map[str, Resource] = Map()
_NO_INDEXES: Map[str, CollectionIndexes] = Map()
M = TypeVar("M", bound=Member)


@dataclass(frozen=True, slots=True)
class World:
    """Everything acknowledged so far. ``version`` counts commits; ``running`` are unfinished operations."""

    version: int = 0
    collections: Map[str, Map[str, Resource]] = field(default_factory=Map)
    operations: Map[str, Operation] = field(default_factory=Map)
    running: Map[str, Operation] = field(default_factory=Map)
    _indexes: Map[str, CollectionIndexes] = field(default=_NO_INDEXES, repr=False, compare=False)
    """The indexes of each collection that ever had a member. Worlds share those of a collection that is the
    same in both."""
    _history: History = field(default_factory=History, repr=False, compare=False)

    def changed_since(self, earlier: "World") -> set[ResourceName] | None:
        """Name the resources that changed after ``earlier``; None when the two must be compared to know."""
        if earlier.collections is self.collections:
            return set()
        return self._history.since(earlier.collections)

    def find(self, name: ResourceName) -> Resource | None:
        """Look a resource up; None when it does not exist."""
        return self.collections.get(name.collection, _EMPTY).get(name.path)

    def get(self, name: ResourceName) -> Resource:
        """Look a resource up; Google's 404 when it does not exist."""
        found = self.find(name)
        if found is None:
            raise not_found(name.path)
        return found

    def all(self, collection: str, under: str = "", after: str = "") -> Iterator[Resource]:
        """List the resources of ``collection`` whose path starts with ``under``, by path.

        With ``after`` only those whose path sorts after it.
        """
        return self._by_path(collection, under, after)

    def count(self, collection: str, under: str = "") -> int:
        """Count the resources of ``collection`` whose path starts with ``under``."""
        members = self.collections.get(collection, _EMPTY)
        return count_under(self._entries(by_path(collection), members), under)

    def with_id(self, collection: str, identifier: str, under: str = "") -> Resource | None:
        """Find the resource of ``collection`` with Google's numeric id, if its path starts with ``under``."""
        found = self.by(by_id(collection), identifier)
        return next((each for each in found if each.name.path.startswith(under)), None)

    def by(self, index: Index[M], *keys: Hashable) -> Iterator[M]:
        """List the members that have any of ``keys`` in ``index``, key after key and then by path;
        one that has two of them comes twice.
        """
        members = self._members(index.collection)
        entries = self._entries(index, members)
        return (members[path] for key in keys for path in paths_of(entries, key))

    def ordered(self, index: Index[M], low: Hashable = None) -> Iterator[tuple[Any, M]]:
        """List the keys of ``index`` in order, each with its member: all, or those from ``low`` on."""
        members = self._members(index.collection)
        entries = self._entries(index, members)
        found = entries if low is None else entries.starting_at((low,))
        return ((key, members[path]) for key, path in found)

    def operations_under(self, under: str, after: str = "") -> Iterator[Operation]:
        """List the operations whose path starts with ``under`` and sorts after ``after``, by path."""
        return self._by_path(OPERATIONS, under, after)

    def _by_path(self, collection: str, under: str, after: str) -> Iterator[Any]:
        members = self._members(collection)
        entries = self._entries(by_path(collection), members)
        return map(members.__getitem__, paths_under(entries, under, after))

    def _members(self, collection: str) -> Map[str, Any]:
        return self.operations if collection == OPERATIONS else self.collections.get(collection, _EMPTY)

    def _entries(self, index: Index[Any], members: Map[str, Any]) -> OrderedSet:
        known = self._indexes.get(index.collection)
        return _NO_ENTRIES if known is None else known.entries(index, members)

    def after(self, changes: Iterable[Change]) -> "World":
        """Make the World that follows when ``changes`` are made, in order."""
        drafts: dict[str, _Draft] = {}
        running = self.running
        for change in changes:
            match change:
                case Put(resource):
                    name = resource.name
                    self._draft(drafts, name.collection).put(name.path, resource)
                case Delete(name):
                    self._draft(drafts, name.collection).delete(name.path)
                case PutOperation(operation):
                    path = operation.name.path
                    self._draft(drafts, OPERATIONS).put(path, operation)
                    if operation.status == "RUNNING":
                        running = running.set(path, operation)
                    elif path in running:
                        running = running.delete(path)
                case DeleteOperation(name):
                    self._draft(drafts, OPERATIONS).delete(name.path)
                    if name.path in running:
                        running = running.delete(name.path)
        return self._with(drafts, running)

    def _draft(self, drafts: "dict[str, _Draft]", collection: str) -> "_Draft":
        draft = drafts.get(collection)
        if draft is None:
            draft = drafts[collection] = _Draft(self._members(collection))
        return draft

    def _with(self, drafts: "Mapping[str, _Draft]", running: Map[str, Operation]) -> "World":
        collections, operations, indexes = self.collections, self.operations, self._indexes
        for collection, draft in drafts.items():
            if not draft.steps:
                continue
            known = indexes.get(collection)
            following = CollectionIndexes({}, {}) if known is None else known.after(draft.before, draft.steps)
            indexes = indexes.set(collection, following)
            if collection == OPERATIONS:
                operations = draft.finish()
            else:
                collections = collections.set(collection, draft.finish())
        history = self._history
        if collections is not self.collections:
            history = history.after(self.collections, _touched(drafts))
        return World(self.version + 1, collections, operations, running, indexes, history)


def _touched(drafts: "Mapping[str, _Draft]") -> Iterator[ResourceName]:
    for collection, draft in drafts.items():
        if collection != OPERATIONS:
            yield from (ResourceName(collection, path) for path, _, _ in draft.steps)


_NO_ENTRIES = OrderedSet()


class _Draft:
    """One collection while a World is made: its members ``before``, and the ``steps`` that change them."""

    __slots__ = ("_members", "before", "steps")

    def __init__(self, before: Map[str, Any]) -> None:
        self.before = before
        self.steps: list[Step] = []
        self._members = before.mutate()

    def put(self, path: str, member: Resource | Operation) -> None:
        """Make or replace a member."""
        if (before := self._members.get(path)) is not member:
            self.steps.append((path, before, member))
            self._members[path] = member

    def delete(self, path: str) -> None:
        """Take a member away, if it is there."""
        if (member := self._members.get(path)) is not None:
            self.steps.append((path, member, None))
            del self._members[path]

    def finish(self) -> Map[str, Any]:
        """Return the members after all steps."""
        return self._members.finish()
