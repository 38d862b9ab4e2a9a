"""Operations of Artifact Registry that need nothing from the network: they are over at once."""

from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, longrunning_operation
from fogbank.resources.world import Json
from fogbank.services.contract import Call

_EMPTY = "type.googleapis.com/google.protobuf.Empty"


def gone() -> Json:
    """Return what an operation answers that took something away."""
    return {"@type": _EMPTY}


def done(call: Call, rpc: str, target: ResourceName) -> Operation:
    """Make an operation that took ``target`` away; ``rpc`` is ``DeleteVersion``."""
    return longrunning_operation(
        "artifactregistry",
        target.region,
        f"google.devtools.artifactregistry.v1.ArtifactRegistry.{rpc}",
        target,
        now=call.now,
        new_id=call.new_id,
        user=call.principal,
        project=target.project,
        metadata_type="google.devtools.artifactregistry.v1.OperationMetadata",
        metadata={},
        response=gone(),
        done=True,
    )
