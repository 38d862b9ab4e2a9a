"""Starting, stopping, suspending, resetting and deleting instances.

Each method writes what is wanted; the operation ends when the machine is there (`lifecycle`).
"""

from fogbank.errors import ApiError
from fogbank.resources.instances import IN_CHANGE
from fogbank.resources.world import Resource, World
from fogbank.services.compute.bodies import bad_request
from fogbank.services.compute.decisions import put
from fogbank.services.compute.instances.lifecycle import leaving, resetting, starting
from fogbank.services.compute.names import named
from fogbank.services.contract import Call, Decision


def find(world: World, call: Call) -> Resource:
    """Find the instance that a call is about."""
    return world.get(named(world, call, "instances", call["instance"]))


def _steady(world: World, call: Call) -> Resource:
    """Find an instance that is not between two states; Google refuses two changes at once."""
    instance = find(world, call)
    if instance.body["status"] in IN_CHANGE:
        message = f"The resource '{instance.name.path}' is not ready"
        raise ApiError(400, message, "FAILED_PRECONDITION", "resourceNotReady")
    return instance


def start(world: World, call: Call) -> Decision:
    """Start an instance that was stopped; one that runs goes on."""
    instance = _steady(world, call)
    match instance.body["status"]:
        case "RUNNING":
            return put(call, "start", instance, done=True)
        case "SUSPENDED":
            raise bad_request("Instance is suspended: it can be resumed, not started.", "invalidUsage")
        case _:
            return put(call, "start", starting(world, instance))


def stop(world: World, call: Call) -> Decision:
    """Stop an instance; its external addresses that nobody reserved are given back."""
    instance = _steady(world, call)
    if instance.body["status"] == "TERMINATED":
        return put(call, "stop", instance, done=True)
    return put(call, "stop", leaving(instance, "TERMINATED"))


def suspend(world: World, call: Call) -> Decision:
    """Suspend an instance: its memory is kept."""
    instance = _steady(world, call)
    if instance.body["status"] != "RUNNING":
        raise bad_request("Instance must be in RUNNING state to be suspended.", "invalidUsage")
    return put(call, "suspend", leaving(instance, "SUSPENDED"))


def resume(world: World, call: Call) -> Decision:
    """Let a suspended instance go on."""
    instance = _steady(world, call)
    if instance.body["status"] != "SUSPENDED":
        raise bad_request("Instance must be in SUSPENDED state to be resumed.", "invalidUsage")
    return put(call, "resume", starting(world, instance, again=True))


def reset(world: World, call: Call) -> Decision:
    """Start the machine of an instance anew; its disks and addresses stay."""
    instance = _steady(world, call)
    if instance.body["status"] != "RUNNING":
        raise bad_request("Instance must be in RUNNING state to be reset.", "invalidUsage")
    return put(call, "reset", resetting(instance))


def delete(world: World, call: Call) -> Decision:
    """Take an instance away, and the disks that go with it, once its machine has stopped."""
    instance = find(world, call)
    if instance.body.get("deletionProtection"):
        raise bad_request(
            "Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion. '.",
            "invalidUsage",
        )
    return put(call, "delete", leaving(instance, "DELETED"))


def stopped(instance: Resource, what: str) -> None:
    """Refuse a change of ``what`` while an instance runs."""
    if instance.body["status"] != "TERMINATED":
        message = f"The instance must be stopped before the {what} can be changed."
        raise ApiError(400, message, "FAILED_PRECONDITION", "resourceNotReady")
