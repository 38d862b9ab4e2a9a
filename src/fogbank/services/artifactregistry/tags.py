"""Tags: names of versions that clients move. Where a repository says so, they are made and never moved."""

import re
from collections.abc import Iterable, Mapping

from fogbank.errors import ApiError
from fogbank.resources.artifactregistry import TAGS, VERSIONS, repository_of, tag_name, tags_in
from fogbank.resources.listings import Listing
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Delete, Json, Put, Resource, World
from fogbank.services.artifactregistry.inside import existing, package_of_call
from fogbank.services.collections import bad_request
from fogbank.services.contract import Call, Decision, List, Method, Read, Write
from fogbank.services.segments import project_of

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def immutable(repository: Resource | None) -> bool:
    """Return whether a repository's tags are made once and stay."""
    return repository is not None and bool((repository.body.get("dockerConfig") or {}).get("immutableTags"))


def check_movable(world: World, tag: ResourceName) -> None:
    """Refuse to move a tag where they are immutable (behaviour/artifact-registry.md#images-and-tags)."""
    if immutable(world.find(repository_of(tag))):
        raise ApiError(
            400,
            f"cannot update tag {tag.id}. The repository has enabled tag immutability",
            "FAILED_PRECONDITION",
            "failedPrecondition",
        )


def get(world: World, call: Call) -> Json:
    """Show a tag."""
    return _found(world, call).body


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the tags of a package."""
    package = existing(world, package_of_call(world, call)[0]).name
    return Listing(lambda after: tags_in(world, package, after), lambda each: each.body)


def create(world: World, call: Call) -> Decision:
    """Make a tag."""
    package = existing(world, package_of_call(world, call)[0]).name
    identifier = str(call.parameters.get("tagId") or "")
    if not _TAG.fullmatch(identifier):
        raise bad_request(f"'{identifier}' is not the name of a tag.")
    name = tag_name(package, identifier)
    if world.find(name) is not None:
        raise ApiError(409, "Requested entity already exists", "ALREADY_EXISTS", "alreadyExists")
    body = {"name": name.path, "version": _version(world, call, package)}
    return Decision((Put(Resource(name, call.new_id(), call.now, body)),), answer=body)


def patch(world: World, call: Call) -> Decision:
    """Move a tag to another version of its package."""
    found = _found(world, call)
    version = _version(world, call, package_of_call(world, call, "tags")[0])
    if version != found.body["version"]:
        check_movable(world, found.name)
    after = found.with_body(version=version)
    return Decision((Put(after),), answer=after.body)


def delete(world: World, call: Call) -> Decision:
    """Delete a tag; its version stays."""
    found = _found(world, call)
    check_movable(world, found.name)
    return Decision((Delete(found.name),), answer={})


def _found(world: World, call: Call) -> Resource:
    package, identifier = package_of_call(world, call, "tags")
    return existing(world, tag_name(package, identifier))


def _version(world: World, call: Call, package: ResourceName) -> str:
    """Read which version a tag shall name: one of its own package."""
    given = str(call.body.get("version") or "")
    head, _, digest = given.rpartition("/versions/")
    path = f"{package.path}/versions/{digest}"
    spelled = head.split("/")
    if spelled[:1] == ["projects"]:
        spelled[1] = project_of(world, call)
    if "/".join([*spelled[:7], "%2F".join(spelled[7:])]) != package.path:
        raise bad_request(f"The version '{given}' is not one of the package '{package.path}'.")
    return existing(world, ResourceName(VERSIONS, path)).name.path


_PATH = "v1.projects.locations.repositories.packages.tags"

METHODS: Mapping[str, Method] = {
    f"{_PATH}.get": Read(get, f"{TAGS}.get"),
    f"{_PATH}.list": List(list_, "tags", permission=f"{TAGS}.list"),
    f"{_PATH}.create": Write(create, f"{TAGS}.create"),
    f"{_PATH}.patch": Write(patch, f"{TAGS}.update"),
    f"{_PATH}.delete": Write(delete, f"{TAGS}.delete"),
}
