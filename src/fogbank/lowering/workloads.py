"""Workloads: the containers of an instance, in its machine."""

from collections.abc import Iterator

from fogbank.lowering.netns_names import instance_netns
from fogbank.network.topology import Workload
from fogbank.resources.fleet import Container, Instance


def containers(instance: Instance) -> Iterator[Workload]:
    """Lower the containers of an instance; one that is ending has none."""
    if not instance.ending:
        for each in instance.containers:
            yield _container(instance, each)


def _container(instance: Instance, container: Container) -> Workload:
    return Workload(
        name=f"{instance.id}.{container.name}" if container.name else instance.id,
        netns=instance_netns(instance.id),
        image=container.image,
        port=container.ports[0] if container.ports else 0,
        command=container.command,
        arguments=container.arguments,
        environment=container.environment,
        memory_bytes=container.memory_bytes,
        memory_limit=container.memory_limit,
        cpu_millis=container.cpu_millis,
        data=container.data,
    )
