"""Handlers that many collections share: get, list, testIamPermissions."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.compute.decisions import policy_name
from fogbank.services.compute.names import named, place_path
from fogbank.services.contract import Call, List, Method, Read

Render = Callable[[World, Resource], Json]
"""How a resource looks to somebody who reads it."""


def as_stored(_world: World, resource: Resource) -> Json:
    """Show the body as it is kept."""
    return resource.body


def getter(kind: str, parameter: str, render: Render = as_stored) -> Callable[[World, Call], Json]:
    """Make the handler of ``get``: ``parameter`` is the path parameter with the name."""

    def get(world: World, call: Call) -> Json:
        return render(world, world.get(named(world, call, kind, call[parameter])))

    return get


def lister(kind: str, render: Render = as_stored) -> Callable[[World, Call], Iterable[Json]]:
    """Make the handler of ``list`` and ``aggregatedList``: everything in the call's region or project."""

    def listed(world: World, call: Call) -> Iterable[Json]:
        return in_place(world, call, kind, render)

    return listed


def in_place(world: World, call: Call, kind: str, render: Render = as_stored) -> Iterable[Json]:
    """List everything of ``kind`` in the call's region or project."""
    items = listing(world, f"compute.{kind}", place_path(world, call), partial(render, world))
    # Those of several regions are not in the order of their names.
    return list(items) if call.method.endswith(".aggregatedList") else items


def readers(
    kind: str, parameter: str, render: Render = as_stored, *, aggregated: bool = False
) -> Mapping[str, Method]:
    """Make the methods that read a collection: get, list and, where it has one, aggregatedList."""
    listed = List(lister(kind, render), permission=f"compute.{kind}.list")
    methods: dict[str, Method] = {
        f"{kind}.get": Read(getter(kind, parameter, render), f"compute.{kind}.get"),
        f"{kind}.list": listed,
    }
    return methods | ({f"{kind}.aggregatedList": listed} if aggregated else {})


def permission_tester(kind: str) -> Method:
    """Make testIamPermissions for resources of ``kind``."""

    def guarded(world: World, call: Call) -> ResourceName:
        return policy_name(world.get(named(world, call, kind, call["resource"])).name)

    return iam_methods("", guarded, f"compute.{kind}")["testIamPermissions"]
