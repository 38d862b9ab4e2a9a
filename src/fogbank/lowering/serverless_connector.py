"""Serverless VPC Access: a connector is a hub and a few forwarding machines with addresses in its /28.

An instance's second interface leads to the hub, which spreads flows over the machines; each sends them on
with its own address, held to the rate of its machine type in both directions. The VPC sees ordinary
endpoints. When the connector of a revision is gone, what should go to the VPC dies without a word.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.lowering.endpoints import Endpoint, tag_mark
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.memoize import memoized
from fogbank.lowering.netns_names import (
    ETH0,
    ETH1,
    LOOPBACK,
    connector_netns,
    device_to,
    hub_netns,
    instance_netns,
)
from fogbank.lowering.routes import StaticRoutes, endpoint_routes
from fogbank.lowering.vpc import interface, ranges, read_mtu
from fogbank.network.addressing import (
    ANYWHERE,
    CONNECTOR_ROUTER,
    FABRIC_INSTANCES,
    HUB_ROUTER,
    LINK_LOCAL,
    fabric_address,
    first_free,
    host,
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
from fogbank.resources.vpcaccess import Connector, read_connector
from fogbank.resources.world import Resource


@dataclass(frozen=True, slots=True)
class RunningConnector:
    """A connector that has machines: ``endpoints`` are their interfaces in the VPC, in order."""

    connector: Connector
    endpoints: tuple[Endpoint, ...]

    @property
    def addresses(self) -> tuple[IPv4Address, ...]:
        return tuple(endpoint.address for endpoint in self.endpoints)

    @property
    def hidden(self) -> Subnetwork | None:
        """The subnetwork that Google keeps for a connector whose user named none (SEMANTICS 4.1)."""
        if self.connector.subnet:
            return None
        name, region, within = self.connector.name, self.connector.region, self.connector.range
        path = f"projects/{name.project}/regions/{region}/subnetworks/aet-{region}-{name.id}"
        return Subnetwork(
            ResourceName("compute.subnetworks", path),
            self.connector.network,
            region,
            within,
            within[1],
            "PRIVATE",
            private_google_access=False,
        )


@memoized
def network_of(resource: Resource) -> ResourceName:
    """Name the network that a connector leads to."""
    return read_connector(resource).network


@memoized
def running_connector(resource: Resource) -> RunningConnector | None:
    """Read a connector and place its machines; None when it has none."""
    connector = read_connector(resource)
    if connector.state == "ERROR" or not connector.instances:
        return None
    marks = frozenset(map(tag_mark, connector.tags))
    addresses = first_free(connector.range, frozenset(), connector.instances)
    return RunningConnector(
        connector,
        tuple(
            Endpoint(
                connector_netns(connector.name, number),
                connector.network,
                connector.region,
                address,
                marks,
                connector.name,
            )
            for number, address in enumerate(addresses)
        ),
    )


@lru_cache(maxsize=4096)
def hub_fragment(connector: ResourceName, machines: tuple[IPv4Address, ...]) -> Fragment:
    """Lower a connector's hub over the ``machines`` at these addresses; without any, what comes there dies.

    So a connector that was deleted while revisions use it keeps a hub, and nothing answers (SEMANTICS 4.3).
    """
    return Fragment.of(_hub(hub_netns(connector), machines), connector)


def _hub(hub: NetnsName, machines: tuple[IPv4Address, ...]) -> Iterator[Element]:
    yield NetworkNamespace(hub, forwards=True)
    yield Address(Port(hub, LOOPBACK), IPv4Interface(HUB_ROUTER))
    yield Route(hub, LINK_LOCAL, ())
    yield Route(hub, ANYWHERE, tuple(Hop(device_to(each), CONNECTOR_ROUTER) for each in machines))


@memoized
def connector_fragment(resource: Resource, network: Resource, table: StaticRoutes) -> Fragment:
    """Lower a connector's machines; ``table`` is its network's."""
    found = running_connector(resource)
    return Fragment.of(_elements(found, read_mtu(network), table) if found else (), resource.name)


def _elements(found: RunningConnector, mtu: int, table: StaticRoutes) -> Iterator[Element]:
    connector = found.connector
    if found.hidden:
        yield from ranges(connector.network, found.hidden.gateway, (connector.range,))
    for endpoint in found.endpoints:
        yield from _machine(endpoint, connector)
        yield from interface(endpoint, mtu)
        yield from endpoint_routes(table, endpoint)


def _machine(endpoint: Endpoint, connector: Connector) -> Iterator[Element]:
    netns, hub = endpoint.netns, hub_netns(connector.name)
    yield NetworkNamespace(netns, forwards=True)
    yield Link(Port(hub, device_to(endpoint.address)), Port(netns, ETH0))
    yield Address(Port(netns, LOOPBACK), IPv4Interface(CONNECTOR_ROUTER))
    yield Route(netns, FABRIC_INSTANCES, (Hop(ETH0, HUB_ROUTER),))
    yield SourceNat(netns, ETH1, FABRIC_INSTANCES, endpoint.address)
    for device in (ETH0, ETH1):
        yield Shaper(Port(netns, device), connector.rate)


def vpc_egress(
    instance: Instance, connector: ResourceName, destinations: Iterable[IPv4Network]
) -> Iterator[Element]:
    """Lower an instance's second interface, which takes ``destinations`` to the connector's hub."""
    netns, hub = instance_netns(instance.id), hub_netns(connector)
    address = fabric_address(instance.fabric.index)
    yield Link(Port(hub, device_to(address)), Port(netns, ETH1))
    yield Route(hub, host(address), (Hop(device_to(address)),))
    for destination in destinations:
        yield Route(netns, destination, (Hop(ETH1, HUB_ROUTER),), address)
