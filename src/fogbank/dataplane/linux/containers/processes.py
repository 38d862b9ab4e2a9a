"""The processes of a container, as this process namespace numbers them, and signals for them.

A container's first process adopts those whose parent ended, so all are below it.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from fogbank.dataplane.linux.containers.memory import own_bytes

_FREEZE_PASSES = 20


def processes_below(first: int) -> Iterator[int]:
    """List the process ``first`` and all below it; those that end meanwhile may be missing."""
    yield first
    for task in _names(Path(f"/proc/{first}/task")):
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{first}/task/{task}/children").read_text()
            for child in children.split():
                yield from processes_below(int(child))


def freeze(first: int) -> None:
    """Stop all processes of a container; nothing of it runs until :func:`thaw`."""
    stopped: set[int] = set()
    for _ in range(_FREEZE_PASSES):
        found = set(processes_below(first)) - stopped
        if not found:
            return
        _send(found, signal.SIGSTOP)
        stopped |= found


def thaw(first: int) -> None:
    """Let all processes of a container go on; their parents last, so that none sees another stopped."""
    _send(reversed(tuple(processes_below(first))), signal.SIGCONT)


def largest(first: int) -> tuple[int, str] | None:
    """Find the process that uses the most memory, beside ``first``: its number and its program's name."""
    found = max((each for each in processes_below(first) if each != first), key=own_bytes, default=None)
    if found is None:
        return None
    try:
        return found, Path(f"/proc/{found}/comm").read_text().strip()
    except OSError:
        return None


def _send(processes: "Iterator[int] | set[int]", number: signal.Signals) -> None:
    for each in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, number)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []
