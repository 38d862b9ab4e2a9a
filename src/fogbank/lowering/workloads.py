"""Workloads: an instance of a revision is a machine in the fabric, its ways out, and a container in it.

What a container finds in its environment is Google's contract (SEMANTICS 5.5). A revision's status changes
often while what its instances are does not, so instances are lowered from their :class:`Shape` alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

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


@dataclass(frozen=True, slots=True)
class Shape:
    """What the instances of a revision are; ``image`` is a manifest digest, None until it is resolved."""

    revision: ResourceName
    service: ResourceName
    image: str | None
    port: int
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    cpu_millis: int
    memory_bytes: int
    connector: ResourceName | None
    egress: Egress


@remembered(16384)
def shape_of(revision: Resource) -> Shape:
    """Read what the instances of ``revision`` are; the same object for the same shape."""
    return _one(_shape(read_revision(revision)))


@lru_cache(maxsize=16384)
def _one(shape: Shape) -> Shape:
    return shape


def _shape(revision: Revision) -> Shape:
    given = {
        "PORT": str(revision.port),
        "K_SERVICE": revision.service.id,
        "K_REVISION": revision.name.id,
        "K_CONFIGURATION": revision.service.id,
    }
    return Shape(
        revision=revision.name,
        service=revision.service,
        image=revision.digest.rpartition("@")[2] if revision.digest else None,
        port=revision.port,
        command=revision.command,
        arguments=revision.args,
        environment=tuple((dict(revision.environment) | given).items()),
        cpu_millis=revision.cpu_millis,
        memory_bytes=revision.memory_bytes,
        connector=revision.connector,
        egress=revision.egress,
    )


@remembered(16384)
def instance_part(
    instance: Instance, shape: Shape, connector: Resource | None, network: Resource | None
) -> Part:
    """Lower one instance of ``shape``; ``connector`` and its ``network`` as far as they exist."""
    if connector is None or network is None:
        return Part.of(_elements(instance, shape, None, 0), shape.revision)
    return Part.of(_elements(instance, shape, running(connector), read_mtu(network)), shape.revision)


def _elements(instance: Instance, shape: Shape, found: Running | None, mtu: int) -> Iterator[Element]:
    yield from stand(instance)
    if found:
        yield from attach(instance, found, mtu)
    if shape.connector is None:
        yield from public_egress(instance)
    elif shape.egress is Egress.ALL_TRAFFIC:
        yield from vpc_egress(instance, (ANYWHERE,), attached=found is not None)
    else:
        yield from vpc_egress(instance, PRIVATE_RANGES, attached=found is not None)
        yield from public_egress(instance)
    if shape.image:
        yield container(instance, shape, shape.image)


def container(instance: Instance, shape: Shape, image: str) -> Workload:
    """Make the container of an instance."""
    return Workload(
        name=instance.id,
        space=instance_space(instance.id),
        image=image,
        port=shape.port,
        command=shape.command,
        arguments=shape.arguments,
        environment=shape.environment,
        memory_bytes=shape.memory_bytes,
        cpu_millis=shape.cpu_millis,
    )
