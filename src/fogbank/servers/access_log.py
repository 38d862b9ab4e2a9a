"""The access log: what third parties saw, one JSON object a line, kept over restarts.

It is the proof of every claim about addresses, so each entry is written before the third party answers. The
file is bounded: when it is full it becomes ``.1``, and the one before that goes.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from fogbank.store.lines import LARGEST_BYTES, Followers, Line, LineFile, unhurried


@dataclass(frozen=True, slots=True)
class AccessLogEntry:
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


class AccessLog:
    """The log in the file at ``path``. ``append`` and ``tail`` belong to the event loop's thread."""

    def __init__(self, path: Path, largest: int = LARGEST_BYTES) -> None:
        self._file = LineFile(path, largest)
        self.followers = Followers()

    def append(self, entry: AccessLogEntry) -> None:
        """Write one entry, and hand it to those who follow; OSError when the disk refuses."""
        shown = entry.as_json()
        self._file.append(shown)
        self.followers.tell(shown)

    def entries(self) -> Iterator[Line]:
        """Read what is kept, oldest first."""
        return self._file.read()

    async def tail(self, host: str | None = None, *, follow: bool = False) -> AsyncGenerator[Line, None]:
        """Read what is kept, and with ``follow`` what comes, until the reader goes or is far too slow."""
        kept = self.entries()
        async with aclosing(self.followers.follow(kept) if follow else unhurried(kept)) as lines:
            async for shown in lines:
                if not host or shown["host"] == host:
                    yield shown

    async def knows(self, host: str) -> bool:
        """Return whether something of ``host`` is kept, be it a third party still or not."""
        async with aclosing(self.tail(host)) as found:
            return await anext(found, None) is not None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
