"""The one clock: every hold that Google makes people wait for happens on it, and can be skipped.

It runs at the machine's pace plus what ``fogbank clock advance`` added.
"""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Wall time with an offset that only grows."""

    def __init__(self, offset: timedelta = timedelta()) -> None:
        self.offset = offset

    def now(self) -> datetime:
        """Return the region's time (UTC)."""
        return datetime.now(UTC) + self.offset

    def seconds(self) -> float:
        """Return the region's time as a number that never goes back, for intervals."""
        return time.monotonic() + self.offset.total_seconds()

    def advance(self, by: timedelta) -> None:
        """Skip ``by``; ValueError when it is negative."""
        if by < timedelta():
            raise ValueError("the clock only goes forward")
        self.offset += by
