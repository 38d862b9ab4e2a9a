"""Compile Google's discovery documents to the tables in the package: `make generate`.

google-api-python-client brings the documents. Those of the APIs in the registry get their methods and
schemas, those in KNOWN only their methods.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fogbank.app.registry import services
from fogbank.discovery.compile import compile_document, index_entry
from fogbank.discovery.tables import FOLDER

KNOWN = (
    "artifactregistry.v1",
    "artifactregistry.v1beta2",
    "certificatemanager.v1",
    "cloudbilling.v1",
    "cloudbuild.v1",
    "container.v1",
    "container.v1beta1",
    "dns.v1",
    "dns.v1beta2",
    "iap.v1",
    "monitoring.v1",
    "networkconnectivity.v1",
    "networkmanagement.v1",
    "networkservices.v1",
    "oslogin.v1",
    "pubsub.v1",
    "redis.v1",
    "redis.v1beta1",
    "secretmanager.v1",
    "servicenetworking.v1",
    "spanner.v1",
    "storage.v1",
)
"""Documents that are there so that a refusal can name the method."""

OWN = Path(__file__).parent / "documents"
"""Descriptions of APIs of which Google publishes none, made from its reference."""

ACCOUNTS = "oauth2.v2"
"""What describes the hosts of accounts, which belong to no API that a project enables."""


def documents() -> Path:
    """Find the folder of documents in google-api-python-client; SystemExit when it is not installed."""
    spec = find_spec("googleapiclient")
    if spec is None or spec.origin is None:
        sys.exit("google-api-python-client is missing: install the dependency group 'generate'")
    return Path(spec.origin).parent / "discovery_cache" / "documents"


def built() -> list[str]:
    """List the documents of the APIs that the region answers."""
    return [ACCOUNTS, *(f"{each.name}.{version}" for each in services() for version in each.versions)]


def load(name: str) -> dict[str, Any]:
    """Read a document (``redis.v1``), Google's or ours; FileNotFoundError when neither is there."""
    ours = OWN / f"{name}.json"
    path = ours if ours.exists() else documents() / f"{name}.json"
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def write(name: str, *, with_schemas: bool) -> dict[str, Any]:
    """Write the tables of one document and return its entry in the index."""
    document = load(name)
    methods, schemas = compile_document(document)
    (FOLDER / f"{name}.methods").write_text(methods)
    if with_schemas:
        (FOLDER / f"{name}.schemas").write_text(schemas)
    return index_entry(document, methods)


def main() -> None:
    """Write all tables."""
    FOLDER.mkdir(exist_ok=True)
    implemented = built()
    names = sorted({*implemented, *KNOWN})
    index = {name: write(name, with_schemas=name in implemented) for name in names}
    (FOLDER / "index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
