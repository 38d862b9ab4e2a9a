"""Measurements as Cloud Monitoring has them: a metric of a monitored resource, and points in time.

Whoever measures (controllers) makes a :class:`Sample`; the monitoring API reads :class:`Series`. See
behaviour/monitoring.md#time-series.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

Kind = Literal["GAUGE", "DELTA", "CUMULATIVE"]
Labels = tuple[tuple[str, str], ...]

BOUNDS = tuple(round(0.1 * 2 ** (step / 2), 3) for step in range(44))
"""Where the buckets of a distribution begin: from 0.1 to about 300,000, each 1.41 times the one before."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Values in buckets: ``counts`` has one for each of ``bounds`` and one below the first."""

    count: int = 0
    mean: float = 0.0
    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    bounds: tuple[float, ...] = BOUNDS

    def with_value(self, value: float) -> "Distribution":
        """Add a value."""
        at = bisect_left(self.bounds, value)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        count = self.count + 1
        return Distribution(count, self.mean + (value - self.mean) / count, counts, self.bounds)

    def merged(self, other: "Distribution") -> "Distribution":
        """Add the values of another one; ValueError when its buckets are others."""
        if self.bounds != other.bounds:
            raise ValueError("the distributions have different buckets")
        count = self.count + other.count
        mean = (self.mean * self.count + other.mean * other.count) / count if count else 0.0
        both = zip(self.counts, other.counts, strict=True)
        return Distribution(count, mean, tuple(one + two for one, two in both), self.bounds)

    def since(self, before: "Distribution") -> "Distribution":
        """Take the values of an earlier state of the same away; ValueError when its buckets are others."""
        count = self.count - before.count
        mean = (self.mean * self.count - before.mean * before.count) / count if count else 0.0
        taken = replace(before, count=-before.count, counts=tuple(-each for each in before.counts))
        return replace(self.merged(taken), count=count, mean=mean)

    def percentile(self, share: float) -> float:
        """Return about the value below which ``share`` (0 to 1) of all values are."""
        left = share * self.count
        if not self.bounds:
            return self.mean
        edges = (min(0.0, self.bounds[0]), *self.bounds, self.bounds[-1] * 2)
        for (low, high), count in zip(pairwise(edges), self.counts, strict=True):
            if count and left <= count:
                return low + (high - low) * left / count
            left -= count
        return 0.0


Value = bool | int | float | str | Distribution


@dataclass(frozen=True, slots=True)
class Key:
    """What a series is about; labels are in order."""

    project: str
    metric: str
    metric_labels: Labels
    resource: str
    resource_labels: Labels


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a series; of a DELTA it is what was added since the sample before."""

    key: Key
    kind: Kind
    value: Value


@dataclass(frozen=True, slots=True)
class Point:
    """A value and its interval, in seconds since 1970; both ends are one for a GAUGE."""

    start: float
    end: float
    value: Value


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one series, oldest first."""

    key: Key
    kind: Kind
    points: tuple[Point, ...]


def labels(values: Mapping[str, str]) -> Labels:
    """Put labels in order."""
    return tuple(sorted(values.items()))
