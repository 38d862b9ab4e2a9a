"""What clients really send that the discovery documents leave out, each with its evidence."""

from collections.abc import Mapping
from typing import Any

from fogbank.discovery.tables import Document

_PARTIAL = {"returnPartialSuccess": "boolean"}

_TAGS: Mapping[str, Any] = {"tags": {"*": "string"}}

_FIELDS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    # Terraform's provider sends them with a creation (behaviour/tags.md#bindings).
    ("run.v2", "GoogleCloudRunV2Service"): _TAGS,
    ("run.v2", "GoogleCloudRunV2Job"): _TAGS,
    # Terraform's provider sends it to v2, and its tests read it back (behaviour/cloud-run.md#deployment).
    ("run.v2", "GoogleCloudRunV2Probe"): {"successThreshold": "int32"},
}


def extra_fields(document: str, schema: str) -> Mapping[str, Any]:
    """Return fields that a schema has beyond its description, each with its type."""
    return _FIELDS.get((document, schema), {})


def extra_query(document: Document, method: str) -> Mapping[str, str]:
    """Return query parameters that a method has beyond its description."""
    if document.api == "compute" and method.endswith((".list", ".aggregatedList")):
        return _PARTIAL  # gcloud sends it with every aggregated list (behaviour/clients.md#lists-of-gcloud)
    return {}
