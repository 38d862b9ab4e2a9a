"""Cloud Run's instances: a machine in the serverless fabric, its way to a VPC network, and its containers.

With a connector the second interface leads to the connector's hub. With Direct VPC egress it is an interface
of the instance's own in the network; nothing but replies comes in by it.
"""

from collections.abc import Iterator
from typing import TypeVar

from fogbank.lowering.endpoints import Endpoint, tag_mark
from fogbank.lowering.feature import (
    NOTHING,
    Contribution,
    Feature,
    Find,
    Interface,
    Membership,
    NetworkContext,
    Source,
)
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import ETH1, device_to, hub_netns, instance_netns, vpc_netns
from fogbank.lowering.routes import sender_routes
from fogbank.lowering.serverless_fabric import fabric_interface, public_egress
from fogbank.lowering.vpc import interface
from fogbank.lowering.workloads import containers
from fogbank.network.addressing import HUB_ROUTER, fabric_address, host
from fogbank.network.topology import Element, Hop, Link, NetnsName, NetworkNamespace, Port, Route, Shaper
from fogbank.resources.direct_vpc import BITS_PER_SECOND
from fogbank.resources.fleet import (
    Attachment,
    ConnectorAttachment,
    FabricAttachment,
    Instance,
    SubnetworkAttachment,
)
from fogbank.resources.run import REVISIONS
from fogbank.resources.run_jobs import EXECUTIONS

A = TypeVar("A", bound=Attachment)


class Instances(Feature):
    """Instances of revisions and of tasks. One that is ending has its network still."""

    instances = frozenset({REVISIONS, EXECUTIONS})

    def contribution(self, source: Source, find: Find) -> Contribution:
        """Give an instance its interface in a network, and name the connectors that it uses.

        The hubs of connectors outlive them as long as it runs.
        """
        del find
        if not isinstance(source, Instance):
            return NOTHING
        return Contribution(
            tuple(_membership(source, each) for each in _of_kind(source, SubnetworkAttachment)),
            shared=tuple(each.connector for each in _of_kind(source, ConnectorAttachment)),
        )

    def inside(
        self, source: Source, network: NetworkContext, endpoints: tuple[Endpoint, ...]
    ) -> Fragment | None:
        """Lower an instance's own interface in a network: no faster than Google's, in both directions."""
        if not isinstance(source, Instance):
            return None
        return Fragment.of(_direct_egress(source, network, endpoints), source.owner)

    def outside(self, source: Source) -> Fragment | None:
        """Lower an instance."""
        return Fragment.of(_elements(source), source.owner) if isinstance(source, Instance) else None


FEATURES: tuple[Feature, ...] = (Instances(),)


def _of_kind(instance: Instance, kind: type[A]) -> Iterator[A]:
    return (each for each in instance.attachments if isinstance(each, kind))


def _membership(instance: Instance, attachment: SubnetworkAttachment) -> Membership:
    return Membership(
        attachment.network,
        interfaces=(
            Interface(
                instance_netns(instance.id),
                attachment.subnetwork.region or "",
                frozenset(map(tag_mark, attachment.tags)),
                instance.owner,
                attachment.address,
                closed=True,
                nat=attachment.nat,
            ),
        ),
    )


def _direct_egress(
    instance: Instance, network: NetworkContext, endpoints: tuple[Endpoint, ...]
) -> Iterator[Element]:
    destinations = {each.address: each.destinations for each in _of_kind(instance, SubnetworkAttachment)}
    for endpoint in endpoints:
        yield from interface(endpoint, network.mtu)
        yield from sender_routes(network.routes, endpoint, destinations[endpoint.address])
        yield Shaper(Port(endpoint.netns, ETH1), BITS_PER_SECOND)
        yield Shaper(Port(vpc_netns(endpoint.network), device_to(endpoint.address)), BITS_PER_SECOND)


def _elements(instance: Instance) -> Iterator[Element]:
    netns, place = instance_netns(instance.id), instance.fabric
    yield NetworkNamespace(netns)
    yield from fabric_interface(netns, place)
    for each in instance.attachments:
        match each:
            case ConnectorAttachment():
                yield from _vpc_egress(netns, place, each)
            case FabricAttachment() | SubnetworkAttachment():
                continue
    yield from public_egress(netns, place)
    yield from containers(instance)


def _vpc_egress(netns: NetnsName, place: FabricAttachment, to: ConnectorAttachment) -> Iterator[Element]:
    """Lower the second interface, which takes some destinations to the connector's hub."""
    hub, address = hub_netns(to.connector), fabric_address(place.index)
    yield Link(Port(hub, device_to(address)), Port(netns, ETH1))
    yield Route(hub, host(address), (Hop(device_to(address)),))
    for destination in to.destinations:
        yield Route(netns, destination, (Hop(ETH1, HUB_ROUTER),), address)
