"""The region's image store: an OCI layout on disk, where every byte is kept under its own hash.

``blobs/sha256/…`` holds layers, configurations and manifests; ``index.json`` names manifests by repository
and tag. A workload names a manifest digest, so moving a tag never changes what runs
(behaviour/artifact-registry.md#images).
"""

import hashlib
import json
import os
import platform
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from fogbank.errors import DriverError
from fogbank.resources.images import DIGEST, parse_image

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

_INDEX_TYPES = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}
_REF = "org.opencontainers.image.ref.name"
_T = TypeVar("_T")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ImageMissing(DriverError):
    """The store does not have the image; the text is Cloud Run's (behaviour/artifact-registry.md#images)."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"Image '{reference}' not found.")
        self.reference = reference


class BadContent(DriverError):
    """What was put into the store is not what it claims to be."""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says about running it."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    folder: str = "/"
    user: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image; ``media_type`` says how it is packed."""

    digest: str
    media_type: str


def architecture() -> str:
    """Name this machine's architecture as images do: ``amd64``."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def digest_of(content: bytes) -> str:
    """Hash ``content`` as images do: ``sha256:…``."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


class ImageStore:
    """The store in ``folder``. Safe from any thread.

    ``await_built_in`` is called with the repository of an image that is asked for: when that is a built-in
    one, it waits until it is there.
    """

    def __init__(
        self, folder: Path, await_built_in: Callable[[str], None] = lambda _repository: None
    ) -> None:
        self.folder = folder
        self._await_built_in = await_built_in
        self._lock = threading.Lock()
        self._blobs = folder / "blobs" / "sha256"
        self._blobs.mkdir(parents=True, exist_ok=True)
        layout = folder / "oci-layout"
        if not layout.exists():
            _replace(layout, b'{"imageLayoutVersion": "1.0.0"}\n')
        self._tags = self._read_index()

    def resolve(self, reference: str) -> str:
        """Return the manifest digest that ``reference`` names now; ImageMissing when there is none."""
        try:
            image = parse_image(reference)
        except ValueError as error:
            raise ImageMissing(reference) from error
        self._await_built_in(image.repository)
        if image.digest:
            known = image.digest if self.has(image.digest) else None
        else:
            known = self._tags.get(str(image), {}).get("digest")
        if known is None:
            raise ImageMissing(reference)
        return known

    def has(self, digest: str) -> bool:
        """Return whether the blob is here."""
        return self.blob(digest).exists()

    def blob(self, digest: str) -> Path:
        """Return the file that holds (or would hold) the blob."""
        if not DIGEST.fullmatch(digest):
            raise BadContent(f"{digest!r} is not a sha256 digest")
        return self._blobs / digest.removeprefix("sha256:")

    def put_blob(self, content: bytes, digest: str | None = None) -> str:
        """Keep ``content``; BadContent when it does not hash to ``digest``."""
        actual = digest_of(content)
        if digest not in {None, actual}:
            raise BadContent(f"the content hashes to {actual}, not to {digest}")
        path = self.blob(actual)
        if not path.exists():
            _replace(path, content)
        return actual

    def put_stream(self, content: IO[bytes]) -> tuple[str, int]:
        """Keep what ``content`` has until its end, of any size; return its digest and its bytes."""
        temporary = self._blobs / f".stream.{os.getpid()}.{threading.get_ident()}"
        size, found = 0, hashlib.sha256()
        try:
            with temporary.open("wb") as file:
                while piece := content.read(1024 * 1024):
                    file.write(piece)
                    found.update(piece)
                    size += len(piece)
            digest = f"sha256:{found.hexdigest()}"
            temporary.replace(self.blob(digest))
        finally:
            temporary.unlink(missing_ok=True)
        return digest, size

    def adopt_blob(self, path: Path, digest: str) -> None:
        """Keep the file at ``path``, known to hash to ``digest``; without a copy where that can be."""
        blob = self.blob(digest)
        if blob.exists():
            return
        try:
            os.link(path, blob)
        except OSError:  # another file system
            _replace(blob, path.read_bytes())
        else:
            os.utime(blob)  # new here: nobody may take it for one that was left behind

    def put_manifest(self, reference: str, content: bytes) -> str:
        """Keep a manifest (or an index) whose parts are all here, and tag it when ``reference`` has a tag."""
        image = parse_image(reference)
        manifest = _object(content)
        parts = (
            [manifest["config"], *manifest["layers"]]
            if "layers" in manifest
            else manifest.get("manifests", [])
        )
        missing = [part["digest"] for part in parts if not self.has(part["digest"])]
        if missing:
            raise BadContent(f"the manifest names {missing[0]}, which is not here")
        digest = self.put_blob(content, image.digest)
        if image.tag:
            self.tag([reference], digest)
        return digest

    def tag(self, references: Iterable[str], digest: str) -> None:
        """Let ``references`` name the manifest ``digest``, which is here."""
        content = self.blob(digest).read_bytes()
        media_type = str(_object(content).get("mediaType", MANIFEST_TYPE))
        entry = {"mediaType": media_type, "digest": digest, "size": len(content)}
        self._tag({str(parse_image(reference)): entry for reference in references})

    def images(self) -> Mapping[str, str]:
        """List what is here: ``repository:tag`` to manifest digest."""
        return {name: str(entry["digest"]) for name, entry in self._tags.items()}

    def parts_of(self, digests: Iterable[str]) -> frozenset[str]:
        """List every blob that manifests are made of, themselves among them, as far as they are here."""
        found: set[str] = set()
        pending = list(digests)
        while pending:
            digest = pending.pop()
            if digest in found or not self.has(digest):
                continue
            found.add(digest)
            manifest = _object(self.blob(digest).read_bytes())
            if "layers" in manifest:
                found.update(part["digest"] for part in (manifest["config"], *manifest["layers"]))
            pending += [part["digest"] for part in manifest.get("manifests", ())]
        return frozenset(found)

    def layers(self, digest: str) -> tuple[Layer, ...]:
        """List the layers of a manifest from the bottom up."""
        return tuple(
            Layer(_text(part, "digest"), _text(part, "mediaType"))
            for part in _parts(self._manifest(digest), "layers")
        )

    def config(self, digest: str) -> ImageConfig:
        """Read what the image of a manifest says about running it; BadContent when it is of no such shape."""
        file = _text(_mapping(self._manifest(digest), "config"), "digest")
        config = _mapping(_object(self._read(file)), "config")
        pairs = (text.partition("=") for text in _texts(config, "Env"))
        return ImageConfig(
            entrypoint=_texts(config, "Entrypoint"),
            command=_texts(config, "Cmd"),
            environment=tuple((name, value) for name, _, value in pairs),
            folder=_text(config, "WorkingDir") or "/",
            user=_text(config, "User"),
        )

    def _manifest(self, digest: str) -> dict[str, Any]:
        """Read a manifest; of an index, the one for this machine."""
        manifest = _object(self._read(digest))
        if "manifests" not in manifest and manifest.get("mediaType") not in _INDEX_TYPES:
            return manifest
        wanted = architecture()
        for part in _parts(manifest, "manifests"):
            system = _mapping(part, "platform")
            if (system.get("os"), system.get("architecture")) == ("linux", wanted):
                return _object(self._read(_text(part, "digest")))
        raise DriverError(f"The image {digest} has no variant for linux/{wanted}.")

    def _read(self, digest: str) -> bytes:
        try:
            return self.blob(digest).read_bytes()
        except FileNotFoundError as error:
            raise ImageMissing(digest) from error

    def _tag(self, entries: dict[str, dict[str, Any]]) -> None:
        with self._lock:
            if all(self._tags.get(name) == entry for name, entry in entries.items()):
                return
            self._tags = self._tags | entries
            manifests = [entry | {"annotations": {_REF: name}} for name, entry in sorted(self._tags.items())]
            index = {"schemaVersion": 2, "manifests": manifests}
            _replace(self.folder / "index.json", json.dumps(index, indent=1).encode())

    def _read_index(self) -> dict[str, dict[str, Any]]:
        path = self.folder / "index.json"
        if not path.exists():
            return {}
        tags = {}
        for entry in json.loads(path.read_bytes())["manifests"]:
            tags[entry["annotations"][_REF]] = {key: entry[key] for key in ("mediaType", "digest", "size")}
        return tags


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadContent("the content is not JSON") from error
    if not isinstance(value, dict):
        raise BadContent("the content is not a JSON object")
    return value


def _mapping(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return _of_kind(value, key, dict, {})


def _parts(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found: list[Any] = _of_kind(value, key, list, [])
    if not all(isinstance(each, dict) for each in found):
        raise BadContent(f"the parts of {key} are not JSON objects")
    return found


def _text(value: Mapping[str, Any], key: str) -> str:
    return _of_kind(value, key, str, "")


def _texts(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found: list[Any] = _of_kind(value, key, list, [])
    if not all(isinstance(each, str) for each in found):
        raise BadContent(f"{key} is not a list of texts")
    return tuple(found)


def _of_kind(value: Mapping[str, Any], key: str, kind: type[_T], absent: _T) -> _T:
    """Return a field of foreign JSON; BadContent when it is of another type. Null is as if it were absent."""
    found = value.get(key)
    if found is None:
        return absent
    if not isinstance(found, kind):
        raise BadContent(f"{key} is of a wrong type")
    return found


def _replace(path: Path, content: bytes) -> None:
    """Write ``path`` so that a reader sees all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_bytes(content)
    temporary.replace(path)
