"""Workloads: an instance of a revision is a machine in the fabric, its ways out, and a container in it.

What a container finds in its environment is Google's contract (SEMANTICS 5.5).
"""

from collections.abc import Iterator

from fogbank.lowering.lowered import Part
from fogbank.lowering.memory import remembered
from fogbank.lowering.serverless_connector import Running, attach, running, vpc_egress
from fogbank.lowering.serverless_fabric import public_egress, stand
from fogbank.lowering.spaces import instance_space
from fogbank.lowering.vpc import read_mtu
from fogbank.network.addressing import ANYWHERE, PRIVATE_RANGES
from fogbank.network.topology import Element, Workload
from fogbank.resources.names import ResourceName
from fogbank.resources.run import Egress, Revision, read_revision
from fogbank.resources.world import Instance, Resource


@remembered(16384)
def _read(resource: Resource) -> Revision:
    return read_revision(resource)


def connector_of(revision: Resource) -> ResourceName | None:
    """Name the connector that a revision asks for."""
    return _read(revision).connector


@remembered(16384)
def instance_part(
    instance: Instance, revision: Resource, connector: Resource | None, network: Resource | None
) -> Part:
    """Lower one instance of ``revision``; ``connector`` and its ``network`` as far as they exist."""
    found = running(connector) if connector else None
    mtu = read_mtu(network) if network else 0
    return Part.of(_elements(instance, _read(revision), found if network else None, mtu), revision.name)


def _elements(instance: Instance, revision: Revision, found: Running | None, mtu: int) -> Iterator[Element]:
    yield from stand(instance)
    if found:
        yield from attach(instance, found, mtu)
    if revision.connector is None:
        yield from public_egress(instance)
    elif revision.egress is Egress.ALL_TRAFFIC:
        yield from vpc_egress(instance, (ANYWHERE,), attached=found is not None)
    else:
        yield from vpc_egress(instance, PRIVATE_RANGES, attached=found is not None)
        yield from public_egress(instance)
    if revision.digest:
        yield container(instance, revision, revision.digest)


def container(instance: Instance, revision: Revision, digest: str) -> Workload:
    """Make the container of an instance; ``digest`` is the revision's pullable ``repository@sha256:…``."""
    given = {
        "PORT": str(revision.port),
        "K_SERVICE": revision.service.id,
        "K_REVISION": revision.name.id,
        "K_CONFIGURATION": revision.service.id,
    }
    return Workload(
        name=instance.id,
        space=instance_space(instance.id),
        image=digest.rpartition("@")[2],
        port=revision.port,
        command=revision.command,
        arguments=revision.args,
        environment=tuple((dict(revision.environment) | given).items()),
        memory_bytes=revision.memory_bytes,
        cpu_millis=revision.cpu_millis,
    )
