"""How an instance comes up, stops and goes: what follows when its machine has.

Methods write what is wanted and a state that passes; whoever runs the machine asks here for the changes that
follow when it started, stopped or died, and with them the operations on the instance end. The surprising
fact: an instance that is deleted stays until its machine has stopped.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from fogbank.resources.instance_groups import GROUP_MANAGERS
from fogbank.resources.instances import IN_CHANGE, INSTANCES, Wanted
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, OperationError
from fogbank.resources.world import Change, Delete, Json, Put, PutOperation, Resource, World
from fogbank.services.compute.decisions import policy_name
from fogbank.services.compute.factories import timestamp
from fogbank.services.compute.instances.attached_disks import deleted_with
from fogbank.services.compute.instances.interfaces import regained, released

MACHINES_BY_NETWORK = False
"""For worlds in which nobody runs machines: one is on when its network is built."""


def machine_started(world: World, name: ResourceName, boot: int, now: datetime) -> tuple[Change, ...]:
    """Note that the machine of an instance runs, as that of its start number ``boot``."""
    instance = world.find(name)
    if instance is None or instance.private["wanted"] != "RUNNING" or instance.private["boot"] != boot:
        return ()
    changed = _with(instance, booted=boot)
    if instance.body["status"] != "RUNNING":
        changed = changed.with_body(status="RUNNING", lastStartTimestamp=timestamp(now))
    return (Put(changed), *_ended(world, name, now))


def machine_stopped(world: World, name: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Note that the machine of an instance has stopped: it is TERMINATED, or goes with its disks."""
    instance = world.find(name)
    if instance is None:
        return ()
    match instance.private["wanted"]:
        case "DELETED":
            disks = tuple(deleted_with(instance))
            gone = (*disks, *map(policy_name, disks), policy_name(name), name)
            return (*map(Delete, gone), *_ended(world, name, now))
        case "TERMINATED":
            return (Put(_stopped(world, instance, now)), *_ended(world, name, now))
        case _:
            return ()


def machine_suspended(world: World, name: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Note that the machine of an instance is suspended."""
    instance = world.find(name)
    if instance is None or instance.private["wanted"] != "SUSPENDED":
        return ()
    interfaces = released(world, instance.body["networkInterfaces"])
    changed = instance.with_body(
        status="SUSPENDED", lastSuspendedTimestamp=timestamp(now), networkInterfaces=interfaces
    )
    return (Put(changed), *_ended(world, name, now))


def machine_crashed(world: World, name: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Note that a machine ended by itself: it is to start again, or the instance is TERMINATED."""
    instance = world.find(name)
    if instance is None or instance.private["wanted"] != "RUNNING":
        return machine_powered_off(world, name, now)
    if instance.body.get("scheduling", {}).get("automaticRestart", True):
        boot = instance.private["boot"] + 1
        return (Put(_with(instance, boot=boot).with_body(status="PROVISIONING")),)
    return machine_powered_off(world, name, now)


def machine_powered_off(world: World, name: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Note that a machine ended because somebody in it switched it off: the instance is TERMINATED."""
    instance = world.find(name)
    if instance is None:
        return ()
    if instance.private["wanted"] != "RUNNING":
        return machine_stopped(world, name, now)
    return (Put(_stopped(world, _with(instance, wanted="TERMINATED"), now)), *_ended(world, name, now))


def machine_failed(world: World, name: ResourceName, why: str, now: datetime) -> tuple[Change, ...]:
    """Note that this region cannot run a machine: who waits for it is told why.

    An instance that never ran goes with its disks, as one whose creation fails at Google; another one is
    TERMINATED.
    """
    instance = world.find(name)
    if instance is None or instance.private["wanted"] != "RUNNING":
        return ()
    error = OperationError(400, "FAILED_PRECONDITION", why)
    ended = [PutOperation(each.done(now, error=error)) for each in _waiting(world, name)]
    if instance.private.get("booted"):
        return (Put(_stopped(world, _with(instance, wanted="TERMINATED"), now)), *ended)
    disks = tuple(deleted_with(instance))
    return (*map(Delete, (*disks, *map(policy_name, disks), policy_name(name), name)), *ended)


def _waiting(world: World, name: ResourceName) -> Iterator[Operation]:
    return (each for each in world.running.values() if each.target == name)


def _stopped(world: World, instance: Resource, now: datetime) -> Resource:
    interfaces = released(world, instance.body["networkInterfaces"])
    return instance.with_body(
        status="TERMINATED", lastStopTimestamp=timestamp(now), networkInterfaces=interfaces
    )


def starting(world: World, instance: Resource, *, again: bool = False) -> Resource:
    """Return an instance that is to run; ``again`` when it goes on where it was suspended."""
    boot = instance.private["boot"] + (not again)
    interfaces = regained(world, instance.body["networkInterfaces"])
    changed = instance.with_body(status="PROVISIONING", networkInterfaces=interfaces)
    return _with(changed, wanted="RUNNING", boot=boot)


def resetting(instance: Resource) -> Resource:
    """Return an instance whose machine is to start anew."""
    return _with(instance, boot=instance.private["boot"] + 1)


def leaving(instance: Resource, wanted: Wanted) -> Resource:
    """Return an instance whose machine is to stop, be suspended or go."""
    status = "SUSPENDING" if wanted == "SUSPENDED" else "STOPPING"
    return _with(instance.with_body(status=status), wanted=wanted)


def _with(instance: Resource, **private: object) -> Resource:
    return replace(instance, private={**instance.private, **private})


def new_private(gateways: Json) -> Json:
    """Return what is remembered of a new instance; ``gateways`` are those of its interfaces, by name."""
    return {"wanted": "RUNNING", "boot": 1, "gateways": gateways}


def settled(instance: Resource) -> bool:
    """Return whether the machine of an instance is where it is wanted."""
    private, status = instance.private, instance.body["status"]
    if status in IN_CHANGE:
        return False
    return bool(status != "RUNNING" or private["boot"] == private.get("booted"))


def finishes(world: World, operation: Operation) -> bool:
    """Return whether an operation is over once the network is as promised."""
    if operation.target.collection == GROUP_MANAGERS:
        return world.find(operation.target) is None
    if operation.target.collection != INSTANCES or MACHINES_BY_NETWORK:
        return True
    instance = world.find(operation.target)
    return instance is None or settled(instance)


def converged(world: World, name: ResourceName, now: datetime) -> tuple[Change, ...]:
    """Return what follows when the network of an instance is built and nobody runs machines."""
    if name.collection != INSTANCES or not MACHINES_BY_NETWORK:
        return ()
    instance = world.find(name)
    if instance is None or settled(instance):
        return ()
    return tuple(each for each in _arrived(world, instance, now) if not isinstance(each, PutOperation))


def _arrived(world: World, instance: Resource, now: datetime) -> tuple[Change, ...]:
    match instance.private["wanted"]:
        case "RUNNING":
            return machine_started(world, instance.name, instance.private["boot"], now)
        case "SUSPENDED":
            return machine_suspended(world, instance.name, now)
        case _:
            return machine_stopped(world, instance.name, now)


def _ended(world: World, name: ResourceName, now: datetime) -> Iterator[Change]:
    """End the operations that wait for the machine of an instance."""
    for operation in _waiting(world, name):
        yield PutOperation(operation.done(now))
