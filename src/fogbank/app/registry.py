"""The Google APIs that the region answers: one name a line, each a package below ``fogbank.services``.

Whoever needs to know which APIs there are asks here: the region, Service Usage, IAM's permissions, the
compiler of Google's descriptions, the page of what is covered.
"""

from functools import cache
from importlib import import_module

from fogbank.app.manifest import Manifest
from fogbank.services.contract import Service

APIS: tuple[str, ...] = (
    "artifactregistry",
    "certificatemanager",
    "cloudbilling",
    "cloudresourcemanager",
    "cloudscheduler",
    "cloudtrace",
    "compute",
    "dns",
    "iam",
    "iamcredentials",
    "logging",
    "monitoring",
    "networkmanagement",
    "redis",
    "run",
    "secretmanager",
    "servicenetworking",
    "serviceusage",
    "spanner",
    "sqladmin",
    "telemetry",
    "vpcaccess",
)


def load(api: str) -> Manifest:
    """Import an API's manifest."""
    manifest: Manifest = import_module(f"fogbank.services.{api}.manifest").MANIFEST
    return manifest


@cache
def manifests() -> tuple[Manifest, ...]:
    """Import the manifest of every API."""
    return tuple(map(load, APIS))


def services() -> tuple[Service, ...]:
    """Return what every API answers."""
    return tuple(manifest.service for manifest in manifests())
