"""The images that every region has, made on this machine from its own Python and our samples.

Nothing is downloaded. They are made once, in a thread, and kept in the cache; a region's store takes them
from there. Whoever asks for one earlier waits. A new Python or a new sample makes new images.
"""

import hashlib
import json
import logging
import os
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from fogbank import samples
from fogbank.dataplane.linux.images import envoy
from fogbank.dataplane.linux.images.debian_roots import DebianRoots
from fogbank.dataplane.linux.images.layer import pack
from fogbank.dataplane.linux.images.python_runtime import PythonRuntime, collect_runtime
from fogbank.dataplane.linux.images.store import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    ImageStore,
    architecture,
    digest_of,
)
from fogbank.dataplane.linux.images.unpacked import UnpackedImages
from fogbank.errors import DriverError
from fogbank.resources.images import parse_image
from fogbank.resources.run_containers import CLOUD_SQL_PROXY

_log = logging.getLogger(__name__)

_BUILT_IN = {
    "cloudsql": (CLOUD_SQL_PROXY,),
    "collector": ("us-docker.pkg.dev/fogbank/samples/collector",),
    "hello": ("us-docker.pkg.dev/cloudrun/container/hello", "gcr.io/cloudrun/hello"),
    "job": ("us-docker.pkg.dev/cloudrun/container/job", "gcr.io/cloudrun/job"),
    "netcheck": ("us-docker.pkg.dev/fogbank/samples/netcheck",),
    "sync": ("us-docker.pkg.dev/fogbank/samples/sync",),
    "visitors": ("us-docker.pkg.dev/fogbank/samples/visitors",),
}
"""The references of each sample."""

_FOLDERS = {"/dev": 0o755, "/proc": 0o555, "/root": 0o700, "/run": 0o755, "/sys": 0o555, "/tmp": 0o1777}  # noqa: S108
_STUBS = {
    "/etc/passwd": b"root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    "/etc/group": b"root:x:0:\nnogroup:x:65534:\n",
    "/etc/nsswitch.conf": b"hosts: files dns\n",
}


@dataclass(frozen=True, slots=True)
class _Made:
    """Built-in images as they lie in the cache: blobs by digest, and each sample's manifest."""

    blobs: tuple[str, ...]
    manifests: dict[str, str]


class BuiltInImages:
    """Puts the built-in images into ``registry`` and unpacks them, in a thread of its own."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._repositories = {parse_image(text).repository for texts in _BUILT_IN.values() for text in texts}
        self._done = threading.Event()
        self._error: Exception | None = None

    def start(self, registry: ImageStore, images: UnpackedImages) -> None:
        """Begin; returns at once."""
        threading.Thread(
            target=self._run, args=(registry, images), name="built-in-images", daemon=True
        ).start()

    def wait_for(self, repository: str) -> None:
        """Wait for ``repository`` when it is built in; DriverError when it could not be made."""
        if repository not in self._repositories:
            return
        self._done.wait()
        if self._error:
            raise DriverError(f"The built-in images could not be made: {self._error}") from self._error

    def _run(self, registry: ImageStore, images: UnpackedImages) -> None:
        try:
            made = find_or_make(self._cache)
            for digest in made.blobs:
                registry.adopt_blob(self._cache / "blobs" / digest.removeprefix("sha256:"), digest)
            for sample, references in _BUILT_IN.items():
                registry.tag(references, made.manifests[sample])
            for digest in made.manifests.values():
                images.get(digest)
        except Exception as error:  # noqa: BLE001 - whoever waits for an image gets it
            _log.exception("the built-in images could not be made")
            self._error = error
        finally:
            self._done.set()


def open_store(folder: Path, cache: Path) -> tuple[ImageStore, UnpackedImages]:
    """Open a region's store in ``folder`` with the built-in images on their way, and what unpacks from it.

    Servers of managed services come from the cache when they are asked for.
    """
    built_in = BuiltInImages(cache / "built-in")
    servers = DebianRoots(cache / "debian")

    def provide(repository: str) -> None:
        built_in.wait_for(repository)
        servers.provide(repository, registry)
        envoy.provide(repository, registry, cache / "envoy")

    registry = ImageStore(folder, provide)
    images = UnpackedImages(registry, cache / "roots")
    built_in.start(registry, images)
    return registry, images


def find_or_make(cache: Path) -> _Made:
    """Return the built-in images from ``cache``, made there when they are not yet."""
    note = cache / f"{_fingerprint()}.json"
    if note.exists():
        content = json.loads(note.read_bytes())
        return _Made(tuple(content["blobs"]), content["manifests"])
    blobs, manifests = make(collect_runtime())
    for digest, content in blobs.items():
        _write(cache / "blobs" / digest.removeprefix("sha256:"), content)
    made = _Made(tuple(blobs), manifests)
    _write(note, json.dumps({"blobs": made.blobs, "manifests": manifests}, indent=1).encode())
    return made


def make(found: PythonRuntime) -> tuple[dict[str, bytes], dict[str, str]]:
    """Make the images: blobs by digest, and each sample's manifest digest."""
    layer = pack(
        {**_STUBS, **found.files},
        links=found.links,
        programs=found.programs,
        folders=_FOLDERS | found.folders,
    )
    layer_digest = digest_of(layer)
    blobs, manifests = {layer_digest: layer}, {}
    for sample in _BUILT_IN:
        config = _render(_config(sample, found.interpreter, layer_digest))
        manifest = _render(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)},
                "layers": [{"mediaType": LAYER_TYPE, "digest": layer_digest, "size": len(layer)}],
            }
        )
        blobs |= {digest_of(config): config, digest_of(manifest): manifest}
        manifests[sample] = digest_of(manifest)
    return blobs, manifests


def _config(sample: str, interpreter: str, layer_digest: str) -> dict[str, object]:
    program = f"from fogbank.samples.{sample} import main; main()"
    return {
        "architecture": architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            # -m would import runpy, which takes longer than the sample itself.
            "Entrypoint": [interpreter, "-I", "-S", "-B", "-c", program],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "ExposedPorts": {"8080/tcp": {}},
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
    }


def _fingerprint() -> str:
    """Name what goes into the images without reading all of it: our sources, and which Python this is."""
    base = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    facts = base.stat()
    described = hashlib.sha256(f"{base} {facts.st_size} {facts.st_mtime_ns} {sys.version}".encode())
    folder = Path(samples.__file__).parent
    makers = (Path(__file__).with_name(name) for name in ("builtin.py", "python_runtime.py", "layer.py"))
    for source in sorted([*folder.glob("*.py"), *makers]):
        described.update(source.read_bytes())
    return described.hexdigest()


def _render(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()


def _write(path: Path, content: bytes) -> None:
    """Write ``path`` so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(number, "wb") as file:
        file.write(content)
    Path(temporary).replace(path)
