"""Where in a repository a call points: its path without escapes, read from the right.

A package's name may have slashes, which arrive as ``%2F`` or, when a client escaped them once, as slashes.
"""

from fogbank.errors import ApiError
from fogbank.resources.artifactregistry import package_name
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World
from fogbank.services.artifactregistry.repositories import repository
from fogbank.services.contract import Call


def missing() -> ApiError:
    """Refuse what is not there, in Google's words."""
    return ApiError(404, "Requested entity was not found.", "NOT_FOUND", "notFound")


def path_of(call: Call) -> str:
    """Return the whole name that the call is about, or of its parent."""
    return str(call.parameters.get("name") or call.parameters.get("parent") or "")


def rest_of(call: Call) -> str:
    """Return what stands behind the repository's own name: ``packages/a/b/versions/sha256:…``."""
    return path_of(call).split("/", 6)[-1]


def package_of_call(world: World, call: Call, kind: str = "") -> tuple[ResourceName, str]:
    """Name the package of a call, and what follows ``kind`` (``versions``, ``tags``) behind it."""
    found = repository(world, call)
    rest, identifier = rest_of(call).removeprefix("packages/"), ""
    if kind:
        rest, _, identifier = rest.rpartition(f"/{kind}/")
    return package_name(found.name, rest.replace("%2F", "/")), identifier


def existing(world: World, name: ResourceName) -> Resource:
    """Find a resource; Google's 404 otherwise."""
    found = world.find(name)
    if found is None:
        raise missing()
    return found
