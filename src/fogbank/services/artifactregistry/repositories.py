"""Repositories: made, listed, changed and deleted with all that is in them.

See behaviour/artifact-registry.md#repositories.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from fogbank.errors import ApiError
from fogbank.resources.artifactregistry import (
    GCR_LOCATIONS,
    LOCATIONS,
    REPOSITORIES,
    packages_in,
    policy_name,
    registry_uri,
    repository_name,
    tags_in,
    versions_in,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, rfc3339
from fogbank.resources.places import REGIONS
from fogbank.resources.projects import project_id
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.artifactregistry.operations import gone
from fogbank.services.collections import Collection, Field, Outcome, bad_request, changed_fields
from fogbank.services.contract import Call, Decision, List, Method, Read, Write
from fogbank.services.labels import check_labels
from fogbank.services.masks import mask_paths, with_whole_fields
from fogbank.services.segments import location_of, project_of

_ID = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
_LONGEST_DESCRIPTION = 1024  # ours: Google publishes none


def _labels(_world: World, _call: Call, value: Json) -> Json:
    check_labels(value)
    return value


def _description(_world: World, _call: Call, value: str) -> str:
    if len(value) > _LONGEST_DESCRIPTION:
        raise bad_request(f"A description may have at most {_LONGEST_DESCRIPTION:,} characters.")
    return value


def _format(_world: World, _call: Call, value: str) -> str:
    if value != "DOCKER":
        raise not_built(f"repositories of the format {value}")
    return value


def _mode(_world: World, _call: Call, value: str) -> str:
    if value not in {"MODE_UNSPECIFIED", "STANDARD_REPOSITORY"}:
        raise not_built(f"repositories of the mode {value}")
    return "STANDARD_REPOSITORY"


def _unbuilt(what: str) -> Field:
    def check(_world: World, _call: Call, _value: object) -> None:
        raise not_built(what)

    return Field(check=check)


def not_built(what: str) -> ApiError:
    """Refuse what Google has and Fogbank does not, by its name."""
    return ApiError(400, f"Fogbank does not implement {what} yet.", "UNIMPLEMENTED", "notImplemented")


def _created(_world: World, call: Call, asked: Resource) -> Outcome:
    """Complete a repository. The ids of gcr.io's hosts are for their own location alone."""
    name = asked.name
    if GCR_LOCATIONS.get(name.id, name.region) != name.region:
        raise bad_request(f"The repository {name.id} must be in the location {GCR_LOCATIONS[name.id]}.")
    return Outcome(completed(asked, call.now), done=True)


def completed(asked: Resource, now: datetime) -> Resource:
    """Add the fields that only Google sets."""
    moment = rfc3339(now)
    return replace(
        asked,
        body={
            **asked.body,
            "createTime": moment,
            "updateTime": moment,
            "registryUri": registry_uri(asked.name),
            "satisfiesPzi": True,
            "vulnerabilityScanningConfig": {
                "enablementState": "SCANNING_DISABLED",
                "enablementStateReason": "API containerscanning.googleapis.com is not enabled.",
            },
        },
    )


def new_repository(name: ResourceName, now: datetime, new_id: Callable[[], int]) -> Resource:
    """Make the repository of an old Container Registry host, as the first push does."""
    body = {"name": name.path, "format": "DOCKER", "mode": "STANDARD_REPOSITORY"}
    return completed(Resource(name, new_id(), now, body), now)


def _updated(
    _world: World, call: Call, _before: Resource, after: Resource, _fields: frozenset[str]
) -> Outcome:
    return Outcome(after.with_body(updateTime=rfc3339(call.now)))


def _deleted(world: World, _call: Call, found: Resource) -> tuple[Change, ...]:
    """Take away what is in a repository, and its policy."""
    name = found.name
    inside = (*tags_in(world, name), *versions_in(world, name), *packages_in(world, name))
    return (*(Delete(each.name) for each in inside), Delete(policy_name(name)))


def show(world: World, resource: Resource) -> Json:
    """Render a repository with its size: each blob counts once."""
    sizes: dict[str, int] = {}
    for version in versions_in(world, resource.name):
        sizes[version.name.id] = int(version.private["bytes"])
        sizes |= {digest: int(size) for digest, size in version.private["blobs"].items()}
    return resource.body | {"sizeBytes": str(sum(sizes.values()))}


