"""What changed between two Worlds, or two fleets."""

from collections.abc import Set as AbstractSet

from immutables import Map

from fogbank.resources.fleet import Fleet
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World

_NONE: Map[str, Resource] = Map()


def changed_resources(before: World, after: World, collections: AbstractSet[str]) -> set[ResourceName]:
    """Name the resources of ``collections`` that are new, gone or not the same object, and perhaps others."""
    known = after.changed_since(before)
    if known is not None:
        return {name for name in known if name.collection in collections}
    found: set[ResourceName] = set()
    for collection in collections:
        old, new = before.collections.get(collection, _NONE), after.collections.get(collection, _NONE)
        if old is not new:
            found.update(each.name for path, each in new.items() if old.get(path) is not each)
            found.update(each.name for path, each in old.items() if path not in new)
    return found


def changed_instances(before: Fleet, after: Fleet) -> set[str]:
    """Name the instances that are new, gone or not the same object."""
    old, new = before.instances, after.instances
    if old is new:
        return set()
    found = {key for key, each in new.items() if old.get(key) is not each}
    return found | {key for key in old if key not in new}
