"""Operations: work that a client may wait for, in either of Google's two dialects.

`services` open one with a decision, `control` finishes it when the kernel has what was promised, `frontend`
renders it as ``compute#operation`` or as ``google.longrunning.Operation``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal

from fogbank.resources.names import ResourceName


@dataclass(frozen=True, slots=True)
class OperationError:
    """Why an operation failed: an HTTP status, compute's code (``IN_USE``) or the rpc status, a message."""

    http_status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on ``target``.

    ``name`` is in the collection ``compute.operations`` or ``<service>.operations``, and the collection's
    service says which dialect it is. ``type`` is compute's operationType (``insert``, ``patch``, …) or the
    rpc method (``google.cloud.vpcaccess.v1.VpcAccessService.CreateConnector``).
    """

    name: ResourceName
    id: int
    type: str
    target: ResourceName
    target_id: int
    user: str
    inserted: datetime
    version: int = 0
    """The World version that committed it; the store fills it in."""
    status: Literal["RUNNING", "DONE"] = "RUNNING"
    ended: datetime | None = None
    error: OperationError | None = None
    request_id: str | None = None
    response: Mapping[str, Any] | None = None
    """For google.longrunning: the response message with its ``@type``, set when done."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """For google.longrunning: the metadata message with its ``@type``."""

    def done(
        self,
        now: datetime,
        response: Mapping[str, Any] | None = None,
        error: OperationError | None = None,
    ) -> "Operation":
        """End the operation at ``now``."""
        return replace(self, status="DONE", ended=now, response=response, error=error)


def compute_operation(
    call_method_type: str,
    target: ResourceName,
    target_id: int,
    *,
    now: datetime,
    new_id: Callable[[], int],
    user: str,
    done: bool = False,
    request_id: str | None = None,
) -> Operation:
    """Open an operation of compute on ``target``, in the target's own scope.

    ``call_method_type`` is compute's operationType (``insert``); with ``done`` the network has nothing to
    do for it.
    """
    number = new_id()
    digest = _digest(number)
    # operation-<epoch ms>-<hex>-<8hex>-<8hex> (behaviour/api.md#compute-operations)
    identifier = f"operation-{int(now.timestamp() * 1000)}-{digest[:13]}-{digest[13:21]}-{digest[21:29]}"
    operation = Operation(
        name=ResourceName("compute.operations", f"{_compute_scope(target)}/operations/{identifier}"),
        id=number,
        type=call_method_type,
        target=target,
        target_id=target_id,
        user=user,
        inserted=now,
        request_id=request_id,
    )
    return operation.done(now) if done else operation


def longrunning_operation(
    service: str,
    location: str | None,
    rpc: str,
    target: ResourceName,
    *,
    now: datetime,
    new_id: Callable[[], int],
    user: str,
    project: str,
    metadata_type: str,
    metadata: Mapping[str, Any] | None = None,
    response: Mapping[str, Any] | None = None,
    done: bool = False,
) -> Operation:
    """Open a ``google.longrunning`` operation of ``service`` (``vpcaccess``) on ``target``.

    Its name is ``projects/P/locations/L/operations/UUID``, or ``operations/UUID`` without a ``location``.
    ``metadata_type`` is the message's full name; its fields are ``metadata``, by default those
    of vpcaccess (createTime, method, target). ``response`` is what a ``done`` operation answers.
    """
    number = new_id()
    digest = _digest(number)
    identifier = "-".join((digest[:8], digest[8:12], "4" + digest[13:16], "a" + digest[17:20], digest[20:32]))
    if metadata is None:
        metadata = {"createTime": rfc3339(now), "method": rpc, "target": target.path}
    under = f"projects/{project}/locations/{location}/" if location else ""
    operation = Operation(
        name=ResourceName(f"{service}.operations", f"{under}operations/{identifier}"),
        id=number,
        type=rpc,
        target=target,
        target_id=0,
        user=user,
        inserted=now,
        metadata={"@type": f"type.googleapis.com/{metadata_type}", **metadata},
    )
    return operation.done(now, response=response) if done else operation


def rfc3339(moment: datetime) -> str:
    """Render a UTC time as one-platform APIs do: ``2026-01-02T03:04:05.678901Z``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _compute_scope(target: ResourceName) -> str:
    for label in ("regions", "zones"):
        if place := target.segment(label):
            return f"projects/{target.project}/{label}/{place}"
    return f"projects/{target.project}/global"


def _digest(number: int) -> str:
    return blake2b(number.to_bytes(16, "big"), digest_size=16).hexdigest()
