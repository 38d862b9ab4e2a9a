"""What an instance of a revision is: its containers and its ways out, decided when it starts.

A revision never changes what it runs, so an instance keeps what was read at its start.
"""

from dataclasses import replace
from ipaddress import IPv4Network
from types import MappingProxyType

from fogbank.network.addressing import ANYWHERE, PRIVATE_RANGES
from fogbank.resources.fleet import Attachment, ConnectorAttachment, FabricAttachment, Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.run import Egress, Revision, read_revision
from fogbank.resources.vpcaccess import read_connector
from fogbank.resources.world import Resource, World
from fogbank.services.run.instance_containers import containers_of, volumes_of
from fogbank.services.run.secrets import Values

_NO_SECRETS: Values = MappingProxyType({})


def instance_of(
    identifier: str, revision: Resource, index: int, pool: int, secrets: Values = _NO_SECRETS
) -> Instance:
    """Make an instance of ``revision`` at place ``index`` of the fabric; ``pool`` as in FabricAttachment.

    It has all its containers; which of them may run at first is for ``instance_containers.startable``.
    """
    read = read_revision(revision)
    return Instance(
        identifier,
        revision.name,
        revision,
        _attachments(read, index, pool),
        containers_of(read, secrets),
        volumes=volumes_of(read, secrets),
    )


def with_pool(instance: Instance, pool: int) -> Instance:
    """Deal ``instance`` another address of the egress pool."""
    attachments = tuple(
        replace(each, pool=pool) if isinstance(each, FabricAttachment) else each
        for each in instance.attachments
    )
    return replace(instance, attachments=attachments)


def network_of(world: World, instance: Instance) -> ResourceName | None:
    """Tell which VPC network ``instance`` has a way into; None when it has none, or its connector is gone."""
    for each in instance.attachments:
        if isinstance(each, ConnectorAttachment):
            found = world.find(each.connector)
            return read_connector(found).network if found else None
    return None


def _attachments(revision: Revision, index: int, pool: int) -> tuple[Attachment, ...]:
    if revision.connector is None:
        return (FabricAttachment(index, pool, (ANYWHERE,)),)
    to_vpc = _to_vpc(revision.egress)
    by_pool = () if ANYWHERE in to_vpc else (ANYWHERE,)
    return (FabricAttachment(index, pool, by_pool), ConnectorAttachment(revision.connector, to_vpc))


def _to_vpc(egress: Egress) -> tuple[IPv4Network, ...]:
    match egress:
        case Egress.ALL_TRAFFIC:
            return (ANYWHERE,)
        case Egress.PRIVATE_RANGES_ONLY:
            return PRIVATE_RANGES
