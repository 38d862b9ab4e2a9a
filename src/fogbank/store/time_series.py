"""The time series of all projects, in memory, bounded in number and length; they begin anew with the region.

``sources`` are asked for samples once a minute; clients may write series of their own.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from fogbank.resources.time_series import Key, Kind, Point, Sample, Series

MOST_POINTS = 1440
"""Points of a series: a day, of one a minute."""

MOST_SERIES = 1000
"""When there are more, the one goes that has been written last the longest time ago."""


@dataclass(slots=True)
class _Kept:
    kind: Kind
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=MOST_POINTS))


class TimeSeries:
    """The series; for the event loop's thread."""

    def __init__(self, *, most_series: int = MOST_SERIES) -> None:
        self._series: OrderedDict[Key, _Kept] = OrderedDict()
        self._most_series = most_series
        self.sources: list[Callable[[], Iterable[Sample]]] = []
        """What is asked for samples; each is called in the event loop and returns soon."""

    def add(self, samples: Iterable[Sample], start: float, end: float) -> None:
        """Take in samples of the time from ``start`` to ``end`` (seconds since 1970)."""
        for sample in samples:
            begin = end if sample.kind == "GAUGE" else start
            self.append(sample.key, sample.kind, Point(begin, end, sample.value))

    def append(self, key: Key, kind: Kind, point: Point) -> None:
        """Add a point to a series; ValueError when it is not newer than the last, or of another kind."""
        kept = self._series.get(key)
        if kept is None:
            kept = self._series[key] = _Kept(kind)
            while len(self._series) > self._most_series:
                self._series.popitem(last=False)
        elif kept.kind != kind:
            raise ValueError(f"the series is a {kept.kind}, not a {kind}")
        elif kept.points and point.end <= kept.points[-1].end:
            raise ValueError("a point is not newer than the one before")
        kept.points.append(point)
        self._series.move_to_end(key)

    def find(self, project: str, keep: Callable[[Key], bool], start: float, end: float) -> Iterator[Series]:
        """List the series of a project that ``keep`` returns True for, with their points in an interval."""
        for key, kept in tuple(self._series.items()):
            if key.project == project and keep(key):
                points = tuple(point for point in kept.points if start <= point.end <= end)
                if points:
                    yield Series(key, kept.kind, points)

    def keys(self, project: str) -> dict[Key, Kind]:
        """Return what the series of a project are about, with their kinds."""
        return {key: kept.kind for key, kept in self._series.items() if key.project == project}
