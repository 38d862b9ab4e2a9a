"""Workloads: handed to the container runtime, which knows namespaces by their names."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from fogbank.dataplane.linux.groups import Errors, one_by_one
from fogbank.errors import DriverError
from fogbank.network.topology import Element, Key, NetnsName, Workload
from fogbank.planning.plan import Action


class ContainerRuntime(Protocol):
    """What runs workloads."""

    def start(self, workload: Workload) -> None:
        """Run ``workload`` in its namespace; DriverError when it cannot start."""
        ...

    def stop(self, name: str) -> None:
        """End the workload ``name``; nothing when it does not run."""
        ...

    def running(self) -> Mapping[str, Workload]:
        """Return the workloads that run, by name."""
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

    def running(self) -> Mapping[str, Workload]:
        """Return none."""
        return {}

    def close(self) -> None:
        """Do nothing."""


class Workloads:
    """The workloads of one world, as elements."""

    kinds = (Workload,)

    def __init__(self, runtime: ContainerRuntime) -> None:
        self._runtime = runtime

    def apply(self, actions: Sequence[Action]) -> Errors:
        """Start and stop."""
        return one_by_one({Workload: self}, actions)

    def observe(self) -> Mapping[Key, Element]:
        """Return the workloads that run."""
        return {workload.key: workload for workload in self._runtime.running().values()}

    def forget(self, netns: NetnsName) -> None:
        """Stop the workloads of ``netns``."""
        for workload in tuple(self._runtime.running().values()):
            if workload.netns == netns:
                self._runtime.stop(workload.name)

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
