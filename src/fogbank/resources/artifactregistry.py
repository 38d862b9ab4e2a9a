"""Artifact Registry's resources: repositories, and the packages, versions and tags in those of Docker images.

A package is what docker calls an image's name; slashes in it are ``%2F`` in paths, as Google writes them. A
version is a manifest, called by its digest; a tag names one. Blobs are files of the region's blob store; a
version names them in its private part.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fogbank.resources.images import ImageReference
from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.places import REGIONS
from fogbank.resources.world import Resource, World

REPOSITORIES = "artifactregistry.repositories"
PACKAGES = "artifactregistry.packages"
VERSIONS = "artifactregistry.versions"
TAGS = "artifactregistry.tags"
POLICIES = "artifactregistry.policies"

UPLOAD = "artifactregistry.repositories.uploadArtifacts"
DOWNLOAD = "artifactregistry.repositories.downloadArtifacts"
DELETE = "artifactregistry.repositories.deleteArtifacts"
CREATE_ON_PUSH = "artifactregistry.repositories.createOnPush"

MULTI_REGIONS = ("asia", "europe", "us")
LOCATIONS = (*MULTI_REGIONS, *REGIONS)
"""Where repositories may be: in regions and in three multi-regions
(behaviour/artifact-registry.md#repositories)."""

GCR_LOCATIONS: Mapping[str, str] = {
    "gcr.io": "us",
    "us.gcr.io": "us",
    "eu.gcr.io": "europe",
    "asia.gcr.io": "asia",
}
"""The location of the repository that serves each host of the old Container Registry
(behaviour/artifact-registry.md#images)."""

_HOST_END = "-docker.pkg.dev"


@dataclass(frozen=True, slots=True)
class HostedImage:
    """An image's place in Artifact Registry: its repository, and its name there (with slashes)."""

    repository: ResourceName
    image: str

    @property
    def package(self) -> ResourceName:
        """The package that holds the image's versions and tags."""
        return package_name(self.repository, self.image)

    def version(self, digest: str) -> ResourceName:
        """Name one of its versions."""
        return version_name(self.package, digest)

    def tag(self, tag: str) -> ResourceName:
        """Name one of its tags."""
        return tag_name(self.package, tag)


def location_of_host(host: str) -> str | None:
    """Return which location a host of Docker repositories serves; None for another host."""
    if host in GCR_LOCATIONS:
        return GCR_LOCATIONS[host]
    location = host.removesuffix(_HOST_END)
    return location if location != host and location in LOCATIONS else None


def read_place(host: str, path: str) -> HostedImage | None:
    """Read ``PROJECT/REPOSITORY/IMAGE``, or on one of the old hosts ``PROJECT/IMAGE``; None if neither.

    A project of a domain is two segments: ``example.com/p`` is the project ``example.com:p``.
    """
    location = location_of_host(host)
    first, _, rest = path.partition("/")
    if location is None or not rest:
        return None
    project = first
    if "." in first:
        second, _, rest = rest.partition("/")
        project = f"{first}:{second}"
    repository = host
    if host not in GCR_LOCATIONS:
        repository, _, rest = rest.partition("/")
    if not (project and repository and rest):
        return None
    return HostedImage(repository_name(project, location, repository), rest)


def read_hosted(reference: ImageReference) -> HostedImage | None:
    """Read where an image reference points; None when that is no Docker repository of Google's."""
    host, _, path = reference.repository.partition("/")
    return read_place(host, path)


def registry_uri(repository: ResourceName) -> str:
    """Return what stands before the names of a repository's images: ``us-docker.pkg.dev/p/r``."""
    project = repository.project.replace(":", "/")
    return f"{repository.region}{_HOST_END}/{project}/{repository.id}"


def repository_name(project: str, location: str, identifier: str) -> ResourceName:
    """Name a repository."""
    return ResourceName(REPOSITORIES, f"projects/{project}/locations/{location}/repositories/{identifier}")


def repository_of(name: ResourceName) -> ResourceName:
    """Name the repository of a package, a version or a tag."""
    return ResourceName(REPOSITORIES, "/".join(name.path.split("/")[:6]))


def policy_name(repository: ResourceName) -> ResourceName:
    """Name a repository's IAM policy."""
    return ResourceName(POLICIES, repository.path)


def package_name(repository: ResourceName, image: str) -> ResourceName:
    """Name a package by the image's name."""
    return ResourceName(PACKAGES, f"{repository.path}/packages/{image.replace('/', '%2F')}")


def version_name(package: ResourceName, digest: str) -> ResourceName:
    """Name a version."""
    return ResourceName(VERSIONS, f"{package.path}/versions/{digest}")


def tag_name(package: ResourceName, tag: str) -> ResourceName:
    """Name a tag."""
    return ResourceName(TAGS, f"{package.path}/tags/{tag}")


def package_of(name: ResourceName) -> ResourceName:
    """Name the package of a version or a tag."""
    return ResourceName(PACKAGES, "/".join(name.path.split("/")[:8]))


def image_of(name: ResourceName) -> str:
    """Return the image's name of a package, a version or a tag."""
    return name.path.split("/")[7].replace("%2F", "/")


def packages_in(world: World, repository: ResourceName, after: str = "") -> Iterator[Resource]:
    """List the packages of a repository."""
    return world.all(PACKAGES, f"{repository.path}/packages/", after)


def versions_in(world: World, parent: ResourceName, after: str = "") -> Iterator[Resource]:
    """List the versions of a package, or of all packages of a repository."""
    between = "/versions/" if parent.collection == PACKAGES else "/packages/"
    return world.all(VERSIONS, f"{parent.path}{between}", after)


def tags_in(world: World, parent: ResourceName, after: str = "") -> Iterator[Resource]:
    """List the tags of a package, or of all packages of a repository."""
    between = "/tags/" if parent.collection == PACKAGES else "/packages/"
    return world.all(TAGS, f"{parent.path}{between}", after)


def tags_of(world: World, version: ResourceName) -> Iterator[Resource]:
    """List the tags that name a version."""
    return world.by(_BY_VERSION, version.path)


def parents_of(world: World, version: ResourceName) -> Iterator[Resource]:
    """List the versions (image indexes) of the same package that name this one."""
    return world.by(_BY_CHILD, (package_of(version).path, version.id))


def referrers_of(world: World, package: ResourceName, digest: str) -> Iterator[Resource]:
    """List the versions whose subject is the manifest ``digest`` of the same package."""
    return world.by(_BY_SUBJECT, (package.path, digest))


def find_digest(world: World, image: HostedImage, reference: str) -> str | None:
    """Return the digest that a tag or a digest of ``image`` names; None when there is none."""
    if ":" in reference:
        return reference if world.find(image.version(reference)) is not None else None
    tag = world.find(image.tag(reference))
    return str(tag.body["version"]).rpartition("/")[2] if tag is not None else None


def blobs_of(version: Resource) -> frozenset[str]:
    """Return the digests of the files that a version is made of: its manifest, configuration and layers."""
    return frozenset((version.name.id, *version.private["blobs"]))


def _version_of(tag: Resource) -> tuple[str]:
    return (tag.body["version"],)


def _children_of(version: Resource) -> tuple[tuple[str, str], ...]:
    package = package_of(version.name).path
    return tuple((package, digest) for digest in version.private["children"])


def _subject_of(version: Resource) -> tuple[tuple[str, str], ...]:
    subject = version.private.get("subject")
    return ((package_of(version.name).path, subject),) if subject else ()


_BY_VERSION = Index(TAGS, _version_of)
_BY_CHILD = Index(VERSIONS, _children_of)
_BY_SUBJECT = Index(VERSIONS, _subject_of)
