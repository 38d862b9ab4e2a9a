"""The probes of an instance's containers: which have started, which are alive, which may serve.

A container whose start-up probe passed lets those start that wait for it; the instance has started when all
have. From then on liveness and readiness are watched (behaviour/cloud-run.md#deployment).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.control.background import BackgroundTasks
from fogbank.control.probing import OpenSocket, fails, follow, passes
from fogbank.network.topology import NetnsName
from fogbank.resources.run_containers import ContainerProbe, RunContainer
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.controller.log_entries import RunLog


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Who is told what: a container has started, did not start, is no longer alive, may serve or not."""

    started: Callable[[InstanceState, str], None]
    failed: Callable[[InstanceState, str], None]
    dead: Callable[[InstanceState, str], None]
    ready: Callable[[InstanceState, bool], None]


class ContainerProbes:
    """Probes containers from ``netns`` at the address of their instance."""

    def __init__(
        self,
        tasks: BackgroundTasks,
        *,
        netns: NetnsName,
        address_of: Callable[[int], IPv4Address],
        open_socket: OpenSocket,
        log: RunLog,
        verdicts: Verdicts,
    ) -> None:
        self._tasks, self._netns, self._address_of = tasks, netns, address_of
        self._open_socket, self._log, self._verdicts = open_socket, log, verdicts

    def begin(self, instance: InstanceState, container: str) -> None:
        """Find out when a container of ``instance`` that was just built has started."""
        found = _find(instance, container)
        instance.probes.add(self._tasks.spawn(self._start(instance, found)))

    def watch(self, instance: InstanceState) -> None:
        """Watch the liveness and the readiness of an instance that has started."""
        for container in instance.revision.containers:
            if container.liveness_probe is not None:
                work = self._live(instance, container, container.liveness_probe)
                instance.probes.add(self._tasks.spawn(work))
            if container.readiness_probe is not None:
                instance.unready.add(container.name)
                work = self._ready(instance, container, container.readiness_probe)
                instance.probes.add(self._tasks.spawn(work))

    def stop(self, instance: InstanceState) -> None:
        """Probe an instance no more."""
        for each in instance.probes:
            each.cancel()
        instance.probes.clear()

    async def _start(self, instance: InstanceState, container: RunContainer) -> None:
        probe = container.startup_probe if instance.revision.checks else None
        now = asyncio.get_running_loop().time
        began = now()
        place = self._netns, self._address_of(instance.place)
        if probe is None:
            self._verdicts.started(instance, container.name)
        elif await passes(probe, *place, self._open_socket):
            self._log.listens(instance, container.name, probe, now() - began)
            self._verdicts.started(instance, container.name)
        else:
            self._log.never_listened(instance, container.name, probe)
            why = f"The container{_named(container)} did not listen in time."
            self._verdicts.failed(instance, why)

    async def _live(self, instance: InstanceState, container: RunContainer, probe: ContainerProbe) -> None:
        await fails(probe, self._netns, self._address_of(instance.place), self._open_socket)
        times = f"{probe.failure_threshold} times in a row"
        self._verdicts.dead(instance, f"The container{_named(container)} failed its liveness probe {times}.")

    async def _ready(self, instance: InstanceState, container: RunContainer, probe: ContainerProbe) -> None:
        place = self._netns, self._address_of(instance.place)
        async for ready in follow(probe, *place, self._open_socket):
            if ready:
                instance.unready.discard(container.name)
            else:
                instance.unready.add(container.name)
            self._verdicts.ready(instance, not instance.unready)


def _find(instance: InstanceState, container: str) -> RunContainer:
    return next(each for each in instance.revision.containers if each.name == container)


def _named(container: RunContainer) -> str:
    return f" '{container.name}'" if container.name else ""
