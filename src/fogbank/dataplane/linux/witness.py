"""The witness log: what third parties saw, one JSON object a line, kept over restarts.

It is the proof of every claim about addresses, so each entry is written before the third party answers. The
file is bounded: when it is full it becomes ``.1``, and the one before that goes.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

_LARGEST_BYTES = 16 * 1024 * 1024
_LONGEST_QUEUE = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that a third party saw. A bare connection has the method ``TCP``, a datagram ``UDP``.

    ``status`` is the HTTP status of the answer; 403 for a refused caller; 0 where there was no HTTP.
    """

    time: datetime
    source: IPv4Address
    source_port: int
    host: str
    method: str
    path: str
    status: int

    def as_json(self) -> dict[str, Any]:
        """Show the entry as people and scripts read it."""
        return {
            "time": self.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "sourceIp": str(self.source),
            "sourcePort": self.source_port,
            "host": self.host,
            "method": self.method,
            "path": self.path,
            "status": self.status,
        }


class WitnessLog:
    """The log in the file at ``path``. ``append`` and ``tail`` belong to the event loop's thread."""

    def __init__(self, path: Path, largest: int = _LARGEST_BYTES) -> None:
        self._path = path
        self._older = path.with_name(path.name + ".1")
        self._largest = largest
        self._followers: set[_Follower] = set()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor, self._size = _open(path)

    def append(self, entry: Entry) -> None:
        """Write one entry, and hand it to those who follow."""
        shown = entry.as_json()
        line = json.dumps(shown, ensure_ascii=False).encode(errors="replace") + b"\n"
        if self._size and self._size + len(line) > self._largest:
            os.close(self._descriptor)
            self._path.replace(self._older)
            self._descriptor, self._size = _open(self._path)
        os.write(self._descriptor, line)
        self._size += len(line)
        for follower in self._followers:
            follower.offer(shown)

    def entries(self, host: str | None = None) -> Iterator[dict[str, Any]]:
        """Read what is kept, oldest first; of one host or of all."""
        for path in (self._older, self._path):
            if path.exists():
                with path.open("rb") as file:
                    yield from _parse(file, host)

    async def tail(self, host: str | None = None, *, follow: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Read what is kept, and with ``follow`` what comes.

        It ends by itself only when the reader is so slow that ten thousand entries wait for it.
        """
        follower = _Follower(host)
        if follow:
            self._followers.add(follower)
        try:
            for shown in list(self.entries(host)):
                yield shown
            while follow and (latest := await follower.next()):
                yield latest
        finally:
            self._followers.discard(follower)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class _Follower:
    """Somebody who waits for entries of ``host``, or of all hosts."""

    def __init__(self, host: str | None) -> None:
        self._host = host
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_LONGEST_QUEUE)
        self._overrun = False

    def offer(self, shown: dict[str, Any]) -> None:
        if self._host and self._host != shown["host"]:
            return
        try:
            self._waiting.put_nowait(shown)
        except asyncio.QueueFull:
            self._overrun = True

    async def next(self) -> dict[str, Any] | None:
        """Wait for the next entry; None when some were lost."""
        return None if self._overrun else await self._waiting.get()


def _open(path: Path) -> tuple[int, int]:
    """Open the log for appending; give its descriptor and size."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":  # the last write was cut short
        size += os.write(descriptor, b"\n")
    return descriptor, size


def _parse(lines: Iterable[bytes], host: str | None) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            shown = json.loads(line)
        except ValueError:
            continue  # a line that was cut short
        if not host or shown["host"] == host:
            yield shown
