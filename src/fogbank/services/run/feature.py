"""Cloud Run's instances: a machine in the serverless fabric, its way to a connector, and its containers."""

from collections.abc import Iterator

from fogbank.lowering.feature import NOTHING, Contribution, Feature, Find, Source
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import ETH1, device_to, hub_netns, instance_netns
from fogbank.lowering.serverless_fabric import fabric_interface, public_egress
from fogbank.lowering.workloads import containers
from fogbank.network.addressing import HUB_ROUTER, fabric_address, host
from fogbank.network.topology import Element, Hop, Link, NetnsName, NetworkNamespace, Port, Route
from fogbank.resources.fleet import ConnectorAttachment, FabricAttachment, Instance
from fogbank.resources.run import REVISIONS
from fogbank.resources.run_jobs import EXECUTIONS


class Instances(Feature):
    """Instances of revisions and of tasks. One that is ending has its network still."""

    instances = frozenset({REVISIONS, EXECUTIONS})

    def contribution(self, source: Source, find: Find) -> Contribution:
        """Name the connectors that an instance uses: their hubs outlive them as long as it runs."""
        del find
        if not isinstance(source, Instance):
            return NOTHING
        return Contribution(
            shared=tuple(
                each.connector for each in source.attachments if isinstance(each, ConnectorAttachment)
            )
        )

    def outside(self, source: Source) -> Fragment | None:
        """Lower an instance."""
        return Fragment.of(_elements(source), source.owner) if isinstance(source, Instance) else None


FEATURES: tuple[Feature, ...] = (Instances(),)


def _elements(instance: Instance) -> Iterator[Element]:
    netns, place = instance_netns(instance.id), instance.fabric
    yield NetworkNamespace(netns)
    yield from fabric_interface(netns, place)
    for each in instance.attachments:
        match each:
            case ConnectorAttachment():
                yield from _vpc_egress(netns, place, each)
            case FabricAttachment():
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
