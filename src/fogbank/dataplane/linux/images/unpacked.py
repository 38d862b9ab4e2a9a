"""Root file systems: an image's layers, unpacked once for each manifest digest, shared by all containers.

Containers get an overlay on top, so what is unpacked here never changes. It is a cache (it can be made
again), and it appears under its name only when it is whole. Layers are foreign input: no entry leaves the
new root, and links on the way count from there.
"""

import contextlib
import fcntl
import gzip
import json
import os
import shutil
import stat
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fogbank.dataplane.linux.images.store import ImageConfig, ImageStore
from fogbank.dataplane.linux.images.trust import find_trust_files
from fogbank.errors import DriverError

_UNFINISHED = ".unpack-"
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_GZIP_MAGIC = b"\x1f\x8b"
_MALFORMED = (OSError, tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError)
"""What a layer can meet: names with a NUL are a ValueError, owners beyond 32 bits an OverflowError."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image ready to run: its root file system, which nobody may change, and its configuration.

    ``trust_files`` are the certificates that libraries of its own trust, by their paths in it.
    """

    root: Path
    config: ImageConfig
    trust_files: tuple[str, ...] = ()


class UnpackedImages:
    """Unpacks images of ``registry`` into ``cache``; safe from any thread."""

    def __init__(self, registry: ImageStore, cache: Path) -> None:
        self.registry = registry
        self._cache = cache
        self._lock = threading.Lock()
        self._ready: dict[str, Image] = {}
        self._sweep()

    @property
    def folder(self) -> Path:
        """The folder that holds the root of every image; it is there from now on, for its owner alone."""
        self._cache.mkdir(parents=True, exist_ok=True)
        self._cache.chmod(0o700)  # images may hold programs that run as their owner
        return self._cache

    def get(self, digest: str) -> Image:
        """Return the image of a manifest digest, unpacked; DriverError when that cannot be done."""
        if image := self._ready.get(digest):
            return image
        with self._lock:
            root = self._cache / digest.removeprefix("sha256:")
            try:
                if not root.exists():
                    self._unpack(digest, root)
            except _MALFORMED as error:
                raise DriverError(f"The image {digest} cannot be unpacked: {error}") from error
            image = Image(root, self.registry.config(digest), self._trust_files(root))
            self._ready[digest] = image
        return image

    def _trust_files(self, root: Path) -> tuple[str, ...]:
        """Read which certificates an image has; looked for once, for it may have very many files."""
        note = root.with_name(f"{root.name}.trust")
        try:
            found: list[str] = json.loads(note.read_bytes())
        except (FileNotFoundError, ValueError):
            found = list(find_trust_files(root))
            note.write_text(json.dumps(found))
        return tuple(found)

    def _sweep(self) -> None:
        """Remove what regions that were killed had begun to unpack, unless somebody is unpacking just now."""
        with _locked(self.folder, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
            for unfinished in self._cache.glob(f"{_UNFINISHED}*") if alone else ():
                shutil.rmtree(unfinished, ignore_errors=True)

    def _unpack(self, digest: str, root: Path) -> None:
        with _locked(self.folder, fcntl.LOCK_SH):
            self._unpack_locked(digest, root)

    def _unpack_locked(self, digest: str, root: Path) -> None:
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._cache))
        try:
            for layer in self.registry.layers(digest):
                unpack_layer(self.registry.blob(layer.digest), unfinished)
            unfinished.chmod(0o755)
            with contextlib.suppress(FileExistsError):
                unfinished.rename(root)
        except OSError as error:
            if not root.exists():  # another process may have been quicker
                raise DriverError(f"The image {digest} cannot be unpacked: {error}") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path, kind: int) -> Iterator[bool]:
    """Hold a lock on ``folder``, which the kernel gives back when we are killed; tell whether we have it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        held = True
        try:
            fcntl.flock(descriptor, kind)
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(descriptor)


def unpack_layer(layer: Path, root: Path) -> None:
    """Apply one layer (a tar, packed with gzip or not) to the tree at ``root``, with its deletions."""
    with layer.open("rb") as raw:
        packed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if packed else raw
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            folders: list[tuple[Path, tarfile.TarInfo]] = []
            added: set[Path] = set()
            for entry in archive:
                _apply(archive, entry, root, folders, added)
    for path, entry in reversed(folders):  # last, because a folder may not be writable by its owner
        path.chmod(stat.S_IMODE(entry.mode))


def _apply(
    archive: tarfile.TarFile,
    entry: tarfile.TarInfo,
    root: Path,
    folders: list[tuple[Path, tarfile.TarInfo]],
    added: set[Path],
) -> None:
    relative = _inside(entry.name)
    if not relative.parts:
        return
    parent = _parent(root, relative)
    target = parent / relative.name
    if relative.name == _OPAQUE:
        for child in parent.iterdir():
            if child not in added:
                _remove(child)
        return
    if relative.name.startswith(_WHITEOUT):
        _remove(parent / relative.name.removeprefix(_WHITEOUT))
        return
    added.add(target)
    added.update(_ancestors(root, parent))
    _place(archive, entry, root, target)
    if entry.isdir():
        folders.append((target, entry))


def _place(archive: tarfile.TarFile, entry: tarfile.TarInfo, root: Path, target: Path) -> None:
    """Make one file, folder or link at ``target``, in place of what was there."""
    if not (entry.isdir() and target.is_dir() and not target.is_symlink()):
        _remove(target)
    if entry.isdir():
        target.mkdir(exist_ok=True)
    elif entry.isreg():
        source = archive.extractfile(entry)
        with target.open("xb") as file:
            shutil.copyfileobj(source, file) if source else None
    elif entry.issym():
        target.symlink_to(entry.linkname)
    elif entry.islnk():
        linked = _inside(entry.linkname)
        os.link(_parent(root, linked) / linked.name, target, follow_symlinks=False)
        return
    else:
        return  # devices and pipes: a container gets its own /dev
    _own(target, entry)


def _own(target: Path, entry: tarfile.TarInfo) -> None:
    try:
        os.chown(target, entry.uid, entry.gid, follow_symlinks=False)
    except OSError:
        # A user namespace with one user knows no other owner (EINVAL, EPERM); then all files are that user's.
        if os.geteuid() == 0 and not _single_user():
            raise
    if entry.isdir():
        target.chmod(0o700 | stat.S_IMODE(entry.mode))
    elif not entry.issym():
        target.chmod(stat.S_IMODE(entry.mode))


def _single_user() -> bool:
    """Return whether this user namespace maps one user only."""
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    return sum(int(line.split()[2]) for line in lines) == 1


def _inside(name: str) -> PurePosixPath:
    """Read the path of an entry as relative to the root; DriverError when it leaves the root."""
    parts = [part for part in PurePosixPath(name).parts if part not in {"/", "."}]
    if ".." in parts:
        raise DriverError(f"The image has an entry that leaves its root: {name!r}")
    return PurePosixPath(*parts)


def _parent(root: Path, relative: PurePosixPath) -> Path:
    """Find the real folder that holds ``relative``: links on the way count from ``root`` and stay inside."""
    folder = root
    pending = list(relative.parts[:-1])[::-1]
    hops = 0
    while pending:
        part = pending.pop()
        if part == "..":
            folder = folder.parent if folder != root else root
            continue
        step = folder / part
        if step.is_symlink():
            hops += 1
            if hops > 40:
                raise DriverError(f"The image has too many links on the way to {relative}")
            link = PurePosixPath(step.readlink())
            if link.is_absolute():
                folder = root
            pending += [piece for piece in reversed(link.parts) if piece != "/"]
            continue
        if not step.is_dir():
            if step.exists():
                _remove(step)
            step.mkdir()
            step.chmod(0o755)
        folder = step
    return folder


def _ancestors(root: Path, folder: Path) -> set[Path]:
    found = set()
    while folder != root:
        found.add(folder)
        folder = folder.parent
    return found


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
