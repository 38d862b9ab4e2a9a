"""Control planes on the region's internet: a namespace for each cluster, with the cluster's endpoint.

Google runs them in networks of its own. Beside the endpoint there is only a loopback, where Kubernetes asks
the region who callers are and what they may do (``app.cluster_access``).
"""

from collections.abc import Iterator
from ipaddress import IPv4Interface

from fogbank.lowering.feature import Feature, Source
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import ETH0, INTERNET, device_to, instance_netns
from fogbank.lowering.workloads import containers
from fogbank.network.addressing import ANYWHERE, INTERNET_ROUTER, host
from fogbank.network.topology import Address, Element, Hop, Link, Listener, NetworkNamespace, Port, Route
from fogbank.resources.clusters import ACCESS_ADDRESS, ACCESS_PORT, CLUSTERS, Cluster
from fogbank.resources.fleet import Instance

ACCESS_SERVICE = "cluster-access"


class ControlPlanes(Feature):
    """The places of control planes, and the containers that run in them."""

    resources = instances = frozenset({CLUSTERS})

    def outside(self, source: Source) -> Fragment | None:
        """Lower a place, which is there as long as the cluster is, or what runs in it."""
        if isinstance(source, Instance):
            return Fragment.of(containers(source), source.owner)
        cluster = Cluster.of(source)
        return Fragment.of(_place(cluster), cluster.name)


def _place(cluster: Cluster) -> Iterator[Element]:
    netns, device = instance_netns(cluster.server), device_to(cluster.endpoint)
    yield NetworkNamespace(netns)
    yield Link(Port(INTERNET, device), Port(netns, ETH0))
    yield Address(Port(netns, ETH0), IPv4Interface(cluster.endpoint))
    yield Route(netns, ANYWHERE, (Hop(ETH0, INTERNET_ROUTER),), cluster.endpoint)
    yield Route(INTERNET, host(cluster.endpoint), (Hop(device),))
    yield Listener(netns, ACCESS_ADDRESS, ACCESS_PORT, "tcp", ACCESS_SERVICE)


FEATURES: tuple[Feature, ...] = (ControlPlanes(),)
