"""What all collections of Certificate Manager have: places, times, references, and how writes end."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.places import REGIONS
from fogbank.resources.world import Json, Resource, World
from fogbank.services.collections import Collection, Field, Outcome, bad_request
from fogbank.services.contract import Call
from fogbank.services.labels import check_labels
from fogbank.services.segments import project_of

GLOBAL = "global"
LOCATIONS = (GLOBAL, *REGIONS)
ID_PATTERN = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
_TYPES = "google.cloud.certificatemanager.v1"
INTERFACE = "google.cloud.certificatemanager.{version}.CertificateManager"
METADATA = f"{_TYPES}.OperationMetadata"
_REFERENCE = re.compile(r"(?:(?:https:)?//certificatemanager\.googleapis\.com/(?:v1/)?)?(projects/.+)")


def _labels(_world: World, _call: Call, value: Any) -> Any:
    check_labels(value)
    return value


def _description(_world: World, _call: Call, value: Any) -> Any:
    if len(str(value)) > 1024:
        raise bad_request("The description must be at most 1024 characters long.", "description")
    return value


COMMON: dict[str, Field] = {
    "description": Field(check=_description),
    "labels": Field(check=_labels),
    "createTime": Field(output=True),
    "updateTime": Field(output=True),
}


def message(word: str) -> str:
    """Return the type of a message."""
    return f"{_TYPES}.{word}"


def missing(noun: str) -> Callable[[ResourceName], ApiError]:
    """Make the refusal of one that is not there."""

    def refuse(name: ResourceName) -> ApiError:
        return ApiError(404, f"{noun} '{name.path}' was not found.", "NOT_FOUND", "notFound")

    return refuse


def stamped(call: Call, resource: Resource, *, new: bool) -> Resource:
    """Write when a resource was made and changed."""
    now = call.now.isoformat(timespec="microseconds").replace("+00:00", "Z")
    times = {"createTime": now, "updateTime": now} if new else {"updateTime": now}
    return resource.with_body(**times)


def created(_world: World, call: Call, resource: Resource) -> Outcome:
    """Complete a new resource; the network has nothing to do for it."""
    return Outcome(stamped(call, resource, new=True), done=True)


def updated(
    _world: World, call: Call, _before: Resource, after: Resource, _fields: frozenset[str]
) -> Outcome:
    """Complete a changed resource."""
    return Outcome(stamped(call, after, new=False), done=True)


def referred(world: World, call: Call, field: str, value: Any, collection: str) -> ResourceName:
    """Find what a field refers to, by its full name in any of Google's forms or by its id."""
    label = collection.rpartition(".")[2]
    text = str(value)
    found = _REFERENCE.fullmatch(text)
    path = found[1] if found else f"projects/{project_of(world, call)}/locations/{GLOBAL}/{label}/{text}"
    parts = path.split("/")
    if len(parts) != 6 or (parts[2], parts[4]) != ("locations", label):
        raise bad_request(f"The name '{text}' of {field} is malformed.", field)
    project = project_of(world, call)
    own = world.find(ResourceName("cloudresourcemanager.projects", f"projects/{project}"))
    if own is not None and parts[1] == str(own.body.get("projectNumber", "")):
        path = "/".join(("projects", project, *parts[2:]))
    name = ResourceName(collection, path)
    if world.find(name) is None:
        raise ApiError(404, f"Resource '{path}' was not found", "NOT_FOUND", "notFound")
    return name


@dataclass(frozen=True, slots=True)
class Done(Collection):
    """A collection whose deletions need nothing from the network either."""

    permissions: str = ""
    """The word in the permissions of its methods (``certs``)."""

    def methods(self) -> Mapping[str, Any]:
        """Make the five methods with the permissions that Google has for them."""
        own = f"{self.name}."
        word = f"certificatemanager.{self.permissions}."
        return {
            key: replace(each, permission=each.permission.replace(own, word))
            for key, each in Collection.methods(self).items()
        }

    def decision(self, world: World, call: Call, verb: str, outcome: Outcome, changes: Any) -> Any:
        """Open the operation of a write, which has ended."""
        return Collection.decision(self, world, call, verb, replace(outcome, done=True), changes)


def nothing(_world: World, resource: Resource) -> Json:
    """Show what is stored."""
    return resource.body
