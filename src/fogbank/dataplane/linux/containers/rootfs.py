"""The writable root of one container: an overlay of memory over the image, which all containers share.

Between the two lies one more shared layer: the resolver's files and the certificates that the region trusts.
So starting a container costs one mount and no copy.
"""

import logging
import os
import shutil
from pathlib import Path

from fogbank.dataplane.linux import kernel

_log = logging.getLogger(__name__)

_TRUST_FILES = (
    "etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Go
    "etc/ssl/cert.pem",  # OpenSSL's own default
    "etc/pki/tls/certs/ca-bundle.crt",  # Fedora and its family
)


def keep_in_memory(folder: Path) -> None:
    """Make ``folder`` an empty one in memory, which goes with this mount namespace."""
    folder.mkdir(parents=True, exist_ok=True)
    kernel.mount("fogbank", str(folder), "tmpfs", kernel.MS_NODEV, "mode=0711")


class Roots:
    """Makes and unmakes root file systems; ``shared`` is the layer between."""

    def __init__(self, shared: Path, files: dict[str, str], trusted: Path) -> None:
        self._shared = shared
        self._overlay = True
        for name, content in files.items():
            self._share(name, content.encode())
        if trusted.exists():
            for name in _TRUST_FILES:
                self._share(name, trusted.read_bytes())

    def _share(self, name: str, content: bytes) -> None:
        """Put a file into the layer that all containers share, readable for all."""
        path = self._shared / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)
        while path != self._shared:
            path = path.parent
            path.chmod(0o755)

    def make(self, image: Path, folder: Path) -> Path:
        """Make in ``folder`` a writable root over ``image``; OSError when the machine refuses."""
        root = folder / "root"
        root.mkdir()
        if self._overlay:
            upper, work = folder / "upper", folder / "work"
            upper.mkdir()
            upper.chmod(0o755)  # it gives / its mode, whatever the mask of this process
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
        for layer in (image, self._shared):
            shutil.copytree(layer, root, symlinks=True, dirs_exist_ok=True)
        root.chmod(0o755)
        return root

    def remove(self, folder: Path) -> None:
        """Take away what :meth:`make` made in ``folder``, and the folder."""
        if os.path.ismount(folder / "root"):
            kernel.unmount(str(folder / "root"))
        shutil.rmtree(folder, ignore_errors=True)


def _escaped(path: Path) -> str:
    """Write a path so that its commas and colons do not end it."""
    return str(path).replace("\\", r"\\").replace(",", r"\,").replace(":", r"\:")
