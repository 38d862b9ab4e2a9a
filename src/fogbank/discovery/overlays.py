"""What clients really send that the discovery documents leave out, each with its evidence."""

from collections.abc import Mapping

from fogbank.discovery.tables import Document

_PARTIAL = {"returnPartialSuccess": "boolean"}


def extra_query(document: Document, method: str) -> Mapping[str, str]:
    """Return query parameters that a method has beyond its description."""
    if document.api == "compute" and method.endswith((".list", ".aggregatedList")):
        return _PARTIAL  # gcloud sends it with every aggregated list (behaviour/clients.md#lists-of-gcloud)
    return {}
