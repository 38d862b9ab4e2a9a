"""Kubernetes Engine (``container.googleapis.com``): clusters with a real control plane each."""

from fogbank.services.container import clusters, node_pools, operations, server_config
from fogbank.services.contract import List, Read, Service, Write

_AT = "projects.locations"

SERVICE = Service(
    name="container",
    title="Kubernetes Engine API",
    versions=("v1", "v1beta1"),
    methods={
        f"{_AT}.clusters.create": Write(clusters.create, "container.clusters.create"),
        f"{_AT}.clusters.get": Read(clusters.get, "container.clusters.get"),
        f"{_AT}.clusters.list": Read(clusters.list_, "container.clusters.list"),
        f"{_AT}.clusters.delete": Write(clusters.delete, "container.clusters.delete"),
        f"{_AT}.clusters.setResourceLabels": Write(clusters.set_labels, "container.clusters.update"),
        f"{_AT}.clusters.nodePools.get": Read(node_pools.get, "container.clusters.get"),
        f"{_AT}.clusters.nodePools.list": Read(node_pools.list_, "container.clusters.get"),
        f"{_AT}.operations.get": Read(operations.get, "container.operations.get"),
        f"{_AT}.operations.list": List(
            operations.list_, "operations", permission="container.operations.list"
        ),
        f"{_AT}.getServerConfig": Read(server_config.get, "container.clusters.list"),
    },
    errors="status",
    operations="none",
)
