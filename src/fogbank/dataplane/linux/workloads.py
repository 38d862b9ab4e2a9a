"""Workloads and their volumes: handed to the container runtime, which knows namespaces by their names."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from fogbank.dataplane.driver import Message
from fogbank.dataplane.linux.groups import Errors, one_by_one
from fogbank.errors import DriverError
from fogbank.network.topology import Element, Key, NetnsName, Volume, Workload
from fogbank.planning.plan import Action


class ContainerRuntime(Protocol):
    """What runs workloads."""

    def start(self, workload: Workload) -> None:
        """Run ``workload`` in its namespace; DriverError when it cannot start."""
        ...

    def stop(self, name: str) -> None:
        """End the workload ``name``; nothing when it does not run."""
        ...

    def tell(self, name: str, message: Message) -> None:
        """Have the workload ``name`` hear of something; nothing when it does not run."""
        ...

    def running(self) -> Mapping[str, Workload]:
        """Return the workloads that run, by name."""
        ...

    def put_volume(self, volume: Volume) -> None:
        """Make ``volume``, or give it other files."""
        ...

    def drop_volume(self, name: str) -> None:
        """Take the volume ``name`` away; nothing when there is none."""
        ...

    def volumes(self) -> Mapping[str, Volume]:
        """Return the volumes that there are, by name."""
        ...

    def close(self) -> None:
        """End every workload."""
        ...


class NoContainerRuntime:
    """Refuses workloads: for worlds that are only a network."""

    def start(self, workload: Workload) -> None:
        """Refuse."""
        raise DriverError(f"{workload.name} cannot run: this world has no containers")

    def stop(self, name: str) -> None:
        """Do nothing: none runs."""

    def tell(self, name: str, message: Message) -> None:
        """Do nothing: none runs."""

    def running(self) -> Mapping[str, Workload]:
        """Return none."""
        return {}

    def put_volume(self, volume: Volume) -> None:
        """Refuse."""
        raise DriverError(f"{volume.name} cannot be made: this world has no containers")

    def drop_volume(self, name: str) -> None:
        """Do nothing: there is none."""

    def volumes(self) -> Mapping[str, Volume]:
        """Return none."""
        return {}

    def close(self) -> None:
        """Do nothing."""


class _Volumes:
    """Volumes, one by one; another size makes a volume anew."""

    def __init__(self, runtime: ContainerRuntime) -> None:
        self._runtime = runtime

    def create(self, element: Volume) -> None:
        self._runtime.put_volume(element)

    def replace(self, old: Volume, new: Volume) -> None:
        if (old.size_bytes, bool(old.files)) != (new.size_bytes, bool(new.files)):
            self._runtime.drop_volume(old.name)
        self._runtime.put_volume(new)

    def remove(self, element: Volume) -> None:
        self._runtime.drop_volume(element.name)


class Workloads:
    """The workloads and volumes of one world, as elements."""

    kinds = (Volume, Workload)

    def __init__(self, runtime: ContainerRuntime) -> None:
        self._runtime = runtime
        self._volumes = _Volumes(runtime)

    def apply(self, actions: Sequence[Action]) -> Errors:
        """Start and stop."""
        return one_by_one({Volume: self._volumes, Workload: self}, actions)

    def observe(self) -> Mapping[Key, Element]:
        """Return the volumes, and the workloads that run."""
        volumes, workloads = self._runtime.volumes(), self._runtime.running()
        return {
            **{volume.key: volume for volume in volumes.values()},
            **{workload.key: workload for workload in workloads.values()},
        }

    def forget(self, netns: NetnsName) -> None:
        """Stop the workloads of ``netns`` and take its volumes away."""
        for workload in tuple(self._runtime.running().values()):
            if workload.netns == netns:
                self._runtime.stop(workload.name)
        for volume in tuple(self._runtime.volumes().values()):
            if volume.netns == netns:
                self._runtime.drop_volume(volume.name)

    def close(self) -> None:
        """End every workload."""
        self._runtime.close()

    def create(self, element: Workload) -> None:
        """Start a container."""
        self._runtime.start(element)

    def replace(self, old: Workload, new: Workload) -> None:
        """Stop the old container and start the new one."""
        self._runtime.stop(old.name)
        self._runtime.start(new)

    def remove(self, element: Workload) -> None:
        """Stop a container."""
        self._runtime.stop(element.name)