COLLECTION = Collection(
    name=REPOSITORIES,
    noun="repository",
    id_parameter="repositoryId",
    id_pattern=f"{_ID}|{'|'.join(each.replace('.', '[.]') for each in GCR_LOCATIONS)}",
    message="google.devtools.artifactregistry.v1.Repository",
    interface="google.devtools.artifactregistry.{version}.ArtifactRegistry",
    metadata="google.devtools.artifactregistry.v1.OperationMetadata",
    fields={
        "format": Field(required=True, immutable=True, check=_format),
        "mode": Field(immutable=True, default="STANDARD_REPOSITORY", check=_mode),
        "description": Field(check=_description),
        "labels": Field(check=_labels),
        "dockerConfig": Field(),
        "cleanupPolicies": _unbuilt("cleanup policies"),
        "cleanupPolicyDryRun": Field(),
        "kmsKeyName": _unbuilt("customer-managed encryption keys"),
        "remoteRepositoryConfig": _unbuilt("remote repositories"),
        "virtualRepositoryConfig": _unbuilt("virtual repositories"),
        **{
            name: Field(output=True)
            for name in ("name", "createTime", "updateTime", "sizeBytes", "registryUri", "satisfiesPzi")
        },
    },
    locations=LOCATIONS,
    created=_created,
    updated=_updated,
    deleted=_deleted,
    show=show,
    missing=lambda _name: ApiError(404, "Requested entity was not found.", "NOT_FOUND", "notFound"),
)


def create(world: World, call: Call) -> Decision:
    """Make one; Google says what exists already in its own words."""
    name = repository_name(
        project_of(world, call), location_of(call), str(call.parameters.get("repositoryId") or "")
    )
    if world.find(name) is not None:
        raise ApiError(409, "the repository already exists", "ALREADY_EXISTS", "alreadyExists")
    return _named(COLLECTION.create(world, call))


def delete(world: World, call: Call) -> Decision:
    """Take one away, with everything in it."""
    decision = COLLECTION.delete(world, call)
    if decision.operation is None:
        raise ValueError("a delete of a collection has an operation")
    return _named(replace(decision, operation=decision.operation.done(call.now, gone())))


def patch(world: World, call: Call) -> Decision:
    """Change one at once: the answer is the repository, and no operation."""
    found = COLLECTION.find(world, call)
    call = with_whole_fields(call, found.body)
    fields = changed_fields(mask_paths(call), call.body, COLLECTION.writable, COLLECTION.noun)
    checked = {
        each: COLLECTION.fields[each].check(world, call, call.body[each]) if each in call.body else None
        for each in fields
    }
    after = found.with_body(**checked, updateTime=rfc3339(call.now))
    return Decision((Put(after),), answer=show(world, after))


def _named(decision: Decision) -> Decision:
    """Show an operation's metadata as this API does: empty."""
    operation = decision.operation
    if operation is None:
        return decision
    kind = {"@type": "type.googleapis.com/google.devtools.artifactregistry.v1.OperationMetadata"}
    return replace(decision, operation=replace(operation, metadata=kind))


def operation_response(world: World, operation: Operation) -> Json | None:
    """Return the message of a finished operation."""
    return COLLECTION.operation_response(world, operation)


def guarded(world: World, call: Call) -> ResourceName:
    """Name the policy of a repository, which must exist."""
    return policy_name(COLLECTION.find(world, call).name)


def repository(world: World, call: Call) -> Resource:
    """Find the repository that a call about something inside names; Google's 404 otherwise."""
    path = str(call.parameters.get("name") or call.parameters.get("parent") or "").split("/")
    found = world.find(repository_name(project_id(world, path[1]), path[3], path[5]))
    if found is None:
        raise ApiError(404, "Requested entity was not found.", "NOT_FOUND", "notFound")
    return found


def list_places(world: World, call: Call) -> Iterable[Json]:
    """List the locations that repositories may be in."""
    project = project_of(world, call)
    return [_location(project, location) for location in LOCATIONS]


def get_place(world: World, call: Call) -> Json:
    """Show one location."""
    location = location_of(call)
    if location not in LOCATIONS:
        raise ApiError(404, "Requested entity was not found.", "NOT_FOUND", "notFound")
    return _location(project_of(world, call), location)


def _location(project: str, location: str) -> Json:
    region = {"labels": {"cloud.googleapis.com/region": location}} if location in REGIONS else {}
    return {"name": f"projects/{project}/locations/{location}", "locationId": location, **region}


_PATH = "projects.locations.repositories"

METHODS: Mapping[str, Method] = {
    "projects.locations.list": List(list_places, "locations", permission="artifactregistry.locations.list"),
    "projects.locations.get": Read(get_place, "artifactregistry.locations.get"),
    f"v1.{_PATH}.get": Read(COLLECTION.get, "artifactregistry.repositories.get"),
    f"v1.{_PATH}.list": List(
        COLLECTION.list, "repositories", permission="artifactregistry.repositories.list"
    ),
    f"v1.{_PATH}.create": Write(create, "artifactregistry.repositories.create"),
    f"v1.{_PATH}.patch": Write(patch, "artifactregistry.repositories.update"),
    f"v1.{_PATH}.delete": Write(delete, "artifactregistry.repositories.delete"),
    **iam_methods(f"v1.{_PATH}.", guarded, "artifactregistry.repositories"),
}
