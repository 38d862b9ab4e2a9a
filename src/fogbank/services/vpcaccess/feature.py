"""Serverless VPC Access: a connector is a hub and a few forwarding machines with addresses in its /28.

An instance's second interface leads to the hub, which spreads flows over the machines; each sends them on
with its own address, held to the rate of its machine type in both directions. The VPC sees ordinary
endpoints. While anybody still uses a connector that is gone, its hub silently drops what comes
(https://cloud.google.com/vpc/docs/configure-serverless-vpc-access#delete).
"""

from collections.abc import Iterator
from ipaddress import IPv4Interface

from fogbank.lowering.endpoints import Endpoint, tag_mark
from fogbank.lowering.feature import (
    Contribution,
    Feature,
    Find,
    Interface,
    Membership,
    NetworkContext,
    Source,
)
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import ETH0, ETH1, LOOPBACK, connector_netns, device_to, hub_netns
from fogbank.lowering.routes import endpoint_routes
from fogbank.lowering.vpc import interface, ranges
from fogbank.network.addressing import (
    ANYWHERE,
    CONNECTOR_ROUTER,
    FABRIC_INSTANCES,
    HUB_ROUTER,
    LINK_LOCAL,
)
from fogbank.network.topology import (
    Address,
    Element,
    Hop,
    Link,
    NetnsName,
    NetworkNamespace,
    Port,
    Route,
    Shaper,
    SourceNat,
)
from fogbank.resources.compute import Subnetwork
from fogbank.resources.fleet import Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.vpcaccess import CONNECTORS, Connector, read_connector
from fogbank.resources.world import Resource


class Connectors(Feature):
    """Connectors and their machines."""

    resources = frozenset({CONNECTORS})

    def contribution(self, source: Source, find: Find) -> Contribution:
        """Give a connector's machines interfaces in its range."""
        del find
        if isinstance(source, Instance):
            return Contribution()
        connector = read_connector(source)
        memberships = (_membership(connector),) if _runs(connector) else ()
        return Contribution(memberships, shared=(connector.name,))

    def inside(
        self, source: Source, network: NetworkContext, endpoints: tuple[Endpoint, ...]
    ) -> Fragment | None:
        """Lower a connector's machines."""
        if isinstance(source, Instance):
            return None
        connector = read_connector(source)
        return Fragment.of(_elements(connector, network, endpoints), connector.name)

    def shared(
        self, name: ResourceName, resource: Resource | None, endpoints: tuple[Endpoint, ...]
    ) -> Fragment:
        """Lower the hub of a connector; without machines it silently drops what comes."""
        del resource
        return Fragment.of(_hub(hub_netns(name), endpoints), name)


FEATURES: tuple[Feature, ...] = (Connectors(),)


def _runs(connector: Connector) -> bool:
    return connector.state != "ERROR" and connector.instances > 0


def _membership(connector: Connector) -> Membership:
    marks = frozenset(map(tag_mark, connector.tags))
    return Membership(
        connector.network,
        subnetworks=() if connector.subnet else (_hidden(connector),),
        interfaces=tuple(
            Interface(
                connector_netns(connector.name, number),
                connector.region,
                marks,
                connector.name,
                within=connector.range,
            )
            for number in range(connector.instances)
        ),
    )


def _hidden(connector: Connector) -> Subnetwork:
    """Make the subnetwork that Google keeps for a connector whose user named none."""
    name, region = connector.name, connector.region
    path = f"projects/{name.project}/regions/{region}/subnetworks/aet-{region}-{name.id}"
    return Subnetwork(
        ResourceName("compute.subnetworks", path),
        connector.network,
        region,
        connector.range,
        connector.range[1],
        "PRIVATE",
    )


def _hub(hub: NetnsName, machines: tuple[Endpoint, ...]) -> Iterator[Element]:
    yield NetworkNamespace(hub, forwards=True)
    yield Address(Port(hub, LOOPBACK), IPv4Interface(HUB_ROUTER))
    yield Route(hub, LINK_LOCAL, ())
    yield Route(hub, ANYWHERE, tuple(Hop(device_to(each.address), CONNECTOR_ROUTER) for each in machines))


def _elements(
    connector: Connector, network: NetworkContext, endpoints: tuple[Endpoint, ...]
) -> Iterator[Element]:
    if not connector.subnet:
        yield from ranges(network.name, connector.range[1], (connector.range,))
    for endpoint in endpoints:
        yield from _machine(endpoint, connector)
        yield from interface(endpoint, network.mtu)
        yield from endpoint_routes(network.routes, endpoint)


def _machine(endpoint: Endpoint, connector: Connector) -> Iterator[Element]:
    netns, hub = endpoint.netns, hub_netns(connector.name)
    yield NetworkNamespace(netns, forwards=True)
    yield Link(Port(hub, device_to(endpoint.address)), Port(netns, ETH0))
    yield Address(Port(netns, LOOPBACK), IPv4Interface(CONNECTOR_ROUTER))
    yield Route(netns, FABRIC_INSTANCES, (Hop(ETH0, HUB_ROUTER),))
    yield SourceNat(netns, ETH1, FABRIC_INSTANCES, endpoint.address)
    for device in (ETH0, ETH1):
        yield Shaper(Port(netns, device), connector.rate)
