"""Workloads: an instance of a revision is a machine in the fabric, its ways out, and a container in it.

What a container finds in its environment is Google's contract (behaviour/cloud-run.md#container). A
revision's status changes often while what its instances are does not, so instances are lowered from their
:class:`Shape` alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network

from fogbank.lowering.fragments import Fragment
from fogbank.lowering.memoize import memoized
from fogbank.lowering.netns_names import instance_netns
from fogbank.lowering.serverless_connector import vpc_egress
from fogbank.lowering.serverless_fabric import instance_attachment, public_egress
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


@memoized
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


@memoized
def instance_fragment(instance: Instance, shape: Shape) -> Fragment:
    """Lower one instance of ``shape``; one that is ending has only its network left."""
    return Fragment.of(_elements(instance, shape), shape.revision)


def _elements(instance: Instance, shape: Shape) -> Iterator[Element]:
    yield from instance_attachment(instance)
    if shape.connector:
        yield from vpc_egress(instance, shape.connector, _to_vpc(shape.egress))
    if not shape.connector or shape.egress is Egress.PRIVATE_RANGES_ONLY:
        yield from public_egress(instance)
    if shape.image and not instance.ending:
        yield container(instance, shape, shape.image)


def _to_vpc(egress: Egress) -> tuple[IPv4Network, ...]:
    match egress:
        case Egress.ALL_TRAFFIC:
            return (ANYWHERE,)
        case Egress.PRIVATE_RANGES_ONLY:
            return PRIVATE_RANGES


def container(instance: Instance, shape: Shape, image: str) -> Workload:
    """Make the container of an instance."""
    return Workload(
        name=instance.id,
        netns=instance_netns(instance.id),
        image=image,
        port=shape.port,
        command=shape.command,
        arguments=shape.arguments,
        environment=shape.environment,
        memory_bytes=shape.memory_bytes,
        cpu_millis=shape.cpu_millis,
    )
