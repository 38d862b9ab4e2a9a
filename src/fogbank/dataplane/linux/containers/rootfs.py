"""The writable root of one container: an overlay of memory over the image, which all containers share.

A virtual machine's is an overlay of a folder on the region's disk, which stays when the machine stops.

Between the two lies one more shared layer: the resolver's files and the certificates that the region
trusts. So starting a container costs two mounts and no copy. There is room for as many bytes as the container
may have of memory: files count against it (https://cloud.google.com/run/docs/container-contract#filesystem).
"""

import errno
import logging
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fogbank.dataplane.linux import kernel
from fogbank.dataplane.linux.containers.user_namespace import is_machines_root
from fogbank.dataplane.linux.machines.layer import write_layer

_log = logging.getLogger(__name__)

_TRUST_FILES = (
    "etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Go
    "etc/ssl/cert.pem",  # OpenSSL's own default
    "etc/pki/tls/certs/ca-bundle.crt",  # Fedora and its family
)


_COPY = "root"
"""Where a disk has a machine's whole root, when the machine's file system is none for an overlay."""

_BYTES_PER_FILE = 4096
_LEAST_FILES = 1024
"""A file costs the kernel memory even when nothing is in it, so their number is limited, too."""


def keep_in_memory(folder: Path) -> None:
    """Make ``folder`` an empty one in memory that all may pass through; it goes with the mount namespace."""
    for missing in [each for each in (folder, *folder.parents) if not each.exists()][::-1]:
        missing.mkdir()
        missing.chmod(0o711)  # whatever the mask of this process
    kernel.mount("fogbank", str(folder), "tmpfs", kernel.MS_NODEV, "mode=0711")


class Roots:
    """Makes and unmakes root file systems.

    ``shared`` is the layer between, ``owner`` is the user id that containers know as root.
    """

    def __init__(self, shared: Path, files: dict[str, str], trusted: Path, owner: int) -> None:
        self._shared = shared
        self._owner = owner
        self._overlay = True
        for name, content in files.items():
            self._share(name, content.encode())
        self.trust_file = shared / _TRUST_FILES[0] if trusted.exists() else None
        """The certificates that the region trusts, as containers may read them."""
        if trusted.exists():
            for name in _TRUST_FILES:
                self._share(name, trusted.read_bytes())

    def _share(self, name: str, content: bytes) -> None:
        """Put a file into the layer that all containers share, readable for all."""
        path = self._shared / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self._hand_over(path, 0o644)
        while path != self._shared:
            path = path.parent
            self._hand_over(path, 0o755)

    def _hand_over(self, path: Path, mode: int) -> None:
        """Make the containers' root the owner; the mode is as told whatever the mask of this process."""
        os.chown(path, self._owner, self._owner)
        path.chmod(mode)

    def make(self, image: Path, folder: Path, size: int, files: Mapping[str, str] | None = None) -> Path:
        """Make in ``folder`` a root over ``image`` with room for ``size`` bytes; OSError when refused.

        ``files`` replace some of those that all containers share: folders above them are the shared layer's.
        """
        root, memory = folder / "root", folder / "memory"
        root.mkdir()
        memory.mkdir()
        options = f"mode=0700,size={size},nr_inodes={max(size // _BYTES_PER_FILE, _LEAST_FILES)}"
        kernel.mount("fogbank", str(memory), "tmpfs", kernel.MS_NODEV, options)
        if self._overlay:
            upper, work = memory / "upper", memory / "work"
            upper.mkdir()
            self._hand_over(upper, 0o755)
            self._write(upper, files or {})
            work.mkdir()
            lower = f"{_escaped(self._shared)}:{_escaped(image)}"
            options = f"lowerdir={lower},upperdir={_escaped(upper)},workdir={_escaped(work)}"
            try:
                kernel.mount("overlay", str(root), "overlay", kernel.MS_NODEV, options)
            except OSError as error:
                _log.warning("no overlay (%s); each container gets a copy of its image", error)
                self._overlay = False
            else:
                return root
        root = self._copy(image, memory)
        self._write(root, files or {})
        return root

    def make_on_disk(self, image: Path, folder: Path, disk: Path) -> Path:
        """Make in ``folder`` the root of a machine over ``image``, whose changes are kept in ``disk``.

        Nothing below ``disk`` is written once it is a machine's: its root may have put links there.
        OSError when refused.
        """
        layer = self._shared.with_name("machines")
        if not layer.exists():
            write_layer(layer, self._owner)
        root = folder / "root"
        root.mkdir()
        if not (disk / _COPY).exists():
            try:
                self._mount_disk(f"{_escaped(layer)}:{_escaped(self._shared)}:{_escaped(image)}", disk, root)
            except OSError as error:
                _log.warning("no overlay on the disk (%s); a machine gets a copy of its image", error)
                self._copy_to_disk((image, self._shared, layer), disk)
            else:
                return root
        kernel.bind(str(disk / _COPY), str(root))
        return root

    def _mount_disk(self, lower: str, disk: Path, root: Path) -> None:
        upper, work = disk / "upper", disk / "work"
        if not upper.exists():
            upper.mkdir()
            self._hand_over(upper, 0o755)
        work.mkdir(exist_ok=True)
        options = f"lowerdir={lower},upperdir={_escaped(upper)},workdir={_escaped(work)}"
        if not is_machines_root():
            options += ",userxattr"  # a user namespace has no other attributes to mark what was deleted
        kernel.mount("overlay", str(root), "overlay", kernel.MS_NODEV, options)

    def _copy_to_disk(self, layers: tuple[Path, ...], disk: Path) -> None:
        """Copy ``layers``, the lowest first; the copy is there when it is whole."""
        unfinished = disk / f"{_COPY}.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        for layer in layers:
            self._add_layer(layer, unfinished)
        unfinished.rename(disk / _COPY)

    def _write(self, root: Path, files: Mapping[str, str]) -> None:
        for name, content in files.items():
            path = root / name
            if not path.parent.exists():
                path.parent.mkdir()
                self._hand_over(path.parent, 0o755)
            path.unlink(missing_ok=True)
            path.write_text(content)
            self._hand_over(path, 0o644)

    def _copy(self, image: Path, memory: Path) -> Path:
        root = memory / "root"
        for layer in (image, self._shared):
            shutil.copytree(layer, root, symlinks=True, dirs_exist_ok=True)
        for above, folders, files in os.walk(root):
            for name in (*folders, *files):
                os.chown(Path(above, name), self._owner, self._owner, follow_symlinks=False)
        self._hand_over(root, 0o755)
        memory.chmod(0o711)
        return root

    def _add_layer(self, layer: Path, root: Path) -> None:
        """Copy a layer over ``root`` with its owners and modes, which are the machine's own there."""
        command = ["cp", "--archive", "--no-target-directory", "--remove-destination", str(layer), str(root)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            raise OSError(errno.EIO, done.stderr.decode(errors="replace").strip())

    def remove(self, folder: Path) -> None:
        """Take away what :meth:`make` made in ``folder``, and the folder."""
        for name in ("root", "memory"):
            if os.path.ismount(folder / name):
                kernel.unmount(str(folder / name))
        shutil.rmtree(folder, ignore_errors=True)


def _escaped(path: Path) -> str:
    """Write a path so that its commas and colons do not end it."""
    return str(path).replace("\\", r"\\").replace(",", r"\,").replace(":", r"\:")
