"""Operations: work that a client may wait for, in either of Google's two dialects.

`services` open one with a decision, `control` finishes it when the kernel has what was promised, `frontend`
renders it as ``compute#operation`` or as ``google.longrunning.Operation``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from fogbank.resources.names import ResourceName


@dataclass(frozen=True, slots=True)
class OperationError:
    """Why an operation failed: an HTTP status, compute's code (``IN_USE``) or the rpc status name, a message."""

    http_status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on ``target``.

    ``name`` is in the collection ``compute.operations`` or ``<service>.operations``, and the collection's service
    says which dialect it is. ``type`` is compute's operationType (``insert``, ``patch``, …) or the rpc method
    (``google.cloud.vpcaccess.v1.VpcAccessService.CreateConnector``).
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
        """The operation, ended at ``now``."""
        return replace(self, status="DONE", ended=now, response=response, error=error)
