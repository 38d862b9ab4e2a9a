"""Listings: the members of a collection in the order of their paths, each rendered when somebody reads it.

A method that lists returns one when this order is that of the items' names, as it is for the children of one
parent. A page then costs what is on it, however long the list is.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from fogbank.resources.world import Json, Resource, World

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Listing(Iterable[Json], Generic[M]):
    """``members`` gives those whose path sorts after another, in order; ``render`` shows one."""

    members: Callable[[str], Iterator[M]]
    render: Callable[[M], Json]

    def __iter__(self) -> Iterator[Json]:
        return self.after("")

    def after(self, path: str) -> Iterator[Json]:
        """Return the items whose path sorts after ``path``."""
        return map(self.render, self.members(path))


def listing(
    world: World, collection: str, under: str, render: Callable[[Resource], Json]
) -> Listing[Resource]:
    """List the resources of ``collection`` whose path starts with ``under``."""
    return Listing(lambda after: world.all(collection, under, after), render)
