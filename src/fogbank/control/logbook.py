"""The logbook: what instances wrote, what requests they served, and what the platform says about them.

One line is one JSON object with the fields ``time``, ``resource``, ``stream``, ``severity`` and ``text``.
The last lines are in memory, where they are read; all are appended to a file, from which the next start knows
them. When the disk refuses, the region goes on and the lines are in memory alone.
"""

import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from fogbank.clock import Clock
from fogbank.store.lines import Followers, Line, LineFile

LINES_KEPT = 10_000

log = logging.getLogger(__name__)


class Logbook:
    """Append lines; read them again, and those to come."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._file = LineFile(path)
        self._lines: deque[Line] = deque(self._file.read(), maxlen=LINES_KEPT)
        self._refused = False
        self.followers = Followers()

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
        self._keep(line)
        self.followers.tell(line)

    async def read(self, resource: str = "", *, follow: bool = False) -> AsyncGenerator[Line, None]:
        """Give the kept lines of ``resource`` and what is under it; with ``follow`` also those to come."""
        if not follow:
            for line in tuple(self._lines):
                if _is_of(line, resource):
                    yield line
            return
        async with aclosing(self.followers.follow(self._lines)) as lines:
            async for line in lines:
                if _is_of(line, resource):
                    yield line

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _keep(self, line: Line) -> None:
        try:
            self._file.append(line)
        except OSError as error:
            if not self._refused:
                log.warning("the logbook is in memory alone until its file can be written: %s", error)
            self._refused = True
        else:
            self._refused = False


def _is_of(line: Line, resource: str) -> bool:
    """Tell whether a line is of ``resource`` (``run/production``) or of something under it; ``""`` is all."""
    asked = resource.rstrip("/")
    return not asked or f"{line['resource']}/".startswith(f"{asked}/")
