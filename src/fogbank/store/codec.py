"""Rows of the database: resources and operations as JSON text, and back."""

import json
from datetime import datetime
from typing import Any

from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, OperationError
from fogbank.resources.world import Resource


def encode_resource(resource: Resource) -> tuple[str, str, str, str, str, str]:
    """Return the row of a resource: collection, path, id, created, body, private."""
    return (
        resource.name.collection,
        resource.name.path,
        str(resource.id),
        resource.created.isoformat(),
        _text(resource.body),
        _text(resource.private),
    )


def decode_resource(row: tuple[str, str, str, str, str, str]) -> Resource:
    """Read a row back."""
    collection, path, identifier, created, body, private = row
    return Resource(
        ResourceName(collection, path),
        int(identifier),
        datetime.fromisoformat(created),
        _value(body),
        _value(private) if private != _NOTHING else {},
    )


def encode_operation(operation: Operation) -> tuple[str, str]:
    """Return the row of an operation: its path and everything else."""
    record = {
        "collection": operation.name.collection,
        "id": str(operation.id),
        "type": operation.type,
        "target": [operation.target.collection, operation.target.path],
        "targetId": str(operation.target_id),
        "user": operation.user,
        "inserted": operation.inserted.isoformat(),
        "version": operation.version,
        "status": operation.status,
        "ended": operation.ended and operation.ended.isoformat(),
        "error": operation.error
        and [operation.error.http_status, operation.error.code, operation.error.message],
        "requestId": operation.request_id,
        "response": operation.response,
        "metadata": operation.metadata,
    }
    return operation.name.path, _text(record)


def decode_operation(row: tuple[str, str]) -> Operation:
    """Read a row back."""
    path, text = row
    record = _value(text)
    return Operation(
        name=ResourceName(record["collection"], path),
        id=int(record["id"]),
        type=record["type"],
        target=ResourceName(*record["target"]),
        target_id=int(record["targetId"]),
        user=record["user"],
        inserted=datetime.fromisoformat(record["inserted"]),
        version=record["version"],
        status=record["status"],
        ended=record["ended"] and datetime.fromisoformat(record["ended"]),
        error=record["error"] and OperationError(*record["error"]),
        request_id=record["requestId"],
        response=record["response"],
        metadata=record["metadata"],
    )


_NOTHING = "{}"
"""What most resources have in private."""

_decode = json.JSONDecoder().raw_decode
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _value(text: str) -> dict[str, Any]:
    """Read what ``_text`` wrote, which has no space around it that would have to be looked for."""
    value: dict[str, Any]
    value, _ = _decode(text)
    return value


def _text(value: object) -> str:
    return _encode(value)
