"""Which user ids the containers of a region have on the machine, and their user namespace.

As root of the machine, a container's 0 to 65535 are ids that belong to nobody (1879048192 and up, which
systemd reserves for no purpose): whoever gets out is a stranger without a file. Image files keep their owners
on disk; a mount translates them, so nothing is copied or changed. In an ordinary user's region the machine
gives no such ids; there, containers have a user namespace with the region's own ids, which takes away every
capability over the region's network and mounts.

The surprising fact: where the machine refuses, there is one step less, and a line in the log says so. What a
container may do is then held by its system call filter and its capabilities alone.
"""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fogbank.dataplane.linux import kernel

_log = logging.getLogger(__name__)

FIRST_ID = 0x7000_0000
IDS = 0x1_0000
_WHOLE_MACHINE = 2**32 - 1


@dataclass(frozen=True, slots=True)
class IdRange:
    """``size`` ids from ``inside`` on, which outside are those from ``outside`` on."""

    inside: int
    outside: int
    size: int


@dataclass(frozen=True, slots=True)
class UserNamespace:
    """How a container's ids are mapped; none for no user namespace of its own."""

    ranges: tuple[IdRange, ...] = ()

    @property
    def root(self) -> int:
        """Who a container's root is outside of it."""
        return self.ranges[0].outside if self.ranges else 0

    def outside(self, number: int) -> int:
        """Return who a container's user ``number`` is outside of it."""
        for each in self.including(number):
            if 0 <= number - each.inside < each.size:
                return each.outside + number - each.inside
        return number

    def including(self, number: int) -> tuple[IdRange, ...]:
        """List the ranges, with one more for a user or group that an image names and that is in none of them.

        It is only for ids of others: among a machine's own the next one would be somebody's.
        """
        if not self.shifted or any(0 <= number - each.inside < each.size for each in self.ranges):
            return self.ranges
        return (*self.ranges, IdRange(number, FIRST_ID + IDS, 1))

    @property
    def shifted(self) -> bool:
        """Whether a container's ids are others than those of the world around it."""
        return any(each.inside != each.outside for each in self.ranges)


SHIFTED = UserNamespace((IdRange(0, FIRST_ID, IDS),))
"""The ids where root may map any."""


def same_ids(uid_map: str) -> UserNamespace:
    """Read ``/proc/self/uid_map``; every range that is there is mapped to itself.

    A range must lie within one of the parent's, so they cannot be made one.
    """
    rows = (tuple(int(word) for word in line.split()) for line in uid_map.splitlines())
    return UserNamespace(tuple(IdRange(inside, inside, size) for inside, _, size in rows))


def is_machines_root(uid_map: str = "") -> bool:
    """Tell whether this process has all ids of the machine, and is not in an ordinary user's namespace."""
    uid_map = uid_map or Path("/proc/self/uid_map").read_text()
    return int(uid_map.split()[2]) == _WHOLE_MACHINE


def enter_images(images: Path, mounted: Path) -> tuple[UserNamespace, Path]:
    """Choose the ids for this machine, and say where the files of ``images`` have owners to match.

    With shifted ids that is ``mounted``, a view of ``images``; otherwise ``images`` itself.
    """
    uid_map = Path("/proc/self/uid_map").read_text()
    wanted = SHIFTED if is_machines_root(uid_map) else same_ids(uid_map)
    try:
        with opened(wanted) as descriptor:
            if wanted.shifted:
                kernel.bind_with_ids(str(images), str(mounted), descriptor)
    except OSError as error:
        # Not the same ids: crun would lend the machine's own /dev/null, and its root could change its mode.
        _log.warning("containers have no user namespace of their own (%s)", error)
        return UserNamespace(), images
    return wanted, mounted if wanted.shifted else images


@contextmanager
def opened(wanted: UserNamespace) -> Iterator[int]:
    """Make a user namespace with these ids, whose descriptor the block has; OSError when it is refused."""
    told, tell = os.pipe()
    child = os.fork()  # a thread cannot enter a user namespace, and this child only waits
    if child == 0:
        os._exit(_wait_inside(tell))
    os.close(tell)
    try:
        refused = int(os.read(told, 16))
        if refused:
            raise OSError(refused, os.strerror(refused), "unshare")
        for name in ("uid_map", "gid_map"):
            lines = "".join(f"{each.inside} {each.outside} {each.size}\n" for each in wanted.ranges)
            Path(f"/proc/{child}/{name}").write_text(lines)
        descriptor = os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(told)
        os.kill(child, 9)
        os.waitpid(child, 0)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_inside(tell: int) -> int:
    kernel.die_with_parent()
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
    except OSError as error:
        os.write(tell, str(error.errno).encode())
        return 1
    os.write(tell, b"0")
    while True:
        signal.pause()
