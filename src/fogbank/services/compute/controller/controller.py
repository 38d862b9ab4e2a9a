"""Keeps the machines of instances as these want them, and says in their status what the machines really do.

Each machine is a container whose init is its first process. An instance is RUNNING when init has written its
first line, TERMINATED when the container is gone, SUSPENDED when every process is stopped. The surprising
fact: methods only write what is wanted; whatever happened meanwhile, one function (:meth:`_step`) compares
that with what runs, so no order of events is special.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Controller, Runtime, TraceSource
from fogbank.control.fleet_share import FleetShare
from fogbank.control.periodic import every
from fogbank.control.progress import Failure
from fogbank.control.restarts import Restarts
from fogbank.dataplane.driver import Drifted, Event, WorkloadExited, WorkloadWrote
from fogbank.errors import DriverError
from fogbank.lowering.netns_names import instance_netns
from fogbank.resources.decisions import Decision
from fogbank.resources.instances import (
    DISKS,
    INSTANCES,
    METADATA,
    Disk,
    VirtualMachine,
    instance_of_machine,
    machine_id,
    project_metadata,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.server_images import MACHINE
from fogbank.resources.world import Change, Delete, Put, Resource, World
from fogbank.services.compute.controller.containers import disk_folder, fleet_instance
from fogbank.services.compute.instances.lifecycle import (
    machine_crashed,
    machine_failed,
    machine_powered_off,
    machine_started,
    machine_stopped,
    machine_suspended,
)

log = logging.getLogger(__name__)

STARTS_AT_ONCE = 8
"""How many machines boot at one time; the others wait for their turn."""
TICK_SECONDS = 0.2
"""How often what crashed is looked at: the shortest pause of a restart."""
REBOOT = 64
"""The status of an init that is to be started again."""
_DISK_FOLDERS = "vm-disk-"

Phase = Literal["starting", "running", "frozen", "ending"]


@dataclass(slots=True, eq=False)
class _Running:
    """A machine that was started: for which boot of its instance, with which metadata, on which disk."""

    name: ResourceName
    boot: int
    disk: str
    phase: Phase = "starting"
    metadata: tuple[Mapping[str, str], ...] = field(default=({}, {}))


class MachineController(Controller):
    """The machines of all instances."""

    name = "compute"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._store, self._loop = runtime, runtime.store, runtime.loop
        self._share = FleetShare("compute", runtime.loop)
        self._running: dict[str, _Running] = {}
        self._waiting: dict[str, None] = {}
        """Machines that are to start when others have, in their order."""
        self._committing = Counter[str]()
        self._restarts = Restarts(runtime.clock)
        self._image = ""
        self._asking = False
        self._tasks = BackgroundTasks("work on a virtual machine")
        self._store.watch_changes(self._world_changed)
        self._loop.after_pass(self._note_built)

    async def run(self) -> None:
        """Work until cancelled; disks that went while the region did not run are removed first."""
        await self._sweep_disks()
        self.reconcile()
        await every(TICK_SECONDS, self._start_waiting)

    def reconcile(self) -> None:
        """Look at all instances again."""
        for resource in tuple(self._store.world.all(INSTANCES)):
            self._step(machine_id(resource.id))

    def status(self) -> Mapping[str, list[dict[str, Any]]]:
        """List the machines that are there."""
        rows = [
            {"machine": identifier, "instance": each.name.path, "state": each.phase, "boot": each.boot}
            for identifier, each in self._running.items()
        ]
        return {"machines": rows} if rows else {}

    def explain(self) -> Iterable[tuple[ResourceName, Failure]]:
        """List instances whose machines crash."""
        yield from self._restarts.failures("its machine")

    def handle(self, event: Event) -> bool:
        """Take what machines write, and note which have ended."""
        if isinstance(event, Drifted):
            return False
        running = self._running.get(event.name)
        if running is None:
            return False
        match event:
            case WorkloadWrote(name=name, stream=stream, line=line):
                self._runtime.consoles.write(name, line)
                self._runtime.logbook.append(_log_name(running.name), stream, line)
                if running.phase == "starting":
                    running.phase = "running"
                    self._step(name)
            case WorkloadExited():
                self._exited(event, running)
        return True

    def log_names(self) -> Iterable[str]:
        """Name every instance."""
        return [_log_name(each.name) for each in self._store.world.all(INSTANCES)]

    def trace_sources(self) -> Iterator[TraceSource]:
        """List the machines that run."""
        for identifier, running in self._running.items():
            found = instance_of_machine(self._store.world, identifier)
            if found is not None and running.phase == "running":
                machine = VirtualMachine.of(found)
                network = machine.interfaces[0].network
                yield TraceSource(identifier, instance_netns(identifier), machine.name, (), network)

    def _world_changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case Put(resource) if resource.name.collection == INSTANCES:
                    self._step(machine_id(resource.id))
                case Put(resource) if resource.name.collection == METADATA:
                    self._tell_project(resource.name.project)
                case Delete(name) if name.collection in {INSTANCES, DISKS}:
                    self._tasks.spawn(self._sweep_disks())
                case _:
                    pass

    def _step(self, identifier: str) -> None:
        """Do what brings a machine closer to where its instance wants it.

        While something is being committed about it, nothing is done: that ends with another look.
        """
        if self._committing[identifier]:
            return
        found = instance_of_machine(self._store.world, identifier)
        running = self._running.get(identifier)
        if found is None:
            if running is not None and running.phase != "ending":
                self._end(identifier, running)
            return
        machine = VirtualMachine.of(found)
        if running is None:
            self._step_without(machine)
        elif running.phase != "ending":
            self._step_with(machine, running)

    def _step_without(self, machine: VirtualMachine) -> None:
        """Bring on an instance whose machine is off."""
        self._waiting.pop(machine.machine, None)
        match machine.wanted:
            case "RUNNING":
                self._waiting[machine.machine] = None
                self._start_waiting()
            case "SUSPENDED" if machine.status != "SUSPENDED":
                self._commit(machine, machine_suspended)
            case "TERMINATED" if machine.status != "TERMINATED":
                self._commit(machine, machine_stopped)
            case "DELETED":
                self._commit(machine, machine_stopped)
            case _:
                pass  # it is where it is wanted

    def _step_with(self, machine: VirtualMachine, running: _Running) -> None:
        """Bring on an instance whose machine is on."""
        identifier = machine.machine
        match machine.wanted:
            case "RUNNING" if running.boot != machine.boot:
                self._end(identifier, running, cleanly=False)
            case "RUNNING":
                if running.phase == "frozen":
                    self._tell(identifier, "thaw")
                    running.phase = "running"
                if running.phase == "running" and (machine.status, machine.booted) != (
                    "RUNNING",
                    machine.boot,
                ):
                    self._restarts.came_up(machine.name)
                    self._commit_started(machine)
                self._tell_changed(machine, running)
            case "SUSPENDED":
                if running.phase == "running":
                    self._tell(identifier, "freeze")
                    running.phase = "frozen"
                if running.phase == "frozen" and machine.status != "SUSPENDED":
                    self._commit(machine, machine_suspended)
            case _:
                if running.phase == "frozen":
                    self._tell(identifier, "thaw")
                self._end(identifier, running)

    def _start_waiting(self) -> None:
        """Start machines whose turn it is."""
        if not self._waiting:
            return
        if not self._image:
            if not self._asking:
                self._asking = True
                self._tasks.spawn(self._find_image())
            return
        free = STARTS_AT_ONCE - sum(each.phase == "starting" for each in self._running.values())
        for identifier in tuple(self._waiting):
            found = instance_of_machine(self._store.world, identifier)
            if free <= 0:
                break
            if found is None:
                del self._waiting[identifier]
            elif self._restarts.may_start(found.name):
                del self._waiting[identifier]
                self._start(found)
                free -= 1
        self._share.publish()

    def _start(self, resource: Resource) -> None:
        world = self._store.world
        machine = VirtualMachine.of(resource)
        self._running[machine.machine] = _Running(
            machine.name, machine.boot, disk_folder(world, machine), metadata=self._metadata(machine)
        )
        self._share.put(fleet_instance(world, resource, self._image))

    def _end(self, identifier: str, running: _Running, *, cleanly: bool = True) -> None:
        """End a machine: it may shut down, or it is as if its power was cut."""
        running.phase = "ending"
        if not cleanly:
            self._tell(identifier, "kill")
        self._share.end(identifier)
        self._share.publish()

    def _exited(self, event: WorkloadExited, running: _Running) -> None:
        identifier = event.name
        if running.phase != "ending" and event.requested:  # its network is built anew, and it with that
            running.phase = "starting"
            return
        del self._running[identifier]
        self._share.drop(identifier)
        found = instance_of_machine(self._store.world, identifier)
        if running.phase != "ending" and found is not None:
            self._ended_by_itself(VirtualMachine.of(found), event.status)
        else:
            self._step(identifier)
        self._share.publish()
        self._start_waiting()

    def _ended_by_itself(self, machine: VirtualMachine, status: int) -> None:
        match status:
            case 0:
                self._commit(machine, machine_powered_off)
            case _ if status == REBOOT:
                self._step(machine.machine)
            case _:
                self._restarts.died(machine.name, f"Its init ended with status {status}.")
                self._commit(machine, machine_crashed)

    def _note_built(self) -> None:
        """Let go of machines that were told to end before they were ever started."""
        _, never = self._share.take_built()
        for identifier in never:
            self._running.pop(identifier, None)
            self._step(identifier)

    def _tell(self, identifier: str, message: Literal["changed", "freeze", "thaw", "kill"]) -> None:
        self._runtime.driver.tell(identifier, message)

    def _tell_changed(self, machine: VirtualMachine, running: _Running) -> None:
        """Have a machine read its metadata again when there is other."""
        metadata = self._metadata(machine)
        if running.phase == "running" and metadata != running.metadata:
            running.metadata = metadata
            self._tell(machine.machine, "changed")

    def _tell_project(self, project: str) -> None:
        for identifier, running in tuple(self._running.items()):
            if running.name.project == project:
                self._step(identifier)

    def _metadata(self, machine: VirtualMachine) -> tuple[Mapping[str, str], ...]:
        return machine.metadata, project_metadata(self._store.world, machine.name.project)

    def _commit_started(self, machine: VirtualMachine) -> None:
        def started(world: World, name: ResourceName, now: datetime) -> tuple[Change, ...]:
            return machine_started(world, name, machine.boot, now)

        self._commit(machine, started)

    def _commit(
        self,
        machine: VirtualMachine,
        decide: Callable[[World, ResourceName, datetime], tuple[Change, ...]],
    ) -> None:
        """Commit what follows for an instance, and look at it again."""
        self._committing[machine.machine] += 1
        self._tasks.spawn(self._commit_now(machine, decide))

    async def _commit_now(
        self,
        machine: VirtualMachine,
        decide: Callable[[World, ResourceName, datetime], tuple[Change, ...]],
    ) -> None:
        now = self._runtime.clock.now()
        try:
            await self._store.commit(lambda world: Decision(decide(world, machine.name, now)))
        finally:
            self._committing[machine.machine] -= 1
            if not self._committing[machine.machine]:
                del self._committing[machine.machine]
        self._step(machine.machine)

    async def _find_image(self) -> None:
        """Find the root of machines; without it none can start, and whoever waits is told why."""
        try:
            self._image = await asyncio.to_thread(self._runtime.resolve_image, MACHINE.repository, "")
        except DriverError as error:
            await self._refuse(str(error))
        finally:
            self._asking = False
        if self._image:
            self._start_waiting()

    async def _refuse(self, why: str) -> None:
        now = self._runtime.clock.now()
        waiting, self._waiting = tuple(self._waiting), {}
        for identifier in waiting:
            found = instance_of_machine(self._store.world, identifier)
            if found is not None:
                name = found.name
                await self._store.commit(
                    lambda world, name=name: Decision(machine_failed(world, name, why, now))  # type: ignore[misc]
                )

    async def _sweep_disks(self) -> None:
        """Remove what is kept of disks that are gone, and what machines that are gone had written."""
        names = await asyncio.to_thread(self._runtime.data.names)
        kept = {Disk.of(each).folder for each in self._store.world.all(DISKS)}
        kept |= {each.disk for each in self._running.values()}
        for name in names:
            if name.startswith(_DISK_FOLDERS) and name not in kept:
                await asyncio.to_thread(self._runtime.data.remove, name)
        self._runtime.consoles.keep({machine_id(each.id) for each in self._store.world.all(INSTANCES)})


def _log_name(name: ResourceName) -> str:
    """Name a machine as ``fogbank logs`` does: ``compute/INSTANCE``."""
    return f"compute/{name.id}"
