"""The metrics that the region measures, with their descriptors (behaviour/monitoring.md#metrics)."""

from collections.abc import Mapping
from dataclasses import dataclass

from fogbank.resources.world import Json


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: ``labels`` are its own, ``resource`` the type of the monitored resource that it is of."""

    type: str
    kind: str
    value_type: str
    unit: str
    name: str
    labels: tuple[str, ...]
    resource: str


_REVISION, _CONNECTOR, _GATEWAY = "cloud_run_revision", "vpc_access_connector", "nat_gateway"
_INSTANCE = "gce_instance"
_RUN, _VPCACCESS, _NAT = (
    "run.googleapis.com/",
    "vpcaccess.googleapis.com/connector/",
    "router.googleapis.com/nat/",
)

_COMPUTE = "compute.googleapis.com/"

_DROPPED = ("ip_protocol", "reason")
_NAMED = ("instance_name",)
_OF_GATEWAY = ("nat_project_number", "router_id", "nat_gateway_name")
_CODES = ("response_code", "response_code_class")

METRICS: Mapping[str, Metric] = {
    each.type: each
    for each in (
        Metric(f"{_RUN}request_count", "DELTA", "INT64", "1", "Request Count", _CODES, _REVISION),
        Metric(f"{_RUN}request_latencies", "DELTA", "DISTRIBUTION", "ms", "Latency", _CODES, _REVISION),
        Metric(f"{_RUN}container/instance_count", "GAUGE", "INT64", "1", "Instances", ("state",), _REVISION),
        Metric(f"{_VPCACCESS}instances", "GAUGE", "INT64", "1", "Instances", (), _CONNECTOR),
        Metric(f"{_VPCACCESS}sent_bytes_count", "DELTA", "INT64", "By", "Sent bytes", (), _CONNECTOR),
        Metric(f"{_VPCACCESS}received_bytes_count", "DELTA", "INT64", "By", "Received bytes", (), _CONNECTOR),
        *(
            Metric(
                f"{_VPCACCESS}{way}_packets_count", "DELTA", "INT64", "1", f"{way} packets", (), _CONNECTOR
            )
            for way in ("sent", "received")
        ),
        *(
            Metric(
                f"{_COMPUTE}instance/network/{way}_{what}_count",
                "DELTA",
                "INT64",
                unit,
                f"{way} {what}",
                (*_NAMED, "loadbalanced"),
                _INSTANCE,
            )
            for way in ("sent", "received")
            for what, unit in (("bytes", "By"), ("packets", "1"))
        ),
        Metric(
            f"{_COMPUTE}firewall/dropped_packets_count",
            "DELTA",
            "INT64",
            "1",
            "Dropped packets",
            _NAMED,
            _INSTANCE,
        ),
        *(
            Metric(f"{_COMPUTE}nat/{name}", "GAUGE", "INT64", "1", name, (*_OF_GATEWAY, label), _INSTANCE)
            for name, label in (
                ("allocated_ports", "nat_ip"),
                ("open_connections", "ip_protocol"),
                ("port_usage", "ip_protocol"),
            )
        ),
        Metric(
            f"{_NAT}dropped_received_packets_count", "DELTA", "INT64", "1", "Received drops", (), _GATEWAY
        ),
        Metric(f"{_NAT}allocated_ports", "GAUGE", "INT64", "1", "Allocated ports", ("nat_ip",), _GATEWAY),
        Metric(f"{_NAT}open_connections", "GAUGE", "INT64", "1", "Connections", ("ip_protocol",), _GATEWAY),
        Metric(f"{_NAT}port_usage", "GAUGE", "INT64", "1", "Port usage", ("ip_protocol",), _GATEWAY),
        Metric(
            f"{_NAT}dropped_sent_packets_count",
            "DELTA",
            "INT64",
            "1",
            "Drops",
            ("ip_protocol", "reason"),
            _GATEWAY,
        ),
        Metric(f"{_NAT}nat_allocation_failed", "GAUGE", "BOOL", "1", "Allocation failed", (), _GATEWAY),
    )
}

RESOURCES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    _REVISION: (
        "Cloud Run Revision",
        ("project_id", "location", "service_name", "configuration_name", "revision_name"),
    ),
    _CONNECTOR: ("Serverless VPC Access Connector", ("project_id", "location", "connector_name")),
    _GATEWAY: ("NAT Gateway", ("project_id", "region", "router_id", "gateway_name")),
    _INSTANCE: ("VM Instance", ("project_id", "instance_id", "zone")),
    "global": ("Global", ("project_id",)),
}
"""The monitored resources: their display names and labels."""


def descriptor(project: str, metric: Metric) -> Json:
    """Show a metric's descriptor."""
    return {
        "name": f"projects/{project}/metricDescriptors/{metric.type}",
        "type": metric.type,
        "metricKind": metric.kind,
        "valueType": metric.value_type,
        "unit": metric.unit,
        "displayName": metric.name,
        "labels": [{"key": each} for each in metric.labels],
        "monitoredResourceTypes": [metric.resource],
        "launchStage": "GA",
        "metadata": {"samplePeriod": "60s"},
    }


def resource_descriptor(project: str, kind: str) -> Json:
    """Show a monitored resource's descriptor."""
    name, labels = RESOURCES[kind]
    return {
        "name": f"projects/{project}/monitoredResourceDescriptors/{kind}",
        "type": kind,
        "displayName": name,
        "labels": [{"key": each} for each in labels],
    }
