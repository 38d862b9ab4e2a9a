"""What an instance of a revision is: its containers and its ways out, decided when it starts.

What a container finds in its environment is Google's contract
(https://cloud.google.com/run/docs/container-contract#env-vars). A revision never changes what it runs, so an
instance keeps what was read at its start.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from fogbank.network.addressing import ANYWHERE, PRIVATE_RANGES
from fogbank.resources.fleet import (
    Attachment,
    ConnectorAttachment,
    Container,
    FabricAttachment,
    Instance,
    SubnetworkAttachment,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.run import Egress, Revision, read_revision
from fogbank.resources.vpcaccess import read_connector
from fogbank.resources.world import Resource, World


def instance_of(identifier: str, revision: Resource, index: int, pool: int) -> Instance:
    """Make an instance of ``revision`` at place ``index`` of the fabric; ``pool`` as in FabricAttachment."""
    read = read_revision(revision)
    return Instance(
        identifier,
        revision.name,
        revision,
        _attachments(read, index, pool),
        _containers(read),
    )


def with_pool(instance: Instance, pool: int) -> Instance:
    """Deal ``instance`` another address of the egress pool."""
    attachments = tuple(
        replace(each, pool=pool) if isinstance(each, FabricAttachment) else each
        for each in instance.attachments
    )
    return replace(instance, attachments=attachments)


def with_address(instance: Instance, network: ResourceName, address: IPv4Address, *, nat: bool) -> Instance:
    """Plug ``instance``, whose revision has Direct VPC egress, into ``network`` with its own ``address``."""
    revision = read_revision(instance.definition)
    if revision.direct_vpc is None:
        raise ValueError(f"{revision.name} has no Direct VPC egress")
    attachment = SubnetworkAttachment(
        network,
        revision.direct_vpc.subnetwork,
        address,
        revision.direct_vpc.tags,
        _to_vpc(revision.egress),
        nat,
    )
    return replace(instance, attachments=(*instance.attachments, attachment))


def subnetworks_of(instance: Instance) -> Iterator[ResourceName]:
    """List the subnetworks in which ``instance`` has an address of its own."""
    return (each.subnetwork for each in instance.attachments if isinstance(each, SubnetworkAttachment))


def network_of(world: World, instance: Instance) -> ResourceName | None:
    """Tell which VPC network ``instance`` has a way into; None when it has none, or its connector is gone."""
    for each in instance.attachments:
        if isinstance(each, ConnectorAttachment):
            found = world.find(each.connector)
            return read_connector(found).network if found else None
        if isinstance(each, SubnetworkAttachment):
            return each.network
    return None


def _attachments(revision: Revision, index: int, pool: int) -> tuple[Attachment, ...]:
    """List the ways out that need nothing of a network; Direct VPC egress gets its own by an address."""
    if revision.connector is None and revision.direct_vpc is None:
        return (FabricAttachment(index, pool, (ANYWHERE,)),)
    to_vpc = _to_vpc(revision.egress)
    fabric = FabricAttachment(index, pool, () if ANYWHERE in to_vpc else (ANYWHERE,))
    return (fabric, ConnectorAttachment(revision.connector, to_vpc)) if revision.connector else (fabric,)


def _to_vpc(egress: Egress) -> tuple[IPv4Network, ...]:
    match egress:
        case Egress.ALL_TRAFFIC:
            return (ANYWHERE,)
        case Egress.PRIVATE_RANGES_ONLY:
            return PRIVATE_RANGES


def _containers(revision: Revision) -> tuple[Container, ...]:
    """List the containers of a revision; none until its image is resolved."""
    if revision.digest is None:
        return ()
    given = {
        "PORT": str(revision.port),
        "K_SERVICE": revision.service.id,
        "K_REVISION": revision.name.id,
        "K_CONFIGURATION": revision.service.id,
    }
    return (
        Container(
            image=revision.digest.rpartition("@")[2],
            ports=(revision.port,),
            command=revision.command,
            arguments=revision.args,
            environment=tuple((dict(revision.environment) | given).items()),
            cpu_millis=revision.cpu_millis,
            memory_bytes=revision.memory_bytes,
        ),
    )
