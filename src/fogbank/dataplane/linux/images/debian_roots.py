"""Images made of Debian packages: a layer for each package, made once and kept in the user's cache.

`fogbank images fetch` makes them on the host, where apt has its network; a region takes them from the cache
into its store, where they are images like others. No script of a package runs and no daemon starts: files are
laid out as `dpkg-deb` has them, below a layer with what base packages would have made. Merged folders
(``/bin`` is ``usr/bin``) are written as such, because a layer's folder would replace the link.
"""

import contextlib
import copy
import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fogbank.dataplane.linux.images.apt import AptFailed, DebianPackage, Tell, fetched
from fogbank.dataplane.linux.images.layer import pack
from fogbank.dataplane.linux.images.store import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    ImageMissing,
    ImageStore,
    architecture,
    digest_of,
)
from fogbank.errors import DriverError
from fogbank.resources.server_images import SERVER_IMAGES, ServerImage

_MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_FOLDERS = {
    **{
        f"/{name}": 0o755 for name in ("etc", "run", "srv", "home", "mnt", "opt", "var", "var/lib", "var/log")
    },
    **{f"/usr/{name}": 0o755 for name in _MERGED},
    "/dev": 0o755,
    "/proc": 0o555,
    "/sys": 0o555,
    "/root": 0o700,
    "/tmp": 0o1777,  # noqa: S108 - a folder of the image
    "/var/tmp": 0o1777,  # noqa: S108
}
_LEFT_OUT = ("usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/info/", "usr/share/lintian/")
"""What no server reads; copyright notices stay."""
_FORMAT = 2
"""To be raised when the same packages give another image."""


@dataclass(frozen=True, slots=True)
class DebianRoot:
    """An image of packages as it lies in the cache; ``size`` is bytes of all layers."""

    digest: str
    blobs: tuple[str, ...]
    versions: Mapping[str, str]
    size: int

    def version(self, package: str) -> str:
        """Return the upstream version of a package: ``7.0.15``; empty when it is not in the image."""
        return self.versions.get(package, "").rpartition(":")[2].partition("-")[0]


class DebianRoots:
    """The images of packages in the folder ``cache``; safe for several processes."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def find(self, image: ServerImage) -> DebianRoot | None:
        """Return an image that was fetched; None when it was not."""
        try:
            note = json.loads(self._note(image).read_bytes())
        except FileNotFoundError:
            return None
        root = DebianRoot(note["digest"], tuple(note["blobs"]), note["versions"], int(note["size"]))
        return root if all(self._blob(each).exists() for each in root.blobs) else None

    def fetch(self, image: ServerImage, tell: Tell, *, again: bool = False) -> DebianRoot:
        """Return an image, made when it is not there, or ``again``; AptFailed when it cannot be."""
        (self._cache / "blobs").mkdir(parents=True, exist_ok=True)
        with _alone(self._cache):
            if not again and (found := self.find(image)):
                return found
            with fetched(image.packages, image.assumed, self._cache / "lists", tell) as packages:
                tell(f"assembling {len(packages)} packages")
                return self._assemble(image, packages)

    def adopt(self, image: ServerImage, store: ImageStore) -> str:
        """Put an image that was fetched into ``store``; return its digest, ImageMissing when it was not."""
        root = self.find(image)
        if root is None:
            raise NotFetched(image)
        for digest in root.blobs:
            store.adopt_blob(self._blob(digest), digest)
        store.tag([image.repository], root.digest)
        return root.digest

    def provide(self, repository: str, store: ImageStore) -> None:
        """Put a server's image into ``store``, if ``repository`` is one's; NotFetched when it is not here."""
        for image in SERVER_IMAGES:
            if image.repository == repository:
                self.adopt(image, store)

    def _assemble(self, image: ServerImage, packages: tuple[DebianPackage, ...]) -> DebianRoot:
        layers = [self._keep(_base_layer(image)), *map(self._add_package, packages)]
        sizes = [self._blob(digest).stat().st_size for digest in layers]
        config = _render(
            {
                "architecture": architecture(),
                "os": "linux",
                "created": "1970-01-01T00:00:00Z",
                "config": {"WorkingDir": "/", **({"User": image.user} if image.user else {})},
                "rootfs": {"type": "layers", "diff_ids": layers},
            }
        )
        manifest = _render(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)},
                "layers": [
                    {"mediaType": LAYER_TYPE, "digest": digest, "size": size}
                    for digest, size in zip(layers, sizes, strict=True)
                ],
            }
        )
        blobs = (*layers, self._keep(config), self._keep(manifest))
        versions = {each.name: each.version for each in packages}
        root = DebianRoot(digest_of(manifest), blobs, versions, sum(sizes))
        note = {"digest": root.digest, "blobs": blobs, "versions": versions, "size": root.size}
        _replace(self._note(image), _render(note))
        return root

    def _add_package(self, package: DebianPackage) -> str:
        """Make the layer of one package; return its digest."""
        number, temporary = tempfile.mkstemp(dir=self._cache)
        try:
            with os.fdopen(number, "w+b") as file:
                _write_layer(package, file)
                file.seek(0)
                digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            Path(temporary).replace(self._blob(digest))
        finally:
            Path(temporary).unlink(missing_ok=True)
        return digest

    def _keep(self, content: bytes) -> str:
        digest = digest_of(content)
        _replace(self._blob(digest), content)
        return digest

    def _blob(self, digest: str) -> Path:
        return self._cache / "blobs" / digest.removeprefix("sha256:")

    def _note(self, image: ServerImage) -> Path:
        key = hashlib.sha256(f"{_FORMAT} {architecture()} {image}".encode()).hexdigest()[:16]
        return self._cache / f"{image.name}-{key}.json"


class NotFetched(ImageMissing):
    """A server's image is not on this machine yet."""

    def __init__(self, image: ServerImage) -> None:
        super().__init__(image.repository)
        self.args = (
            f"The {image.name} server is not on this machine yet: fogbank images fetch {image.name}",
        )


