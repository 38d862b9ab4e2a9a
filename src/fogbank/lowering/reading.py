"""Reading a World's collections in a fixed order, once for each version of a collection."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

from immutables import Map

from fogbank.lowering.memoize import interned, memoized
from fogbank.resources.compute import refer
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_NONE: Map[str, Resource] = Map()


def grouped(values: Iterable[V], by: Callable[[V], K]) -> Mapping[K, tuple[V, ...]]:
    """Group ``values``, which keep their order; a group of the same values is the same tuple."""
    groups: dict[K, list[V]] = {}
    for value in values:
        groups.setdefault(by(value), []).append(value)
    return {key: interned(*group) for key, group in groups.items()}


def resources(world: World, collection: str) -> tuple[Resource, ...]:
    """List the resources of ``collection`` by path; the same tuple as long as it does not change."""
    return _sorted(world.collections.get(collection, _NONE))


@memoized
def _sorted(members: Map[str, Resource]) -> tuple[Resource, ...]:
    return tuple(members[path] for path in sorted(members))


@memoized
def by_network(members: tuple[Resource, ...]) -> Mapping[ResourceName, tuple[Resource, ...]]:
    """Group compute resources that have a ``network``."""
    return grouped(members, _network_of)


@memoized
def _network_of(resource: Resource) -> ResourceName:
    return refer(resource.body["network"], "networks")
