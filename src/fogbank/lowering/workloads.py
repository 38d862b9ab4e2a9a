"""Workloads: the containers of an instance and the volumes that they share, in its machine."""

from collections.abc import Iterator
from dataclasses import replace

from fogbank.lowering.netns_names import instance_netns
from fogbank.network.topology import Volume, Workload
from fogbank.resources.fleet import Container, Instance


def workload_name(instance: str, container: str) -> str:
    """Name the workload of a container of the instance with this id; no other instance has one like it."""
    return f"{instance}.{container}" if container else instance


def containers(instance: Instance) -> Iterator[Volume | Workload]:
    """Lower the volumes and containers of an instance; one that is ending has no containers."""
    for each in instance.volumes:
        name = _volume_name(instance, each.name)
        yield Volume(name, instance_netns(instance.id), each.size_bytes, each.files)
    if not instance.ending:
        for container in instance.containers:
            yield _container(instance, container)


def _volume_name(instance: Instance, volume: str) -> str:
    return f"{instance.id}.{volume}"


def _container(instance: Instance, container: Container) -> Workload:
    return Workload(
        name=workload_name(instance.id, container.name),
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
        secrets=container.secrets,
        mounts=tuple(replace(each, volume=_volume_name(instance, each.volume)) for each in container.mounts),
        hosts=container.hosts,
        folder=container.folder,
        machine=container.machine,
        router=container.router,
    )
