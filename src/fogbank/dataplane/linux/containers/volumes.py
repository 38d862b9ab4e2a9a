"""Volumes: file systems in memory that the containers of an instance share.

Each is a tmpfs of its own, so that what a container writes there has a limit. Files that the region gives
(secrets) are written before a container starts and replaced one by one while it runs; containers get such a
volume for reading only, so nothing in it leads elsewhere.
"""

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from fogbank.dataplane.linux import kernel
from fogbank.errors import DriverError
from fogbank.network.topology import Volume, VolumeFile

_BYTES_PER_FILE = 4096
_LEAST_FILES = 1024
_SHARED = 0o777
"""Containers' users are strangers to each other, and each of them may write."""
_FIXED = 0o755


class MemoryVolumes:
    """The volumes of a region, mounted below ``folder``; ``owner`` is whom containers know as root."""

    def __init__(self, folder: Path, owner: int) -> None:
        self._folder, self._owner = folder, owner
        self._lock = threading.Lock()
        self._volumes: dict[str, tuple[Volume, Path]] = {}
        self._made = 0

    def put(self, volume: Volume) -> None:
        """Make a volume, or give one that is there other files; OSError when the machine refuses."""
        with self._lock:
            known = self._volumes.get(volume.name)
            place = known[1] if known else self._mount(volume)
            self._volumes[volume.name] = (volume, place)
        if volume.files:
            self._write(place, volume.files)

    def drop(self, name: str) -> None:
        """Take a volume away with what is in it; unknown names are no error."""
        with self._lock:
            known = self._volumes.pop(name, None)
        if known is not None:
            _unmount(known[1])

    def all(self) -> Mapping[str, Volume]:
        """List the volumes, by name."""
        with self._lock:
            return {name: volume for name, (volume, _) in self._volumes.items()}

    def find(self, name: str) -> tuple[Path, bool]:
        """Return where a volume is, and whether containers may write there; DriverError without one."""
        with self._lock:
            known = self._volumes.get(name)
        if known is None:
            raise DriverError(f"there is no volume {name}")
        return known[1], not known[0].files

    def _mount(self, volume: Volume) -> Path:
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o711)
        self._made += 1
        place = self._folder / f"v{self._made}"
        place.mkdir()
        files = max(volume.size_bytes // _BYTES_PER_FILE, _LEAST_FILES)
        flags = kernel.MS_NODEV | kernel.MS_NOSUID
        options = f"mode=0700,size={volume.size_bytes},nr_inodes={files}"
        try:
            kernel.mount("fogbank", str(place), "tmpfs", flags, options)
        except OSError:
            place.rmdir()
            raise
        try:
            self._hand_over(place, _FIXED if volume.files else _SHARED)
        except OSError:
            _unmount(place)
            raise
        return place

    def _write(self, place: Path, files: tuple[VolumeFile, ...]) -> None:
        """Write the files, each at once: who reads one sees the old content or the new one."""
        for each in files:
            path = place / each.path
            for above in [p for p in path.parents if place in p.parents][::-1]:
                if not above.exists():
                    above.mkdir()
                    self._hand_over(above, _FIXED)
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_bytes(each.content)
            self._hand_over(fresh, each.mode)
            fresh.replace(path)

    def _hand_over(self, path: Path, mode: int) -> None:
        os.chown(path, self._owner, self._owner)
        path.chmod(mode)


def _unmount(place: Path) -> None:
    """Take a volume's file system away, also while somebody uses it."""
    kernel.unmount(str(place))
    place.rmdir()
