"""Indexes: how to find the members of a collection by what is in them, at the cost of what is found.

Whoever needs an index declares one as a module's constant, next to the question that it answers; the World
knows none by name. An index is derived, never stored. It is built when it is first asked for, in one pass
over its collection, and from then on each change of the collection carries it along.
"""

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

from fogbank.resources.names import ResourceName
from fogbank.resources.ordered import OrderedSet

OPERATIONS = "operations"
"""The collection of all operations, of whatever API, as an :class:`Index` names it."""


class Member(Protocol):
    """What indexes are made of: a resource or an operation."""

    @property
    def name(self) -> ResourceName:
        """Name the member."""
        ...

    @property
    def id(self) -> int:
        """Return Google's numeric id."""
        ...


M = TypeVar("M", bound=Member)


@dataclass(frozen=True, slots=True, eq=False)
class Index(Generic[M]):
    """Finds members of ``collection`` by their keys.

    ``keys`` computes them from one member and nothing else: none, one or several, which all indexed members'
    keys can be compared with. Members of one key come by path.
    """

    collection: str
    keys: Callable[[M], Iterable[Hashable]]


Step = tuple[str, Any, Any]
"""One change of a collection: a path, the member there before and the one after; None where there is none."""


class CollectionIndexes:
    """The indexes of one collection as it stands in one or more Worlds.

    It is a cache: an index that is asked for is built once and kept. ``_wanted`` is common to all that follow
    from one another, so an index that is first read in one World is carried along by the successors of those
    that were made before.
    """

    __slots__ = ("_built", "_wanted")

    def __init__(self, built: dict[Index[Any], OrderedSet], wanted: dict[Index[Any], None]) -> None:
        self._built, self._wanted = built, wanted

    def entries(self, index: Index[M], members: Mapping[str, M]) -> OrderedSet:
        """Return the entries of ``index``; ``members`` are those of the collection that this belongs to."""
        found = self._built.get(index)
        if found is None:
            keys = index.keys
            paths = sorted(members)  # far cheaper than to sort entries that are in no order
            found = OrderedSet.of([(key, path) for path in paths for key in keys(members[path])])
            self._built[index] = found
            self._wanted[index] = None
        return found

    def after(self, members: Mapping[str, Any], steps: Sequence[Step]) -> "CollectionIndexes":
        """Return the indexes after ``steps``; ``members`` are those before."""
        built = {index: _after(index, self.entries(index, members), steps) for index in tuple(self._wanted)}
        return CollectionIndexes(built, self._wanted)


def _after(index: Index[Any], entries: OrderedSet, steps: Sequence[Step]) -> OrderedSet:
    keys = index.keys
    for path, before, after in steps:
        old = () if before is None else tuple(keys(before))
        new = () if after is None else tuple(keys(after))
        if old != new:
            for key in old:
                if key not in new:
                    entries = entries.without_entry((key, path))
            for key in new:
                entries = entries.with_entry((key, path))
    return entries


@lru_cache(None)
def by_path(collection: str) -> Index[Any]:
    """Return the index of a collection's own order."""
    return Index(collection, _path)


@lru_cache(None)
def by_id(collection: str) -> Index[Any]:
    """Return the index of a collection by Google's numeric id, which is text here as in URLs."""
    return Index(collection, _id)


def paths_of(entries: OrderedSet, key: Hashable) -> Iterator[str]:
    """Return the paths of the members that have ``key``, in order."""
    for found, path in entries.starting_at((key,)):
        if found != key:
            return
        yield path


def paths_under(entries: OrderedSet, under: str, after: str = "") -> Iterator[str]:
    """Return the paths that start with ``under`` and sort after ``after``, in order.

    ``entries`` are those of :func:`by_path`.
    """
    low = f"{after}\0" if after >= under else under  # nothing stands between a text and this longer one
    for path, _ in entries.starting_at((low,)):
        if not path.startswith(under):
            return
        yield path


def count_under(entries: OrderedSet, under: str) -> int:
    """Count the paths that start with ``under``; ``entries`` are those of :func:`by_path`."""
    return entries.place_of((f"{under}{chr(sys.maxunicode)}",)) - entries.place_of((under,))


def _path(member: Member) -> tuple[str]:
    return (member.name.path,)


def _id(member: Member) -> tuple[str]:
    return (str(member.id),)
