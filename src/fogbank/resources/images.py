"""Image references: ``HOST/PROJECT/REPOSITORY/IMAGE:TAG`` or ``…@sha256:…``, and the old gcr.io names.

The region's store knows an image by its repository (host and path); this reads what clients write into that,
for Cloud Run to refuse what is none and for the store to find what is one.
"""

import re
from dataclasses import dataclass

LONGEST_PATH = 255
"""Characters of a name with its host, at most (docker's limit)."""

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_PATH = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(?::\d+)?")

# gcr.io names are served by Artifact Registry, in a repository with the old host's name
# (behaviour/artifact-registry.md#images).
_GCR_HOSTS = {
    "gcr.io": "us-docker.pkg.dev",
    "us.gcr.io": "us-docker.pkg.dev",
    "eu.gcr.io": "europe-docker.pkg.dev",
    "asia.gcr.io": "asia-docker.pkg.dev",
}


def is_image_path(path: str) -> bool:
    """Return whether ``path`` may stand between a host and a tag: ``project/repository/image``."""
    return len(path) <= LONGEST_PATH and _PATH.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image: ``repository`` is host and path without a tag; it has a digest or a tag."""

    repository: str
    tag: str | None
    digest: str | None = None

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def parse_image(text: str) -> ImageReference:
    """Read a reference as docker does: no tag is ``latest``, no host is Docker Hub; else ValueError."""
    rest, at, digest = text.strip().partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise ValueError(f"{text!r} has a malformed digest")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, "latest"
    if not _TAG.fullmatch(tag):
        raise ValueError(f"{text!r} has a malformed tag")
    host, path = _split_host(name)
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(path):
        raise ValueError(f"{text!r} is not the name of an image")
    if digest:
        return ImageReference(f"{host}/{path}", None, digest)
    return ImageReference(f"{host}/{path}", tag)


def _split_host(name: str) -> tuple[str, str]:
    first, slash, path = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return "docker.io", name if slash else f"library/{name}"
    if first in _GCR_HOSTS:
        project, _, image = path.partition("/")
        return _GCR_HOSTS[first], f"{project}/{first}/{image}"
    return first, path
