"""Metrics by OTLP become time series of Cloud Monitoring (behaviour/telemetry.md#metrics).

What cannot be a point of a series is counted and told in ``partialSuccess``, and the others are written.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from fogbank.resources.time_series import Distribution, Key, Kind, Point, Value, labels
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.telemetry.attributes import (
    attributes,
    integer,
    items,
    moment,
    number,
    resource_of,
    text,
)
from fogbank.services.telemetry.monitored_resources import of_metric

_CUMULATIVE = (2, "AGGREGATION_TEMPORALITY_CUMULATIVE")


class SeriesWriter(Protocol):
    """Where series are written."""

    def append(self, key: Key, kind: Kind, point: Point) -> None:
        """Add a point; ValueError when it does not fit."""
        ...


class Stores(Protocol):
    """What a region keeps of measurements."""

    @property
    def time_series(self) -> SeriesWriter:
        """The series of all projects."""
        ...


async def export(stores: Stores, world: World, call: Call) -> Json:
    """Write the points of a request, those that fit."""
    rejected, why = 0, ""
    for each in items(call.body.get("resourceMetrics"), "resourceMetrics"):
        project, about = resource_of(world, each)
        for scope in items(each.get("scopeMetrics"), "scopeMetrics"):
            for metric in items(scope.get("metrics"), "metrics"):
                for name, kind, body in _points(metric):
                    try:
                        point = _point(kind, body)
                        stores.time_series.append(_key(project, about, name, body), kind, point)
                    except ValueError as error:
                        rejected, why = rejected + 1, f"{name}: {error}"
    if not rejected:
        return {}
    return {"partialSuccess": {"rejectedDataPoints": str(rejected), "errorMessage": why}}


def _points(metric: Json) -> Iterator[tuple[str, Kind, Json]]:
    """List the points of a metric, with the type and the kind that Cloud Monitoring gives them."""
    name = f"prometheus.googleapis.com/{metric.get('name', '')}"
    for field, body in metric.items():
        if field not in {"gauge", "sum", "histogram", "exponentialHistogram", "summary"}:
            continue
        for point in items(body.get("dataPoints"), f"{field}.dataPoints"):
            if field == "gauge" or (field == "sum" and not body.get("isMonotonic")):
                yield f"{name}/gauge", "GAUGE", point
            elif field == "sum":
                yield f"{name}/counter", "CUMULATIVE", _checked(body, point)
            else:
                yield f"{name}/histogram", "CUMULATIVE", _checked(body, point, field)


def _checked(body: Json, point: Json, field: str = "histogram") -> Json:
    """Mark a point that is not written, because its metric is of a kind that is not."""
    if field != "histogram":
        return point | {"refused": f"points of the kind {field} are not supported"}
    if body.get("aggregationTemporality") not in _CUMULATIVE:
        return point | {"refused": "points of delta temporality are not supported; export cumulative ones"}
    return point


def _point(kind: Kind, body: Json) -> Point:
    """Read a point; ValueError when it cannot be written."""
    if "refused" in body:
        raise ValueError(body["refused"])
    end = moment(body.get("timeUnixNano"), "timeUnixNano") / 1e9
    start = moment(body.get("startTimeUnixNano"), "startTimeUnixNano") / 1e9
    if kind == "GAUGE":
        return Point(end, end, _value(body))
    if not start or start > end:
        raise ValueError("a point that counts from a start needs one that is not after its end")
    return Point(start, end, _value(body))


def _value(body: Json) -> Value:
    if "asInt" in body:
        return integer(body["asInt"], "asInt")
    if "asDouble" in body:
        return number(body["asDouble"], "asDouble")
    count = integer(body.get("count"), "count")
    bounds = tuple(number(each, "explicitBounds") for each in body.get("explicitBounds") or ())
    counts = tuple(integer(each, "bucketCounts") for each in body.get("bucketCounts") or (count,))
    if len(counts) != len(bounds) + 1 or sum(counts) != count:
        raise ValueError("a histogram needs a count for each bucket, and their sum as its count")
    mean = number(body.get("sum") or 0, "sum") / count if count else 0.0
    return Distribution(count, mean, counts, bounds)


def _key(project: str, about: Mapping[str, Any], name: str, body: Json) -> Key:
    own = {key: text(value) for key, value in attributes(body).items()}
    target = of_metric(project, about)
    return Key(project, name, labels(own), target["type"], labels(target["labels"]))
