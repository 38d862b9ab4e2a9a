"""Workloads: an instance of a revision is a machine in the fabric, its ways out, and its containers."""

from collections.abc import Iterator

from fogbank.lowering.fragments import Fragment
from fogbank.lowering.memoize import memoized
from fogbank.lowering.netns_names import instance_netns
from fogbank.lowering.serverless_connector import vpc_egress
from fogbank.lowering.serverless_fabric import instance_attachment, public_egress
from fogbank.network.topology import Element, Workload
from fogbank.resources.fleet import ConnectorAttachment, Container, Instance


@memoized
def instance_fragment(instance: Instance) -> Fragment:
    """Lower one instance; one that is ending has only its network left."""
    return Fragment.of(_elements(instance), instance.owner)


def _elements(instance: Instance) -> Iterator[Element]:
    yield from instance_attachment(instance)
    for each in instance.attachments:
        if isinstance(each, ConnectorAttachment):
            yield from vpc_egress(instance, each.connector, each.destinations)
    if instance.fabric.destinations:
        yield from public_egress(instance)
    if not instance.ending:
        yield from containers(instance)


def containers(instance: Instance) -> Iterator[Workload]:
    """Make the containers of an instance."""
    for each in instance.containers:
        yield container(instance, each)


def container(instance: Instance, given: Container) -> Workload:
    """Make one container of an instance."""
    return Workload(
        name=f"{instance.id}.{given.name}" if given.name else instance.id,
        netns=instance_netns(instance.id),
        image=given.image,
        port=given.ports[0] if given.ports else 0,
        command=given.command,
        arguments=given.arguments,
        environment=given.environment,
        memory_bytes=given.memory_bytes,
        cpu_millis=given.cpu_millis,
    )
