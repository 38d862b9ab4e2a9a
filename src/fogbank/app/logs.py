"""The region's log: what clients cause without showing who they are cannot fill it.

A logger writes a few records of one kind at a time; how many more there were is said with the next. Long
messages and tracebacks are cut.
"""

import logging
import sys
import time
from collections.abc import Callable

BURST = 20
"""Records of one kind, before they are held back."""

PER_SECOND = 1.0
LONGEST_MESSAGE = 2000
LONGEST_TRACEBACK = 8000


class Bounded(logging.Filter):
    """Lets BURST records of a kind (logger and text before its arguments) pass, then one a second."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._kinds: dict[tuple[str, str], tuple[float, float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide whether ``record`` is written; it may be changed to say what was not."""
        kind, now = (record.name, str(record.msg)[:100]), self._now()
        left, counted, held = self._kinds.get(kind, (float(BURST), now, 0))
        left = min(float(BURST), left + (now - counted) * PER_SECOND)
        if left < 1:
            self._kinds[kind] = (left, now, held + 1)
            return False
        if len(self._kinds) > 1000:
            self._kinds.clear()
        self._kinds[kind] = (left - 1, now, 0)
        if held:
            record.msg, record.args = f"{record.getMessage()} ({held} more like this were not written)", None
        return True


class Formatter(logging.Formatter):
    """Formats records whose length has a limit."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging names it
        if len(record.message) > LONGEST_MESSAGE:
            record.message = f"{record.message[:LONGEST_MESSAGE]}…"
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging names it
        text = super().formatException(ei)  # type: ignore[arg-type]
        half = LONGEST_TRACEBACK // 2
        return text if len(text) <= LONGEST_TRACEBACK else f"{text[:half]}\n…\n{text[-half:]}"


def write_log() -> None:
    """Have the log written to the standard error output."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(Bounded())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
