"""References among the parts of load balancers: what a body refers to, and who refers to something.

A part may be global or of a region, and what refers to it says which; so a reference is looked up where it
says that it is. Users are found by the links in the bodies of everything that can be a user, so they are
never out of date.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fogbank.errors import invalid_value
from fogbank.resources.indexes import Index
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.names import by_id, project_of, region_of
from fogbank.services.compute.references import reference
from fogbank.services.contract import Call

_NOT_LINKS = frozenset({"selfLink", "region", "zone", "kind"})

USERS = (
    "backendServices",
    "forwardingRules",
    "targetHttpProxies",
    "targetHttpsProxies",
    "targetSslProxies",
    "targetTcpProxies",
    "urlMaps",
)
"""The kinds whose members refer to others."""


def _links(value: Any) -> Iterator[str]:
    match value:
        case str() if value.startswith(COMPUTE_PREFIX):
            yield value
        case dict():
            for key, each in value.items():
                if key not in _NOT_LINKS:
                    yield from _links(each)
        case list():
            for each in value:
                yield from _links(each)
        case _:
            return


def _references(resource: Resource) -> Iterable[str]:
    return set(_links(resource.body))


_BY_REFERENCE = tuple(Index(f"compute.{kind}", _references) for kind in USERS)


def users_of(world: World, name: ResourceName) -> Iterator[ResourceName]:
    """List what refers to ``name``, kind after kind."""
    for index in _BY_REFERENCE:
        for user in world.by(index, name.self_link):
            if user.name != name:
                yield user.name


def find_part(
    world: World, call: Call, field: str, value: object, kind: str, *, anywhere: bool = False
) -> Resource:
    """Find the ``kind`` that a body refers to, global or in the call's region; refused when there is none.

    A reference to another scope than the call's names its scope itself; ``anywhere`` is for zonal ones.
    """
    region = region_of(call) if "region" in call.parameters else None
    name = by_id(world, reference(field, value, kind, project_of(world, call), region))
    found = world.find(name)
    if found is None:
        raise invalid_value(field, value, f"The referenced {_word(kind)} resource cannot be found.")
    if region and not anywhere and name.region not in {region, None}:
        raise invalid_value(
            field, value, f"Region {name.region} is not the region of the resource, {region}."
        )
    return found


def _word(kind: str) -> str:
    return {"url_map": "urlMap"}.get(kind, kind.removesuffix("s"))


def linked(world: World, call: Call, body: Json, field: str, kind: str) -> None:
    """Check a field that refers to a ``kind``, and write it as the full link."""
    if body.get(field):
        body[field] = find_part(world, call, f"resource.{field}", body[field], kind).name.self_link
