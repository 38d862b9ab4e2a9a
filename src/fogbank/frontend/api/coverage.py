"""What of Google's APIs is there: the page ``docs/reference/coverage.md``, from the tables and the services.

``make docs`` writes it; a test holds it to the code.
"""

from collections.abc import Iterable
from itertools import groupby

from fogbank.discovery.routes import DiscoveryMethod, methods
from fogbank.discovery.tables import Document, documents
from fogbank.frontend.api.operation_methods import is_operation_method
from fogbank.services.contract import Service

_ACCOUNTS = "oauth2"
"""What the hosts of accounts are described by: no API that a project enables."""

_INTRODUCTION = """# Coverage

The methods of Google's APIs that Fogbank answers. All other methods, other APIs and unsupported fields are
refused with status 400 and their name, because clients repeat a 501 for half a minute. A request that matches
no method of an answered API gets 404. This page is generated (`make docs`) from Google's discovery documents
and the handlers in the code.

| API | version | methods | answered |
|---|---|---:|---:|
"""

_OTHERS = """
Beside the APIs there are the hosts of accounts (`oauth2`, `openidconnect`, `accounts`) and the
addresses of Cloud Run services (`*.run.app`).
"""


def render_coverage(services: Iterable[Service]) -> str:
    """Write the page."""
    by_name = {service.name: service for service in services}
    rows, sections = [], []
    for document in documents().values():
        if document.api == _ACCOUNTS:
            continue
        service = by_name.get(document.api)
        known = sorted(methods(document.name).values(), key=lambda m: m.name)
        answered = [m for m in known if service is not None and handled(service, m)]
        rows.append(f"| {document.title} | {document.version} | {len(known)} | {len(answered)} |\n")
        if answered:
            sections.append(_section(document, answered))
    return _INTRODUCTION + "".join(rows) + _OTHERS + "".join(sections)


def _section(document: Document, answered: list[DiscoveryMethod]) -> str:
    lines = [f"\n## {document.title} {document.version}\n\n| collection | methods |\n|---|---|\n"]
    for collection, members in groupby(answered, key=lambda m: m.name.rpartition(".")[0]):
        verbs = ", ".join(f"`{m.name.rpartition('.')[2]}`" for m in members)
        lines.append(f"| `{collection}` | {verbs} |\n")
    return "".join(lines)


def handled(service: Service, method: DiscoveryMethod) -> bool:
    """Return whether ``service`` handles ``method``; the front end itself has the methods of operations."""
    return service.method(method.version, method.name) is not None or is_operation_method(service, method)
