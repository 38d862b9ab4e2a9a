"""Schedules: when a crontab line means, in a time zone (behaviour/cloud-scheduler.md#schedules).

Daylight saving time is as in Debian's cron: what falls into the hour that is skipped runs after it, what
falls into the one that comes twice runs once.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fogbank.errors import ApiError, not_built
from fogbank.services.collections import bad_request

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

MOST_MISSED = 10
"""How many runs that were missed are made up for, the last ones (Fogbank)."""

_FIELDS = 5


def check_schedule(schedule: str, zone: str) -> None:
    """Refuse (400) what is no crontab line, or a time zone that does not exist."""
    if schedule.strip().lower().startswith(("every ", "1st ", "first ", "2nd ", "second ", "3rd ", "third ")):
        raise not_built(f"schedules in English such as '{schedule}' of Cloud Scheduler")
    try:
        _zone(zone)
        next(_after(schedule, zone, datetime(2000, 1, 1, tzinfo=UTC)))
    except (ValueError, StopIteration):
        raise invalid_schedule() from None


def invalid_schedule() -> ApiError:
    """Refuse a schedule in Google's words."""
    return bad_request("Schedule or time zone is invalid.")


def next_time(schedule: str, zone: str, after: datetime) -> datetime:
    """Return the first time after ``after`` (UTC) that a checked ``schedule`` means."""
    return next(_after(schedule, zone, after))


def catch_up(schedule: str, zone: str, due: datetime, now: datetime) -> datetime:
    """Return the time to run for, when ``due`` is past: ``due``, or the oldest one that is made up for."""
    earlier = (t for t in _after(schedule, zone, now + timedelta(minutes=1), back=True) if t <= now)
    last = [time for time, _ in zip(earlier, range(MOST_MISSED), strict=False)]
    return max(due, last[-1]) if len(last) == MOST_MISSED else due


def _after(schedule: str, zone: str, moment: datetime, *, back: bool = False) -> Iterator[datetime]:
    from cronsim import CronSim, CronSimError  # no start waits for what no schedule needs yet

    if len(schedule.split()) != _FIELDS:
        raise ValueError("a schedule has five fields")
    try:
        times = CronSim(schedule, moment.astimezone(_zone(zone)), reverse=back)
    except CronSimError as error:
        raise ValueError(str(error)) from error
    return (time.astimezone(UTC) for time in times)


def _zone(name: str) -> "ZoneInfo":
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo("UTC" if name.lower() == "utc" else name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"no time zone {name}") from error
