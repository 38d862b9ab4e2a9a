"""The project of a call: it has to exist, and its number stands for its id.

Most paths name one: as the parameter ``project``, or inside ``projects/P/…`` or Knative's ``namespaces/P/…``.
"""

import re
from collections.abc import Mapping

from fogbank.discovery.routes import DiscoveryMethod, Match
from fogbank.resources.public_images import IMAGE_PROJECTS
from fogbank.resources.tags import is_tag, owner_of
from fogbank.resources.world import World

_INSIDE = re.compile(r"^(projects|namespaces)/([^/]+)")
_ABOUT_PROJECTS = frozenset({"create", "get", "update", "patch", "delete", "undelete"})
"""Resource Manager's methods about a project itself: to ask for one does not make it."""
_READ_IMAGES = frozenset({"images.get", "images.getFromFamily", "images.list", "imageFamilyViews.get"})
_CREATED_ELSEWHERE = frozenset({"-", "_"})


def find_project(method: DiscoveryMethod, parameters: Mapping[str, str]) -> tuple[str, str] | None:
    """Return which path parameter names the call's project, and the project; None when none does."""
    if method.api == "cloudresourcemanager" and method.name.removeprefix("projects.") in _ABOUT_PROJECTS:
        return None
    for key, value in parameters.items():
        if key in {"project", "projectId"}:
            return key, value
        if found := _INSIDE.match(value):
            return None if found[2] in _CREATED_ELSEWHERE else (key, found[2])
        if key == "resource" and method.id.startswith("cloudresourcemanager.v1.projects."):
            return key, value
    return None


def is_public(match: Match) -> bool:
    """Return whether anybody may call a method: those that read Google's public images may be."""
    reads = match.method.api == "compute" and match.method.name in _READ_IMAGES
    return reads and match.parameters.get("project") in IMAGE_PROJECTS


def about_project(world: World, parameters: Mapping[str, str]) -> str:
    """Return the project that one of Resource Manager's paths is about, by id or number; empty for none."""
    for key in ("projectId", "name", "resource"):
        if value := parameters.get(key):
            if is_tag(value):
                return owner_of(world, value)
            return value.removeprefix("projects/").partition("/")[0]
    return ""


def with_project(parameters: Mapping[str, str], key: str, old: str, new: str) -> dict[str, str]:
    """Write ``new`` for the project ``old`` in the parameter ``key``."""
    value = parameters[key]
    if value == old:
        return {**parameters, key: new}
    return {**parameters, key: _INSIDE.sub(lambda found: f"{found[1]}/{new}", value)}
