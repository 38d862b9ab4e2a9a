"""Time series: list what was measured, write what clients measure (behaviour/monitoring.md#time-series)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from fogbank.errors import not_built
from fogbank.resources.log_entries import nanoseconds, time_of, time_text
from fogbank.resources.projects import project_id
from fogbank.resources.time_series import Distribution, Key, Kind, Point, Series, Value, labels
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.monitoring.aggregation import Aggregation, aggregate, bad
from fogbank.services.monitoring.distributions import read_distribution
from fogbank.services.monitoring.filters import parse_filter
from fogbank.services.monitoring.metrics import METRICS

MOST_WRITTEN = 200
"""Series of one call of ``timeSeries.create`` (Cloud Monitoring's quotas)."""
LARGEST_PAGE = 100_000
OWN = ("custom.googleapis.com/", "workload.googleapis.com/", "external.googleapis.com/")


class Measured(Protocol):
    """Where series are."""

    def find(self, project: str, keep: Callable[[Key], bool], start: float, end: float) -> Iterator[Series]:
        """List series."""
        ...

    def append(self, key: Key, kind: Kind, point: Point) -> None:
        """Add a point; ValueError when it does not fit."""
        ...


async def list_series(measured: Measured, world: World, call: Call) -> Json:
    """List series with their points, the newest first."""
    query = call.parameters
    text = str(query.get("filter") or "")
    if "metric.type" not in text:
        raise bad("Field filter had an invalid value: it must say which metric.type is meant.")
    if any(name.startswith("secondaryAggregation") for name in query):
        raise not_built("secondaryAggregation")
    keep, (start, end) = parse_filter(text), _interval(query)
    wanted = Aggregation(
        float(str(query.get("aggregation.alignmentPeriod") or "60s").removesuffix("s")),
        str(query.get("aggregation.perSeriesAligner") or "ALIGN_NONE").removeprefix("ALIGN_"),
        str(query.get("aggregation.crossSeriesReducer") or "REDUCE_NONE").removeprefix("REDUCE_"),
        tuple(query.get("aggregation.groupByFields") or ()),
    )
    project = project_id(world, call["name"].split("/")[1])
    found = aggregate(measured.find(project, keep, start, end), wanted, start, end)
    bare = query.get("view") == "HEADERS"
    return _page([_shown(each, bare=bare) for each in found], query)


def _page(shown: list[Json], query: Mapping[str, Any]) -> Json:
    size = min(int(query.get("pageSize") or LARGEST_PAGE), LARGEST_PAGE)
    token = str(query.get("pageToken") or "")
    try:
        first = int(urlsafe_b64decode(token.encode())) if token else 0
    except ValueError as error:
        raise bad("Field pageToken had an invalid value.") from error
    page = shown[max(first, 0) :][: max(size, 0)]
    answer: Json = {"timeSeries": page} if page else {}
    if first + size < len(shown):
        answer["nextPageToken"] = urlsafe_b64encode(str(first + size).encode()).decode()
    return answer


def _interval(query: Mapping[str, Any]) -> tuple[float, float]:
    if not query.get("interval.endTime"):
        raise bad("Field interval.endTime had an invalid value: it must be set.")
    end = nanoseconds(str(query["interval.endTime"])) / 1e9
    start = nanoseconds(str(query.get("interval.startTime") or query["interval.endTime"])) / 1e9
    if start > end:
        raise bad("Field interval.startTime had an invalid value: it must not be after the end time.")
    return start, end


def _shown(series: Series, *, bare: bool) -> Json:
    key = series.key
    shown: Json = {
        "metric": {"type": key.metric, "labels": dict(key.metric_labels)},
        "resource": {"type": key.resource, "labels": dict(key.resource_labels)},
        "metricKind": series.kind,
        "valueType": _type(series.points[0].value),
    }
    if key.metric in METRICS and not bare:
        shown["unit"] = METRICS[key.metric].unit
    if not bare:
        shown["points"] = [_point(each) for each in reversed(series.points)]
    return shown


def _point(point: Point) -> Json:
    interval = {"startTime": _time(point.start), "endTime": _time(point.end)}
    return {"interval": interval, "value": _value(point.value)}


def _time(seconds: float) -> str:
    return time_text(round(seconds * 1e6) * 1000)


def _type(value: Value) -> str:
    match value:
        case bool():
            return "BOOL"
        case int():
            return "INT64"
        case float():
            return "DOUBLE"
        case str():
            return "STRING"
        case Distribution():
            return "DISTRIBUTION"


def _value(value: Value) -> Json:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"int64Value": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case Distribution():
            return {
                "distributionValue": {
                    "count": str(value.count),
                    "mean": value.mean,
                    "bucketOptions": {"explicitBuckets": {"bounds": list(value.bounds)}},
                    "bucketCounts": [str(each) for each in value.counts],
                }
            }


async def create_series(measured: Measured, world: World, call: Call) -> Json:
    """Write one point to each of up to 200 series of the client's own metrics."""
    return _create(measured, world, call, own=True)


async def create_service_series(measured: Measured, world: World, call: Call) -> Json:
    """Write one point to each of up to 200 series of a service of Google's, as its client libraries do.

    Spanner's libraries report their latencies so, unasked.
    """
    return _create(measured, world, call, own=False)


def _create(measured: Measured, world: World, call: Call, *, own: bool) -> Json:
    written = call.body.get("timeSeries") or ()
    if not 0 < len(written) <= MOST_WRITTEN:
        raise bad(f"Field timeSeries must have from 1 to {MOST_WRITTEN} elements.")
    project = project_id(world, call["name"].split("/")[1])
    for number, each in enumerate(written):
        _check_type(str((each.get("metric") or {}).get("type", "")), own=own)
        key, kind, point = _written(project, call, each)
        try:
            measured.append(key, kind, point)
        except ValueError as error:
            raise bad(
                f"One or more TimeSeries could not be written: timeSeries[{number}]: {error}."
            ) from error
    return {}


def _check_type(metric: str, *, own: bool) -> None:
    if own and not metric.startswith(OWN):
        raise bad(f"The metric type must start with one of {', '.join(OWN)}.")
    if not own and (metric.startswith(OWN) or ".googleapis.com/" not in metric):
        raise bad("The metric type must be one of a Google Cloud service.")


def _written(project: str, call: Call, series: Json) -> tuple[Key, Kind, Point]:
    metric, resource = series.get("metric") or {}, series.get("resource") or {"type": "global"}
    kind: Kind = series.get("metricKind") or "GAUGE"
    points: list[Json] = list(series.get("points") or ())
    if len(points) != 1:
        raise bad("Field timeSeries.points must have one element.")
    if kind not in {"GAUGE", "CUMULATIVE"}:
        raise bad("Field timeSeries.metricKind must be GAUGE or CUMULATIVE.")
    interval = points[0].get("interval") or {}
    end = nanoseconds(interval["endTime"]) / 1e9 if interval.get("endTime") else time_of(call.now) / 1e9
    start = nanoseconds(interval["startTime"]) / 1e9 if interval.get("startTime") else end
    if end > time_of(call.now) / 1e9 + 300:
        raise bad("Data points cannot be written more than 5 minutes in the future.")
    value = _read_value(points[0].get("value") or {})
    place = {"project_id": project, **(resource.get("labels") or {})}
    key = Key(project, metric["type"], labels(metric.get("labels") or {}), resource["type"], labels(place))
    return key, kind, Point(start, end, value)


def _read_value(value: Json) -> Value:
    match value:
        case {"boolValue": bool(truth)}:
            return truth
        case {"int64Value": number}:
            return int(number)
        case {"doubleValue": number}:
            return float(number)
        case {"stringValue": str(text)}:
            return text
        case {"distributionValue": distribution}:
            return read_distribution(distribution)
        case _:
            raise bad(
                "Field timeSeries.points.value must be a bool, an int64, a double, a string or a "
                "distribution."
            )
