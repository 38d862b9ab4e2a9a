"""Align points of a series to a period, and reduce several series to one.

See behaviour/monitoring.md#aggregation.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

from fogbank.errors import ApiError, not_built
from fogbank.resources.time_series import Distribution, Key, Point, Series, Value, labels

SHORTEST_PERIOD = 60.0
MOST_PERIODS = 10_000

Numbers = Sequence[float]


def _mean(values: Numbers) -> float:
    return sum(values) / len(values)


REDUCERS: dict[str, Callable[[Numbers], float]] = {
    "MEAN": _mean,
    "SUM": sum,
    "MIN": min,
    "MAX": max,
    "COUNT": len,
}
PERCENTILES = {"PERCENTILE_99": 0.99, "PERCENTILE_95": 0.95, "PERCENTILE_50": 0.5, "PERCENTILE_05": 0.05}


@dataclass(frozen=True, slots=True)
class Aggregation:
    """What a client asks for; ``period`` in seconds, the names as the API has them, without their prefix."""

    period: float
    aligner: str = "NONE"
    reducer: str = "NONE"
    group_by: tuple[str, ...] = ()


def aggregate(series: Iterable[Series], wanted: Aggregation, start: float, end: float) -> list[Series]:
    """Align each series, then reduce those that are alike in the labels of ``group_by``."""
    found = list(series)
    if wanted.aligner != "NONE":
        found = [_aligned(each, wanted, start, end) for each in found]
    if wanted.reducer == "NONE":
        return found
    if wanted.aligner == "NONE":
        raise bad("A cross-series reducer needs a per-series aligner other than ALIGN_NONE.")
    groups: dict[Key, list[Series]] = {}
    for each in found:
        groups.setdefault(_group(each.key, wanted.group_by), []).append(each)
    return [_reduced(key, members, wanted.reducer) for key, members in groups.items()]


def bad(message: str) -> ApiError:
    """Refuse an argument."""
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


def _aligned(series: Series, wanted: Aggregation, start: float, end: float) -> Series:
    if wanted.period < SHORTEST_PERIOD:
        raise bad("Field aggregation.alignmentPeriod had an invalid value: it must be at least 60 seconds.")
    if (end - start) / wanted.period > MOST_PERIODS:
        raise bad(f"The interval has more than {MOST_PERIODS} alignment periods.")
    windows: dict[int, list[Point]] = {}
    rates = wanted.aligner in {"DELTA", "RATE"}
    for point in _deltas(series.points) if rates and series.kind == "CUMULATIVE" else series.points:
        windows.setdefault(int((end - point.end) // wanted.period), []).append(point)
    gauge = wanted.aligner not in {"DELTA", "SUM"} or series.kind == "GAUGE"
    points = []
    for number in sorted(windows, reverse=True):
        last = end - number * wanted.period
        value = _align(wanted, [point.value for point in windows[number]])
        points.append(Point(last if gauge else last - wanted.period, last, value))
    return Series(series.key, "GAUGE" if gauge else "DELTA", tuple(points))


def _deltas(points: Sequence[Point]) -> Iterator[Point]:
    """Say of points that count from a start what was added since the one before.

    A point with a later start counts anew; of the first nobody knows what came before it.
    """
    for before, point in pairwise(points):
        if point.start > before.start:
            yield point
        else:
            yield Point(before.end, point.end, _difference(point.value, before.value))


def _difference(value: Value, before: Value) -> Value:
    if isinstance(value, Distribution) and isinstance(before, Distribution):
        try:
            return value.since(before)
        except ValueError as error:
            raise bad(f"The series cannot be aligned: {error}.") from error
    if isinstance(value, (int, float)) and isinstance(before, (int, float)):
        return value - before
    raise bad("A series whose values are no numbers cannot be aligned by a delta or a rate.")


def _whole(distributions: Sequence[Distribution]) -> Distribution:
    try:
        return reduce(Distribution.merged, distributions)
    except ValueError as error:
        raise bad(f"The series cannot be aligned or reduced: {error}.") from error


def _align(wanted: Aggregation, values: list[Value]) -> Value:
    distributions = [each for each in values if isinstance(each, Distribution)]
    if distributions:
        whole = _whole(distributions)
        if wanted.aligner in PERCENTILES:
            return whole.percentile(PERCENTILES[wanted.aligner])
        if wanted.aligner in {"DELTA", "SUM"}:
            return whole
        if wanted.aligner == "MEAN":
            return whole.mean
        raise not_built(f"ALIGN_{wanted.aligner} of distributions")
    numbers = [float(each) for each in values if isinstance(each, (bool, int, float))]
    if len(numbers) < len(values) and wanted.aligner not in {"COUNT", "COUNT_TRUE"}:
        raise bad(f"ALIGN_{wanted.aligner} is for numbers, and the series has strings.")
    match wanted.aligner:
        case "COUNT":
            return len(values)
        case "DELTA":
            value = sum(numbers)
        case "RATE":
            return sum(numbers) / wanted.period
        case "NEXT_OLDER":
            value = numbers[-1]
        case "COUNT_TRUE":
            value = float(sum(1 for each in values if each is True))
        case name if name in REDUCERS:
            value = REDUCERS[name](numbers)
        case name:
            raise not_built(f"ALIGN_{name}")
    whole_numbers = wanted.aligner != "MEAN" and all(isinstance(each, int) for each in values)
    return int(value) if whole_numbers else value


def _group(key: Key, group_by: tuple[str, ...]) -> Key:
    kept: dict[str, dict[str, str]] = {"metric": {}, "resource": {"project_id": key.project}}
    for name in group_by:
        kind, _, label = name.partition(".")
        label = label.partition(".")[2] or label
        source = dict(key.metric_labels if kind == "metric" else key.resource_labels)
        if kind in kept and label in source:
            kept[kind][label] = source[label]
    return Key(key.project, key.metric, labels(kept["metric"]), key.resource, labels(kept["resource"]))


def _reduced(key: Key, members: list[Series], reducer: str) -> Series:
    at: dict[tuple[float, float], list[Value]] = {}
    for each in members:
        for point in each.points:
            at.setdefault((point.start, point.end), []).append(point.value)
    points = tuple(Point(*interval, _reduce(reducer, values)) for interval, values in sorted(at.items()))
    return Series(key, members[0].kind, points)


def _reduce(reducer: str, values: list[Value]) -> Value:
    distributions = [each for each in values if isinstance(each, Distribution)]
    if distributions:
        whole = _whole(distributions)
        if reducer in PERCENTILES:
            return whole.percentile(PERCENTILES[reducer])
        if reducer == "SUM":
            return whole
        raise not_built(f"REDUCE_{reducer} of distributions")
    if reducer not in REDUCERS:
        raise not_built(f"REDUCE_{reducer}")
    if reducer == "COUNT":
        return len(values)
    numbers = [float(each) for each in values if isinstance(each, (bool, int, float))]
    if len(numbers) < len(values):
        raise bad(f"REDUCE_{reducer} is for numbers, and the series have strings.")
    value = REDUCERS[reducer](numbers)
    return int(value) if reducer != "MEAN" and all(isinstance(each, int) for each in values) else value
