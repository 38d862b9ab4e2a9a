"""Decisions of compute's writes: the changes, and the operation that answers them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fogbank.errors import stale_fingerprint
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import OperationError, compute_operation
from fogbank.resources.world import Change, Delete, Put, Resource
from fogbank.services.compute.bodies import check_labels, is_current, without_nulls
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
    refused = OperationError(400, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", message)
    return failed(call, kind, resource, refused)


@dataclass(slots=True)
class OperationFailed(Exception):
    """A change that Google accepts and whose operation ends with an error."""

    error: OperationError


def failed(call: Call, kind: str, resource: Resource, error: OperationError) -> Decision:
    """Accept a change of ``resource`` that fails: nothing is changed, the operation ends with ``error``."""
    decision = committed(call, kind, resource, ())
    if decision.operation is None:
        raise AssertionError(decision)
    return replace(decision, operation=decision.operation.done(call.now, error=error))


def policy_name(guarded: ResourceName) -> ResourceName:
    """Name the IAM policy that stands beside a resource."""
    return ResourceName("compute.policies", guarded.path)


def relabelled(call: Call, resource: Resource) -> Decision:
    """Replace the labels of ``resource``; 412 when the caller has seen older ones."""
    if not is_current(call.body.get("labelFingerprint"), resource.body["labelFingerprint"]):
        raise stale_fingerprint("Labels fingerprint either invalid or resource labels have changed")
    labels = dict(without_nulls(call.body).get("labels", {}))
    check_labels(labels)
    changed = resource.with_body(labels=labels or None, labelFingerprint=fingerprint(labels))
    return put(call, "setLabels", changed, done=True)
