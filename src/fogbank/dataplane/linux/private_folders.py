"""The world's own /dev, /tmp and /var/tmp, in memory: what is written or changed there never meets the host.

crun leaves files in /tmp when it is killed and changes the owners of what it is handed, and a container may
get hold of whatever it was handed. What the program needs of the host below a folder that is covered (its own
code, its state) is mounted again at the same place.

The surprising fact: root makes device nodes of the world's own. An ordinary user may not; there the host's
are mounted, whose owner is nobody in that user's namespace, so that nobody in it may change them.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from fogbank.dataplane.linux import kernel

_DEVICES = {
    "full": (1, 7),
    "net/tun": (10, 200),
    "null": (1, 3),
    "random": (1, 8),
    "tty": (5, 0),
    "urandom": (1, 9),
    "zero": (1, 5),
}
_OPTIONAL = frozenset({"net/tun"})
"""What not every kernel has: VPN gateways need it."""
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
_FOR_ALL = 0o1777
COVERED = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - these are what is covered


def own_devices() -> None:
    """Cover /dev with the few devices that programs and containers need; /dev/shm is empty."""
    there = (name for name in _DEVICES if name not in _OPTIONAL or Path("/dev", name).exists())
    found = {name: os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC) for name in there}
    try:
        kernel.mount("fogbank", "/dev", "tmpfs", kernel.MS_NOSUID, "mode=0755,size=64m")
        for name, descriptor in found.items():
            _make_device(Path("/dev", name), os.makedev(*_DEVICES[name]), descriptor)
    finally:
        for descriptor in found.values():
            os.close(descriptor)
    for name, target in _LINKS.items():
        Path("/dev", name).symlink_to(target)
    for name, mode in (("shm", _FOR_ALL), ("pts", 0o755)):
        Path("/dev", name).mkdir()
        Path("/dev", name).chmod(mode)


def _make_device(path: Path, number: int, hosts: int) -> None:
    path.parent.mkdir(exist_ok=True)
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, number)
    except PermissionError:  # in a user namespace
        path.touch()
        kernel.bind(f"/proc/self/fd/{hosts}", str(path))
    else:
        path.chmod(0o666)  # whatever the mask of this process


def cover(keep: Iterable[Path]) -> None:
    """Cover the folders for temporary files, except for the folders ``keep``, which are there as before."""
    wanted = {each.resolve() for each in keep if os.path.isdir(each)}  # noqa: PTH112 - False where none may look
    for folder in COVERED:
        if not folder.is_dir() or folder.is_symlink() or folder in wanted:
            continue
        _cover(folder, _outermost(each for each in wanted if each.is_relative_to(folder)))
    os.environ["TMPDIR"] = str(COVERED[0])


def _cover(folder: Path, keep: Iterable[Path]) -> None:
    kept = {each: os.open(each, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for each in keep}
    try:
        kernel.mount("fogbank", str(folder), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777,size=1g")
        for place, descriptor in kept.items():
            place.mkdir(parents=True)
            kernel.bind(f"/proc/self/fd/{descriptor}", str(place))
    finally:
        for descriptor in kept.values():
            os.close(descriptor)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Leave out what is below another one."""
    found: list[Path] = []
    for path in sorted(paths):
        if not any(path.is_relative_to(each) for each in found):
            found.append(path)
    return found
