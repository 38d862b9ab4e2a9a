"""Archives of images, as ``docker save``, ``podman save`` and ``skopeo copy … oci-archive:`` write them.

Docker's kind has a ``manifest.json``, OCI's an ``index.json``. Newer engines write both, and then
docker's counts, because it has whole names.
"""

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fogbank.dataplane.linux.images.store import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    BadContent,
    ImageStore,
    digest_of,
)

_GZIP_MAGIC = b"\x1f\x8b"
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def load_archive(path: Path, store: ImageStore) -> Mapping[str, str]:
    """Put the images of an archive into ``store``; return the digest of each name.

    BadContent when it is no archive of images, or has one without a name.
    """
    try:
        with tarfile.open(path) as archive:
            files = _Files(archive)
            found = dict(
                _docker_images(files, store) if "manifest.json" in files else _oci_images(files, store)
            )
    except (tarfile.TarError, EOFError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise BadContent(f"this is no archive of images, as docker save writes it ({error})") from error
    if not found:
        raise BadContent(
            "no image in the archive has a name: save it by its name, as in docker save IMAGE:TAG"
        )
    for name, digest in found.items():
        store.tag([name], digest)
    return found


class _Files:
    """The files of an archive by name."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._names = {member.name.removeprefix("./"): member for member in archive.getmembers()}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def read(self, name: str) -> bytes:
        """Read a small file; KeyError when it is missing."""
        file = self._archive.extractfile(self._names[name])
        if file is None:
            raise KeyError(name)
        return file.read()

    def keep(self, name: str, store: ImageStore) -> dict[str, Any]:
        """Put a layer into ``store``; return how a manifest names it."""
        file = self._archive.extractfile(self._names[name])
        if file is None:
            raise KeyError(name)
        packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        file.seek(0)
        digest, size = store.put_stream(file)
        return {"mediaType": LAYER_TYPE + ("+gzip" if packed else ""), "digest": digest, "size": size}


def _docker_images(files: _Files, store: ImageStore) -> Iterator[tuple[str, str]]:
    for described in json.loads(files.read("manifest.json")):
        config = files.read(described["Config"])
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": store.put_blob(config), "size": len(config)},
            "layers": [files.keep(name, store) for name in described["Layers"]],
        }
        digest = store.put_blob(json.dumps(manifest, sort_keys=True).encode())
        yield from ((name, digest) for name in described.get("RepoTags") or ())


def _oci_images(files: _Files, store: ImageStore) -> Iterator[tuple[str, str]]:
    for described in json.loads(files.read("index.json"))["manifests"]:
        annotations = described.get("annotations") or {}
        name = next((annotations[key] for key in _NAMES if key in annotations), None)
        if name is not None:
            yield name, _keep_manifest(files, store, described["digest"])


def _keep_manifest(files: _Files, store: ImageStore, digest: str) -> str:
    """Keep a manifest with all that it names; an index with those of its manifests that are there."""
    content = files.read(_blob(digest))
    if digest_of(content) != digest:
        raise BadContent(f"{digest} in the archive is something else")
    manifest = json.loads(content)
    for part in manifest.get("manifests") or ():
        if _blob(part["digest"]) in files:
            _keep_manifest(files, store, part["digest"])
    for part in (*([manifest["config"]] if "config" in manifest else ()), *(manifest.get("layers") or ())):
        if files.keep(_blob(part["digest"]), store)["digest"] != part["digest"]:
            raise BadContent(f"{part['digest']} in the archive is something else")
    return store.put_blob(content)


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/', 1)}"
