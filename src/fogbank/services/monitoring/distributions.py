"""Distributions that clients write: their buckets in each of the three ways to say where they begin."""

from itertools import pairwise

from fogbank.resources.time_series import Distribution
from fogbank.resources.world import Json
from fogbank.services.monitoring.aggregation import bad

MOST_BUCKETS = 200
"""Finite buckets and the two at the ends (the API's description of ``bucketCounts``)."""


def read_distribution(value: Json) -> Distribution:
    """Read a ``distributionValue``; ApiError when its numbers contradict one another."""
    bounds = _bounds(value.get("bucketOptions") or {})
    counts = [int(each) for each in value.get("bucketCounts") or ()]
    count = int(value.get("count") or 0)
    if not bounds:
        return Distribution(count, float(value.get("mean") or 0.0), (count,), ())
    if len(counts) > len(bounds) + 1 or any(each < 0 for each in counts) or sum(counts) != count:
        raise bad(
            "Field timeSeries.points.value.distributionValue had an invalid value: bucketCounts must have at "
            "most one element for each bucket, and count must be their sum."
        )
    filled = (*counts, *(0,) * (len(bounds) + 1 - len(counts)))
    return Distribution(count, float(value.get("mean") or 0.0), filled, bounds)


def _bounds(options: Json) -> tuple[float, ...]:
    match options:
        case {"explicitBuckets": {"bounds": list(bounds)}}:
            found = tuple(map(float, bounds))
        case {"linearBuckets": buckets}:
            width, offset = float(buckets.get("width") or 0), float(buckets.get("offset") or 0)
            found = tuple(offset + width * step for step in range(_finite(buckets) + 1))
        case {"exponentialBuckets": buckets}:
            scale, factor = float(buckets.get("scale") or 0), float(buckets.get("growthFactor") or 0)
            found = tuple(_power(scale, factor, step) for step in range(_finite(buckets) + 1))
        case _:
            found = ()
    if len(found) > MOST_BUCKETS or any(high <= low for low, high in pairwise(found)):
        raise bad(
            "Field timeSeries.points.value.distributionValue.bucketOptions had an invalid value: the buckets "
            f"must begin at growing numbers, and be at most {MOST_BUCKETS}."
        )
    return found


def _finite(buckets: Json) -> int:
    return max(0, min(int(buckets.get("numFiniteBuckets") or 0), MOST_BUCKETS))


def _power(scale: float, factor: float, step: int) -> float:
    try:
        return scale * factor**step
    except OverflowError:
        return float("inf")
