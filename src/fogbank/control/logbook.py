"""The logbook: what instances wrote, what requests they served, and what the platform says about them.

One line is one JSON object with the fields ``time``, ``resource``, ``stream``, ``severity`` and ``text``.
The last lines are in memory, where they are read; all are appended to a file, from which the next start knows
them. When the disk refuses, the region goes on and the lines are in memory alone.
"""

import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

from fogbank.clock import Clock
from fogbank.errors import OperatorError
from fogbank.store.lines import Followers, Line, LineFile, unhurried

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
        """Return the kept lines of ``resource`` and what is under it; with ``follow`` also those to come."""
        kept = tuple(self._lines)
        async with aclosing(self.followers.follow(kept) if follow else unhurried(kept)) as lines:
            async for line in lines:
                if is_of(str(line["resource"]), resource):
                    yield line

    def names(self) -> set[str]:
        """Name what the kept lines are about."""
        return {str(line["resource"]) for line in self._lines}

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


def is_of(resource: str, asked: str) -> bool:
    """Return whether ``resource`` is what was asked for or part of it: ``run/ab`` is no part of ``run/a``."""
    return not asked or f"{resource}/".startswith(f"{asked.rstrip('/')}/")


def resolve_log_name(asked: str, known: Iterable[str]) -> str:
    """Find the whole name of what a person calls ``run/production``, ``production`` or by an instance's id.

    OperatorError lists what there is when that is nothing, or more than one thing.
    """
    names = set(known)
    if not asked or any(is_of(name, asked) for name in names):
        return asked
    wanted = asked.strip("/").split("/")
    found = sorted({"/".join(parts) for name in names for parts in _prefixes(name) if _ends(parts, wanted)})
    if len(found) == 1:
        return found[0]
    whole = sorted({"/".join(name.split("/")[:2]) for name in names})
    if found:
        raise OperatorError(f"{asked} is the name of more than one thing: {', '.join(found)}.")
    hint = (
        f"There is: {', '.join(whole)}." if whole else "Nothing has been written yet; deploy a service first."
    )
    raise OperatorError(f"Nothing is known about {asked}. {hint}")


def _prefixes(name: str) -> Iterator[list[str]]:
    parts = name.split("/")
    return (parts[:length] for length in range(2, len(parts) + 1))


def _ends(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    return list(parts[-len(wanted) :]) == list(wanted)
