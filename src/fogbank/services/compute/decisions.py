"""Decisions of compute's writes: the changes, and the operation that answers them."""

from collections.abc import Iterable
from dataclasses import replace

from fogbank.resources.names import ResourceName
from fogbank.resources.operations import OperationError, compute_operation
from fogbank.resources.world import Change, Delete, Put, Resource
from fogbank.services.contract import Call, Decision


def committed(
    call: Call, kind: str, resource: Resource, changes: Iterable[Change], *, done: bool = False
) -> Decision:
    """Decide ``changes``, answered by an operation of type ``kind`` on ``resource``.

    ``done`` when nothing in the network has to change for it.
    """
    request = call.parameters.get("requestId")
    operation = compute_operation(
        kind,
        resource.name,
        resource.id,
        now=call.now,
        new_id=call.new_id,
        user=call.principal,
        done=done,
        request_id=str(request) if request else None,
    )
    return Decision(tuple(changes), operation)


def put(call: Call, kind: str, resource: Resource, *, done: bool = False) -> Decision:
    """Decide to make or replace ``resource``."""
    return committed(call, kind, resource, (Put(resource),), done=done)


def deleted(call: Call, resource: Resource, *others: Change, done: bool = False) -> Decision:
    """Decide to take ``resource`` away, and with it ``others``."""
    changes = (*others, Delete(policy_name(resource.name)), Delete(resource.name))
    return committed(call, "delete", resource, changes, done=done)


def in_use(call: Call, kind: str, resource: Resource, noun: str, user: ResourceName) -> Decision:
    """Accept a change of ``resource``, a ``noun`` (network, …), that fails because of its ``user``.

    Google answers 200, and the operation ends with the error (behaviour/api.md#resources-in-use).
    """
    message = f"The {noun} resource '{resource.name.path}' is already being used by '{user.path}'"
    return failed(call, kind, resource, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", message)


def failed(call: Call, kind: str, resource: Resource, code: str, message: str) -> Decision:
    """Accept a change of ``resource`` whose operation ends with an error, and change nothing."""
    refused = OperationError(400, code, message)
    decision = committed(call, kind, resource, ())
    if decision.operation is None:
        raise AssertionError(decision)
    return replace(decision, operation=decision.operation.done(call.now, error=refused))


def policy_name(guarded: ResourceName) -> ResourceName:
    """Name the IAM policy that stands beside a resource."""
    return ResourceName("compute.policies", guarded.path)
