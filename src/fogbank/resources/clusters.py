"""Clusters of Kubernetes Engine, read from their stored JSON; what several layers ask about them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World

CLUSTERS = "container.clusters"
ACCESS_ADDRESS, ACCESS_PORT = IPv4Address("127.0.0.1"), 8180
"""Where a control plane asks about its callers."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster whose control plane answers at ``endpoint``; ``server`` is its container's id.

    ``services`` is the range of ClusterIPs. ``operation`` is the path of what waits for the control plane,
    ``deleting`` of what waits for its end; each is empty when nothing does.
    """

    name: ResourceName
    status: str
    endpoint: IPv4Address
    services: IPv4Network
    server: str
    operation: str
    deleting: str

    @classmethod
    def of(cls, resource: Resource) -> "Cluster":
        """Read a stored cluster."""
        body, private = resource.body, resource.private
        return cls(
            resource.name,
            body["status"],
            IPv4Address(private["endpoint"]),
            IPv4Network(body["servicesIpv4Cidr"]),
            control_plane_id(resource.id),
            str(private.get("operation", "")),
            str(private.get("deleting", "")),
        )

    @property
    def issuer(self) -> str:
        """Who the cluster's service account tokens are from: its own URL, as at Google."""
        return f"https://container.googleapis.com/v1/{self.name.path}"


def control_plane_id(number: int) -> str:
    """Name the control plane of the cluster with the id ``number``."""
    return f"container-{number:x}"


def _endpoint(cluster: Resource) -> Iterable[str]:
    return (str(cluster.private["endpoint"]),)


_BY_ENDPOINT = Index(CLUSTERS, _endpoint)


def endpoints_of_clusters(world: World) -> Iterator[str]:
    """List the external addresses of all control planes, as text."""
    return (address for address, _ in world.ordered(_BY_ENDPOINT))


def _control_plane(cluster: Resource) -> Iterable[str]:
    return (control_plane_id(cluster.id),)


_BY_CONTROL_PLANE = Index(CLUSTERS, _control_plane)


def cluster_of_control_plane(world: World, identifier: str) -> Resource | None:
    """Find the cluster whose control plane has this id."""
    return next(world.by(_BY_CONTROL_PLANE, identifier), None)
