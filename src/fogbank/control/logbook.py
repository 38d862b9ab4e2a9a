"""The logbook: what instances wrote, what requests they served, and what the platform says about them.

One line is one JSON object with the fields ``time``, ``resource``, ``stream``, ``severity`` and ``text``.
The last lines are in memory, all are appended to a file that is turned over when it grows.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from fogbank.clock import Clock

LINES_KEPT = 10_000
FILE_BYTES = 16 * 1024 * 1024
"""When the file passes this size it becomes ``<name>.1``, replacing the one before."""

Line = Mapping[str, object]


class Logbook:
    """Append lines; read them again, and those to come."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._lines: deque[Line] = deque(self._load(), maxlen=LINES_KEPT)
        self._file = path.open("a", encoding="utf-8")
        self._followers: set[asyncio.Queue[Line]] = set()

    def append(
        self, resource: str, stream: str, text: str, severity: str = "DEFAULT", **more: object
    ) -> None:
        """Note one line about ``resource`` (``run/production/production-00001-abc``); in the event loop."""
        line: Line = {
            "time": self._clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "resource": resource,
            "stream": stream,
            "severity": severity,
            "text": text,
            **more,
        }
        self._lines.append(line)
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
        if self._file.tell() > FILE_BYTES:
            self._turn_over()
        for follower in self._followers:
            follower.put_nowait(line)

    async def read(self, resource: str = "", *, follow: bool = False) -> AsyncIterator[Line]:
        """Give the kept lines whose resource starts with ``resource``; with ``follow`` also those to come."""
        queue: asyncio.Queue[Line] = asyncio.Queue()
        if follow:
            self._followers.add(queue)
        try:
            for line in tuple(self._lines):
                if str(line["resource"]).startswith(resource):
                    yield line
            while follow:
                line = await queue.get()
                if str(line["resource"]).startswith(resource):
                    yield line
        finally:
            self._followers.discard(queue)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _load(self) -> list[Line]:
        if not self._path.exists():
            return []
        with self._path.open(encoding="utf-8", errors="replace") as file:
            lines = deque(file, maxlen=LINES_KEPT)
        return [json.loads(line) for line in lines if line.endswith("}\n")]

    def _turn_over(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        self._file = self._path.open("a", encoding="utf-8")
