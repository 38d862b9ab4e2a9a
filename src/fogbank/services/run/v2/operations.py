"""What writes of services, revisions and jobs have in common in v2: their operations, and their etags."""

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, longrunning_operation
from fogbank.resources.world import Json, Resource
from fogbank.services.contract import Call
from fogbank.services.run.v2.render import etag_of


def open_operation(call: Call, rpc: str, target: ResourceName, message: str, metadata: Json) -> Operation:
    """Open the operation of a call of ``rpc`` (``Services.CreateService``).

    ``message`` is the type of its metadata.
    """
    return longrunning_operation(
        "run",
        target.region,
        f"google.cloud.run.v2.{rpc}",
        target,
        now=call.now,
        new_id=call.new_id,
        user=call.principal,
        project=target.project,
        metadata_type=message,
        metadata=metadata,
    )


def check_etag(etag: str | None, found: Resource) -> None:
    """Refuse a change that was made against another version; etags come with quotes or without."""
    current = etag_of(found.body["metadata"])
    if etag and etag.strip('"') != current.strip('"'):
        raise ApiError(
            409, f"The etag '{etag}' does not match the current '{current}'.", "ABORTED", "aborted"
        )
