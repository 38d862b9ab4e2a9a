"""What a push changes: a manifest becomes a version of its package, and a tag names it.

The registry's front end has checked who pushes, and that the blobs are there; here is decided what follows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from fogbank.errors import ApiError
from fogbank.resources.artifactregistry import (
    GCR_LOCATIONS,
    HostedImage,
    find_digest,
    tags_of,
)
from fogbank.resources.decisions import Decision
from fogbank.resources.manifests import Manifest
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.artifactregistry.repositories import new_repository
from fogbank.services.artifactregistry.tags import check_movable
from fogbank.services.artifactregistry.versions import deleted

NewId = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Received:
    """A manifest that arrived, and what its files say.

    ``sizes`` has the bytes of each blob, ``length`` those of the manifest, ``build_time`` what the image's
    configuration says or nothing.
    """

    digest: str
    manifest: Manifest
    sizes: Mapping[str, int]
    length: int
    build_time: str


class UnknownPartError(Exception):
    """A manifest names another one, by digest, that its package does not have."""


def made_on_push(world: World, repository: ResourceName, now: datetime, new_id: NewId) -> Decision:
    """Make the repository of an old Container Registry host, unless it is there."""
    if world.find(repository) is not None or repository.id not in GCR_LOCATIONS:
        return Decision()
    return Decision((Put(new_repository(repository, now, new_id)),))


def pushed(
    world: World,
    image: HostedImage,
    received: Received,
    tag: str,
    *,
    now: datetime,
    new_id: NewId,
) -> Decision:
    """Keep a manifest as a version, and let ``tag`` (or none) name it.

    UnknownPartError when an index names a manifest that is not here, ApiError when the tag may not move.
    """
    changes: list[Change] = []
    manifest = received.manifest
    version, moment = image.version(received.digest), rfc3339(now)
    children = {each: world.find(image.version(each)) for each in manifest.children}
    if missing := [each for each, found in children.items() if found is None]:
        raise UnknownPartError(missing[0])
    if (package := world.find(image.package)) is None:
        body = {"name": image.package.path, "createTime": moment, "updateTime": moment}
        changes.append(Put(Resource(image.package, new_id(), now, body)))
    else:
        changes.append(Put(package.with_body(updateTime=moment)))
    found = world.find(version)
    if found is not None:
        changes.append(Put(found.with_body(updateTime=moment)))
    else:
        total = manifest.size + sum(
            int(each.body["metadata"]["imageSizeBytes"]) for each in children.values() if each
        )
        facts = {
            "mediaType": manifest.media_type,
            "imageSizeBytes": str(total),
            "buildTime": received.build_time,
            "artifactType": manifest.artifact_type,
        }
        body = _body(image, version, facts, moment)
        changes.append(Put(Resource(version, new_id(), now, body, _private(received))))
    if tag:
        changes += _tagged(world, image.tag(tag), version, now, new_id)
    return Decision(tuple(changes), answer={})


def _body(image: HostedImage, version: ResourceName, facts: Json, moment: str) -> Json:
    escaped = image.image.replace("/", "%2F")
    name = f"{image.repository.path}/dockerImages/{escaped}@{version.id}"
    known = {key: value for key, value in facts.items() if value}
    return {
        "name": version.path,
        "createTime": moment,
        "updateTime": moment,
        "metadata": {"name": name, **known},
    }


def _private(received: Received) -> Json:
    manifest = received.manifest
    platforms = [
        {
            "digest": each["digest"],
            "mediaType": each["mediaType"],
            **{
                k: str(v)
                for k, v in (each.get("platform") or {}).items()
                if k in {"architecture", "os", "variant"}
            },
        }
        for each in manifest.platforms
    ]
    return {
        "blobs": dict(received.sizes),
        "children": list(manifest.children),
        "bytes": received.length,
        "mediaType": manifest.media_type,
        "subject": manifest.subject,
        "artifactType": manifest.artifact_type,
        "annotations": dict(manifest.annotations or {}),
        "platforms": platforms,
    }


def _tagged(
    world: World, name: ResourceName, version: ResourceName, now: datetime, new_id: NewId
) -> list[Change]:
    found = world.find(name)
    if found is None:
        body = {"name": name.path, "version": version.path}
        return [Put(Resource(name, new_id(), now, body))]
    if found.body["version"] == version.path:
        return []
    check_movable(world, name)
    return [Put(found.with_body(version=version.path))]


def removed(world: World, image: HostedImage, reference: str) -> Decision:
    """Delete a tag, or by its digest a version with its tags; ApiError when it may not go.

    A 404 says that there is no such thing.
    """
    digest = find_digest(world, image, reference)
    if digest is None:
        raise ApiError(404, f'Failed to fetch "{reference}"', "NOT_FOUND", "notFound")
    if ":" not in reference:
        check_movable(world, image.tag(reference))
        return Decision((Delete(image.tag(reference)),), answer={})
    version = world.get(image.version(digest))
    for tag in tags_of(world, version.name):
        check_movable(world, tag.name)
    return Decision(deleted(world, version, force=True), answer={})
