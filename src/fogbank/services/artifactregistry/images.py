"""The view of a repository as Docker images: one for each version, with its tags."""

from collections.abc import Iterable, Mapping

from fogbank.resources.artifactregistry import (
    HostedImage,
    image_of,
    registry_uri,
    repository_of,
    tags_of,
    versions_in,
)
from fogbank.resources.listings import Listing
from fogbank.resources.world import Json, Resource, World
from fogbank.services.artifactregistry.inside import existing, missing, rest_of
from fogbank.services.artifactregistry.repositories import repository
from fogbank.services.contract import Call, List, Method, Read


def show(world: World, version: Resource) -> Json:
    """Render a version as a Docker image."""
    name, facts = version.name, version.body["metadata"]
    repository, image = repository_of(name), image_of(name)
    shown = {
        "name": facts["name"],
        "uri": f"{registry_uri(repository)}/{image}@{name.id}",
        "tags": sorted(tag.name.id for tag in tags_of(world, name)),
        "imageSizeBytes": facts["imageSizeBytes"],
        "uploadTime": version.body["createTime"],
        "mediaType": facts["mediaType"],
        "buildTime": facts.get("buildTime"),
        "updateTime": version.body["updateTime"],
        "artifactType": facts.get("artifactType"),
        "imageManifests": version.private.get("platforms"),
    }
    return {key: value for key, value in shown.items() if value}


def get(world: World, call: Call) -> Json:
    """Show one."""
    found = repository(world, call)
    image, at, digest = rest_of(call).removeprefix("dockerImages/").rpartition("@")
    if not at:
        raise missing()
    return show(world, existing(world, HostedImage(found.name, image.replace("%2F", "/")).version(digest)))


def list_(world: World, call: Call) -> Iterable[Json]:
    """List those of a repository."""
    found = repository(world, call)
    return Listing(lambda after: versions_in(world, found.name, after), lambda each: show(world, each))


_PATH = "v1.projects.locations.repositories.dockerImages"

METHODS: Mapping[str, Method] = {
    f"{_PATH}.get": Read(get, "artifactregistry.dockerimages.get"),
    f"{_PATH}.list": List(list_, "dockerImages", permission="artifactregistry.dockerimages.list"),
}
