"""Manifests of images: what one names, read once from its bytes.

Both families are read: OCI's (https://github.com/opencontainers/image-spec) and Docker's of schema 2, whose
parts have the same shapes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fogbank.resources.images import DIGEST
from fogbank.resources.json_text import load_json

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})

LONGEST = 4 * 1024 * 1024
"""Bytes of a manifest that are accepted (distribution-spec, "Pushing Manifests", asks for as many)."""

MOST_PARTS = 1_000
"""Parts that a manifest may name: docker has 127 layers; each part of a push is looked for on the disk."""
_TOO_LARGE = 2**63
"""Sizes are signed 64-bit integers (image-spec, "Content Descriptors")."""

_FOREIGN = re.compile(r"[./]nondistributable[.]|[.]foreign[.]")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest: ``blobs`` are its configuration and layers, ``children`` the manifests that an index names.

    ``foreign`` are layers that may not be passed on, and so need not be here. ``size`` is bytes of the blobs;
    ``subject`` the digest of the manifest that this one is about.
    """

    media_type: str
    blobs: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    size: int = 0
    config: str = ""
    subject: str = ""
    artifact_type: str = ""
    annotations: Mapping[str, str] | None = None
    platforms: tuple[Mapping[str, Any], ...] = ()


def parse_manifest(content: bytes, content_type: str) -> Manifest:
    """Read a manifest that came with a content type; ValueError says what is wrong with it."""
    try:
        value = load_json(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("the manifest is not JSON") from error
    if not isinstance(value, dict) or value.get("schemaVersion") != 2:
        raise ValueError("only manifests with schemaVersion 2 are supported")
    declared = content_type.partition(";")[0].strip()
    media_type = value.get("mediaType") or declared
    if declared and declared != media_type:
        raise ValueError(f"the manifest's media type is {media_type!r}, and not {declared!r}")
    if media_type in INDEXES:
        return _index(value, media_type)
    if media_type in MANIFESTS:
        return _image(value, media_type)
    raise ValueError(f"manifests of the media type {media_type!r} are not supported")


def _image(value: Mapping[str, Any], media_type: str) -> Manifest:
    config = _descriptor(value.get("config"))
    layers = [_descriptor(each) for each in _list(value.get("layers"))]
    foreign = {each["digest"] for each in layers if _FOREIGN.search(each["mediaType"])}
    return Manifest(
        media_type,
        blobs=tuple(
            dict.fromkeys(each["digest"] for each in (config, *layers) if each["digest"] not in foreign)
        ),
        foreign=tuple(sorted(foreign)),
        size=sum(each["size"] for each in (config, *layers)),
        config=config["digest"],
        subject=_subject(value),
        artifact_type=str(value.get("artifactType") or config["mediaType"]),
        annotations=_annotations(value),
    )


def _index(value: Mapping[str, Any], media_type: str) -> Manifest:
    children = [_descriptor(each) for each in _list(value.get("manifests"))]
    return Manifest(
        media_type,
        children=tuple(dict.fromkeys(each["digest"] for each in children)),
        subject=_subject(value),
        artifact_type=str(value.get("artifactType") or ""),
        annotations=_annotations(value),
        platforms=tuple(children),
    )


def _list(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > MOST_PARTS:
        raise ValueError("the manifest has no list of its parts, or too long a one")
    return value


def _descriptor(value: Any) -> Mapping[str, Any]:
    match value:
        case {"digest": str(digest), "size": int(size)} if (
            DIGEST.fullmatch(digest) and 0 <= size < _TOO_LARGE
        ):
            return {**value, "mediaType": str(value.get("mediaType") or "")}
    raise ValueError("a part of the manifest has no sha256 digest or no size")


def _subject(value: Mapping[str, Any]) -> str:
    subject = value.get("subject")
    return str(_descriptor(subject)["digest"]) if subject is not None else ""


def _annotations(value: Mapping[str, Any]) -> Mapping[str, str] | None:
    found = value.get("annotations")
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) and found else None