def _base_layer(image: ServerImage) -> bytes:
    """Pack what Debian's base packages make when they are installed."""
    users = [("root", 0, "/root"), *((name, number, "/") for name, number in image.users)]
    users.append(("nobody", 65534, "/"))
    files = {
        "/etc/passwd": "".join(f"{name}:x:{n}:{n}::{home}:/usr/sbin/nologin\n" for name, n, home in users),
        "/etc/group": "".join(f"{'nogroup' if n == 65534 else name}:x:{n}:\n" for name, n, _ in users),
        "/etc/nsswitch.conf": "hosts: files dns\n",
    }
    links = {f"/{name}": f"usr/{name}" for name in _MERGED} | {"/var/run": "/run", **dict(image.links)}
    return pack({path: text.encode() for path, text in files.items()}, links=links, folders=_FOLDERS)


def _write_layer(package: DebianPackage, file: io.BufferedRandom) -> None:
    """Write a package's files as a layer, its paths as they are where folders are merged."""
    command = ["dpkg-deb", "--fsys-tarfile", str(package.file)]
    if shutil.which(command[0]) is None:
        raise AptFailed("dpkg-deb is not on this machine; it comes with Debian's dpkg")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        if process.stdout is None or process.stderr is None:
            raise ValueError("dpkg-deb writes to pipes")
        with (
            tarfile.open(fileobj=process.stdout, mode="r|") as source,
            tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as layer,
        ):
            there: set[str] = set()
            for entry in source:
                rewritten = _entry(entry)
                if rewritten is not None and rewritten.name not in there:  # merged folders come twice
                    there.add(rewritten.name)
                    layer.addfile(rewritten, source.extractfile(entry) if entry.isreg() else None)
        process.stdout.read()
        why = process.stderr.read().decode(errors="replace")
    if process.returncode:
        raise DriverError(f"The package {package.name} cannot be read: {why.strip()}")


def _entry(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Rewrite one entry of a package; None for what is left out."""
    path = merged(entry.name)
    if path in {"", "."} or (path.startswith(_LEFT_OUT) and not path.endswith("/copyright")):
        return None
    changed = copy.copy(entry)
    changed.name, changed.uname, changed.gname = path, "", ""
    if entry.islnk():
        changed.linkname = merged(entry.linkname)
    return changed


def merged(name: str) -> str:
    """Write a path of a package relative to the root: ``./lib/x`` is ``usr/lib/x``."""
    parts = [part for part in PurePosixPath(name).parts if part not in {".", "/"}]
    if parts and parts[0] in _MERGED:
        parts.insert(0, "usr")
    return "/".join(parts)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time assemble; the kernel ends the lock of one that is killed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for unfinished in folder.glob("tmp*"):
            unfinished.unlink()
        yield
    finally:
        os.close(descriptor)


def _render(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()


def _replace(path: Path, content: bytes) -> None:
    """Write ``path`` so that a reader sees all of it or nothing."""
    number, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(number, "wb") as file:
        file.write(content)
    Path(temporary).replace(path)
