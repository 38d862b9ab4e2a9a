"""How much memory a container uses, and when to look next.

Control groups would hold a limit in the kernel, but a group is the host's and outlives a region that is
killed (decision 0190). So the processes of a container are measured, which needs no right that a region does
not have, and works in an ordinary user's region. The surprising fact: a look costs some 0.1 ms, so one
happens only when the container could have used up what it had left at the last one.
"""

import os
from collections.abc import Iterator
from pathlib import Path

GROWTH = 512 * 1024 * 1024
"""Bytes that a program is thought to take in a second at most; one that is faster is found a little late."""
SOONEST, LATEST = 0.05, 1.0
"""Seconds between two looks."""
LATEST_FOR_MACHINES = 15.0
"""The same for virtual machines: there may be a thousand, and they have gigabytes."""

_QUICK = (b"RssAnon", b"RssShmem", b"VmSwap")
_OWN, _SHARED = (b"Pss_Anon", b"SwapPss"), (b"Pss_Shmem",)
_KIB = 1024


def seconds_to_next_look(limit: int, used: int, latest: float = LATEST) -> float:
    """Return how long a container that uses ``used`` of ``limit`` bytes need not be looked at."""
    return min(max((limit - used) / GROWTH, SOONEST), latest)


def used_bytes(first: int, files: Path, limit: int) -> int:
    """Return what the container of the process ``first`` uses, files in ``files`` and /dev/shm included.

    What processes share is counted for each of them, as long as that stays within ``limit``: beyond it, it is
    counted exactly, which takes the kernel longer. A file that is mapped counts once there, so of files and
    shared memory the greater counts. A container that is just ending uses nothing.
    """
    held = _bytes_of_files(files) + _bytes_of_files(Path(f"/proc/{first}/root/dev/shm"))
    quick = sum(_fields(each / "status", _QUICK) for each in _processes(first))
    if held + quick <= limit:
        return held + quick
    rollups = [each / "smaps_rollup" for each in _processes(first)]
    shared = sum(_fields(each, _SHARED) for each in rollups)
    return max(held, shared) + sum(_fields(each, _OWN) for each in rollups)


def own_bytes(process: int) -> int:
    """Return what a process uses for itself; 0 when it has ended."""
    return _fields(Path(f"/proc/{process}/status"), _QUICK)


def _bytes_of_files(folder: Path) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _processes(first: int) -> Iterator[Path]:
    """List the processes of a container, in its own /proc, where no others are."""
    own = Path(f"/proc/{first}/root/proc")
    try:
        names = os.listdir(own)  # noqa: PTH208 - a tenth of the time
    except OSError:
        return
    yield from (own / name for name in names if name.isdecimal())


def _fields(path: Path, names: tuple[bytes, ...]) -> int:
    """Add up fields that are in KiB; 0 when the process has ended."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.partition(b":")[0] in names) * _KIB
