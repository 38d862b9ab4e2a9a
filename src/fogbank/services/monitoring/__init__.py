"""Cloud Monitoring (``monitoring.googleapis.com``): series that the region or clients measured.

Dashboards, alerts, uptime checks and services are refused by their names.
"""

from collections.abc import Iterable
from typing import Protocol

from fogbank.errors import ApiError
from fogbank.resources.projects import project_id
from fogbank.resources.time_series import Key, Kind
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call, List, Live, Method, Read, Service
from fogbank.services.monitoring.metrics import METRICS, RESOURCES, descriptor, resource_descriptor
from fogbank.services.monitoring.time_series import create_series, create_service_series, list_series


class Known(Protocol):
    """What there are series of."""

    def keys(self, project: str) -> dict[Key, Kind]:
        """Return what the series of a project are about."""
        ...


def _project(world: World, call: Call) -> str:
    return project_id(world, call["name"].split("/")[1])


async def _list_metrics(known: Known, world: World, call: Call) -> Json:
    """List the descriptors of the region's metrics and of those that clients wrote."""
    project = _project(world, call)
    shown = {name: descriptor(project, metric) for name, metric in METRICS.items()}
    for key, kind in known.keys(project).items():
        own = {
            "name": f"projects/{project}/metricDescriptors/{key.metric}",
            "type": key.metric,
            "metricKind": kind,
            "labels": [{"key": name} for name, _ in key.metric_labels],
        }
        shown.setdefault(key.metric, own)
    wanted = _of_type(str(call.parameters.get("filter") or ""))
    found = [each for name, each in sorted(shown.items()) if wanted in name]
    return {"metricDescriptors": found} if found else {}


def _of_type(text: str) -> str:
    """Read which metric a list is asked for: ``metric.type = "x"`` or ``starts_with("x")``, or all."""
    return text.split('"')[1] if text.count('"') >= 2 else ""


def _get_metric(world: World, call: Call) -> Json:
    name = call["name"].partition("/metricDescriptors/")[2]
    if name not in METRICS:
        message = f"Could not find descriptor for metric '{name}'."
        raise ApiError(404, message, "NOT_FOUND", "notFound")
    return descriptor(_project(world, call), METRICS[name])


def _list_resources(world: World, call: Call) -> Iterable[Json]:
    project = _project(world, call)
    return [resource_descriptor(project, kind) for kind in sorted(RESOURCES)]


def _get_resource(world: World, call: Call) -> Json:
    kind = call["name"].partition("/monitoredResourceDescriptors/")[2]
    if kind not in RESOURCES:
        message = f"Could not find descriptor for resource '{kind}'."
        raise ApiError(404, message, "NOT_FOUND", "notFound")
    return resource_descriptor(_project(world, call), kind)


_DESCRIPTORS = "projects.monitoredResourceDescriptors"
METHODS: dict[str, Method] = {
    "projects.timeSeries.list": Live(list_series, "monitoring.timeSeries.list"),
    "projects.timeSeries.create": Live(create_series, "monitoring.timeSeries.create"),
    "projects.timeSeries.createService": Live(create_service_series, "monitoring.timeSeries.create"),
    "projects.metricDescriptors.list": Live(_list_metrics, "monitoring.metricDescriptors.list"),
    "projects.metricDescriptors.get": Read(_get_metric, "monitoring.metricDescriptors.get"),
    f"{_DESCRIPTORS}.list": List(
        _list_resources, "resourceDescriptors", permission="monitoring.monitoredResourceDescriptors.list"
    ),
    f"{_DESCRIPTORS}.get": Read(_get_resource, "monitoring.monitoredResourceDescriptors.get"),
}

SERVICE = Service(
    name="monitoring",
    title="Cloud Monitoring API",
    versions=("v3",),
    methods=METHODS,
    operations="none",
)
