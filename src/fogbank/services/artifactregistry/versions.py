"""Packages and versions: listed, annotated and deleted. They come to be by pushes alone."""

from collections.abc import Iterable, Mapping
from functools import partial

from fogbank.errors import ApiError
from fogbank.resources.artifactregistry import (
    package_of,
    packages_in,
    parents_of,
    tags_in,
    tags_of,
    versions_in,
)
from fogbank.resources.listings import Listing
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.artifactregistry.inside import existing, package_of_call
from fogbank.services.artifactregistry.operations import done
from fogbank.services.artifactregistry.repositories import repository
from fogbank.services.collections import bad_request, changed_fields
from fogbank.services.contract import Call, Decision, List, Method, Read, Write
from fogbank.services.masks import mask_paths

MOST_TAGS_SHOWN = 100
"""Tags of a version that its full view has (Google's description of ``relatedTags``)."""

MOST_DELETED = 50
"""Versions in one batchDelete (ours: Google says that the service decides)."""


def get_package(world: World, call: Call) -> Json:
    """Show a package."""
    return existing(world, package_of_call(world, call)[0]).body


def list_packages(world: World, call: Call) -> Iterable[Json]:
    """List the packages of a repository."""
    found = repository(world, call)
    return Listing(lambda after: packages_in(world, found.name, after), lambda each: each.body)


def delete_package(world: World, call: Call) -> Decision:
    """Delete a package with its versions and tags."""
    package = existing(world, package_of_call(world, call)[0]).name
    inside = (*tags_in(world, package), *versions_in(world, package))
    changes = (*(Delete(each.name) for each in inside), Delete(package))
    return Decision(changes, operation=done(call, "DeletePackage", package))


def get_version(world: World, call: Call) -> Json:
    """Show a version."""
    package, digest = package_of_call(world, call, "versions")
    return _show(world, _named(world, package, digest), call)


def list_versions(world: World, call: Call) -> Iterable[Json]:
    """List the versions of a package."""
    package = existing(world, package_of_call(world, call)[0]).name
    return Listing(lambda after: versions_in(world, package, after), lambda each: _show(world, each, call))


def delete_version(world: World, call: Call) -> Decision:
    """Delete a version, and with ``force`` its tags; an image index keeps what it names."""
    package, digest = package_of_call(world, call, "versions")
    version = _named(world, package, digest)
    changes = deleted(world, version, force=bool(call.parameters.get("force")))
    return Decision(changes, operation=done(call, "DeleteVersion", version.name))


def batch_delete(world: World, call: Call) -> Decision:
    """Delete several versions of a package, or none when one of them may not go."""
    package = package_of_call(world, call)[0]
    names = [str(each) for each in call.body.get("names") or ()]
    if not 0 < len(names) <= MOST_DELETED:
        raise bad_request(f"Between 1 and {MOST_DELETED} versions can be deleted at once.")
    changes: tuple[Change, ...] = ()
    for name in names:
        version = _named(world, package, name.rpartition("/versions/")[2])
        changes += deleted(world.after(changes), version, force=True)
    trial = bool(call.body.get("validateOnly"))
    return Decision(() if trial else changes, operation=done(call, "BatchDeleteVersions", package))


def deleted(world: World, version: Resource, *, force: bool) -> tuple[Change, ...]:
    """Take a version away; 400 when it is tagged and not ``force``, or when an index names it.

    The last version of a package takes it away, too (behaviour/artifact-registry.md#images-and-tags).
    """
    tags = tuple(tags_of(world, version.name))
    if tags and not force:
        raise _kept("it is tagged; delete its tags first, or set force")
    if next(parents_of(world, version.name), None) is not None:
        raise _kept("manifest is referenced by parent manifests")
    changes = (*(Delete(tag.name) for tag in tags), Delete(version.name))
    return (*changes, *_emptied(world.after(changes), package_of(version.name)))


def _emptied(after: World, package: ResourceName) -> tuple[Change, ...]:
    return () if next(versions_in(after, package), None) is not None else (Delete(package),)


def _kept(why: str) -> ApiError:
    return ApiError(
        400, f"cannot delete the version because {why}", "FAILED_PRECONDITION", "failedPrecondition"
    )


def _named(world: World, package: ResourceName, digest: str) -> Resource:
    return existing(world, ResourceName("artifactregistry.versions", f"{package.path}/versions/{digest}"))


def _show(world: World, version: Resource, call: Call) -> Json:
    if call.parameters.get("view") != "FULL":
        return version.body
    tags = [tag.body for tag in tags_of(world, version.name)][:MOST_TAGS_SHOWN]
    return version.body | ({"relatedTags": tags} if tags else {})


def _annotate(world: World, call: Call, *, kind: str) -> Decision:
    """Change the annotations of a package or of a version."""
    package, digest = package_of_call(world, call, kind)
    found = _named(world, package, digest) if kind else existing(world, package)
    fields = changed_fields(mask_paths(call), call.body, ("annotations",), "version" if kind else "package")
    changed = {each: call.body.get(each) or None for each in fields}
    after = found.with_body(**changed, updateTime=rfc3339(call.now))
    return Decision((Put(after),), answer=after.body)


_PATH = "v1.projects.locations.repositories.packages"

METHODS: Mapping[str, Method] = {
    f"{_PATH}.get": Read(get_package, "artifactregistry.packages.get"),
    f"{_PATH}.list": List(list_packages, "packages", permission="artifactregistry.packages.list"),
    f"{_PATH}.patch": Write(partial(_annotate, kind=""), "artifactregistry.packages.update"),
    f"{_PATH}.delete": Write(delete_package, "artifactregistry.packages.delete"),
    f"{_PATH}.versions.get": Read(get_version, "artifactregistry.versions.get"),
    f"{_PATH}.versions.list": List(list_versions, "versions", permission="artifactregistry.versions.list"),
    f"{_PATH}.versions.patch": Write(partial(_annotate, kind="versions"), "artifactregistry.versions.update"),
    f"{_PATH}.versions.delete": Write(delete_version, "artifactregistry.versions.delete"),
    f"{_PATH}.versions.batchDelete": Write(batch_delete, "artifactregistry.versions.delete"),
}
