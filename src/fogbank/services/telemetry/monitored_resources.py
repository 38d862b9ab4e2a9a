"""Which monitored resource OTLP's attributes describe (behaviour/telemetry.md#resources)."""

from collections.abc import Mapping
from typing import Any

from fogbank.resources.world import Json
from fogbank.services.telemetry.attributes import text

_CLOUD_RUN = "gcp_cloud_run"


def of_entry(project: str, about: Mapping[str, Any]) -> Json:
    """Return the resource of a log entry."""
    place = text(about.get("cloud.region") or about.get("cloud.availability_zone") or "global")
    if about.get("cloud.platform") == _CLOUD_RUN:
        labels = {
            "location": place,
            "service_name": text(about.get("faas.name")),
            "revision_name": text(about.get("faas.version")),
            "configuration_name": text(about.get("faas.name")),
        }
        return _resource("cloud_run_revision", project, labels)
    if about.get("service.name"):
        labels = {
            "location": place,
            "namespace": text(about.get("service.namespace")),
            "job": text(about["service.name"]),
            "task_id": text(about.get("service.instance.id")),
        }
        return _resource("generic_task", project, labels)
    labels = {"location": place, "namespace": "", "node_id": text(about.get("host.id"))}
    return _resource("generic_node", project, labels)


def of_metric(project: str, about: Mapping[str, Any]) -> Json:
    """Return the resource of a metric: a target of Prometheus, whose names metrics get as well."""
    name, space = text(about.get("service.name")), text(about.get("service.namespace"))
    labels = {
        "location": text(about.get("cloud.region") or about.get("cloud.availability_zone") or "global"),
        "cluster": text(about.get("k8s.cluster.name")),
        "namespace": text(about.get("k8s.namespace.name")) or space,
        "job": f"{space}/{name}" if space else name,
        "instance": text(
            about.get("service.instance.id") or about.get("faas.instance") or about.get("host.id")
        ),
    }
    return _resource("prometheus_target", project, labels)


def _resource(kind: str, project: str, labels: Mapping[str, str]) -> Json:
    return {"type": kind, "labels": {"project_id": project, **labels}}
