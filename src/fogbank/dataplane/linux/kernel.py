"""The system calls that Python 3.11 does not have, and nothing else.

Namespaces belong to a thread, not to the process: :func:`inside` moves only the calling thread, so that one
program can keep sockets in hundreds of network namespaces. Both directions together cost about four
microseconds.
"""

import ctypes
import errno
import fcntl
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
MNT_DETACH = 0x2

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
"""System calls that C libraries do not all have; these numbers are the same on every architecture."""
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 0x1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOUNT_ATTR_IDMAP = 0x10_0000
_PR_SET_PDEATHSIG = 1
_FD_SETSIZE = 1024

_HEAP_FIGURES = (
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",
    "usmblks",
    "fsmblks",
    "uordblks",
    "fordblks",
    "keepcost",
)

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _number(result: int, what: str) -> int:
    _checked(min(result, 0), what)
    return result


def unshare(flags: int) -> None:
    """Move the calling thread to namespaces of its own (``CLONE_…`` flags)."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into the namespace behind ``descriptor``."""
    _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns")


class _HeapFigures(ctypes.Structure):
    """``struct mallinfo2`` (mallinfo(3))."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _HEAP_FIGURES)


def free_in_heap() -> int:
    """Count the bytes that were freed and that the C library keeps; 0 where it does not tell.

    glibc tells since 2.33.
    """
    figures = getattr(_libc, "mallinfo2", None)
    if figures is None:
        return 0
    figures.restype = _HeapFigures
    return int(figures().fordblks)


def trim_heap() -> None:
    """Give memory that is free in the C library's heap back to the machine."""
    _libc.malloc_trim(ctypes.c_size_t(0))


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mount ``source`` of filesystem ``kind`` on ``target``."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode() or None
    )
    _checked(result, target)


def bind(source: str, target: str) -> None:
    """Mount what is at ``source`` on ``target``, too, with everything that is mounted below it."""
    mount(source, target, "", MS_BIND | MS_REC)


def unmount(target: str, flags: int = MNT_DETACH) -> None:
    """Take the mount on ``target`` away; by default also while it is in use."""
    _checked(_libc.umount2(target.encode(), ctypes.c_int(flags)), target)


def bind_with_ids(source: str, target: str, user_namespace: int) -> None:
    """Mount the folder ``source`` on ``target``, its owners translated as in ``user_namespace``.

    Needs Linux 5.12 and a filesystem that can do it (ext4, xfs, btrfs; tmpfs since 6.3); OSError otherwise.
    """
    tree = _number(
        _libc.syscall(_OPEN_TREE, _AT_FDCWD, source.encode(), _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC), source
    )
    try:
        wanted = struct.pack("=QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, user_namespace)
        _checked(_libc.syscall(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, wanted, len(wanted)), source)
        moved = _libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH)
        _checked(moved, target)
    finally:
        os.close(tree)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def open_own_network() -> int:
    """Open the calling thread's network namespace; the caller closes the descriptor."""
    return put_high(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))


def open_namespace(process: int, kind: str) -> int:
    """Open the namespace ``kind`` (``net``, ``user``) of a process; the caller closes the descriptor."""
    return put_high(os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))


def put_high(descriptor: int) -> int:
    """Move a descriptor out of the first 1,024; give its new number.

    libnftables waits by select(), which ends the process at a higher number than that. So the low numbers
    are left to it, and everything of which a region may have hundreds goes up, where limits allow.
    """
    try:
        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FD_SETSIZE)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EMFILE):
            return descriptor
        raise
    os.close(descriptor)
    return high


@contextmanager
def inside(network: int, *, home: int) -> Iterator[None]:
    """Run the block with the calling thread in ``network``, then return it to ``home``."""
    setns(network, CLONE_NEWNET)
    try:
        yield
    finally:
        setns(home, CLONE_NEWNET)
