"""Compile Google's predefined roles to the table in the package: `python tools/generate_roles.py FOLDER`.

FOLDER has a JSON file for each role, as `gcloud iam roles describe ROLE --format=json` writes them; the
public data set iann0036/iam-dataset (MIT) keeps such a folder, `gcp/roles`, made from Google's IAM API. All
roles are kept by name, since a policy may bind any of them; permissions only of the APIs in PREFIXES.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fogbank.resources.predefined_roles import TABLE

PREFIXES = frozenset(
    {
        "artifactregistry",
        "certificatemanager",
        "cloudscheduler",
        "cloudsql",
        "cloudtrace",
        "compute",
        "container",
        "dns",
        "iam",
        "iap",
        "logging",
        "monitoring",
        "networkconnectivity",
        "networkmanagement",
        "networksecurity",
        "networkservices",
        "redis",
        "resourcemanager",
        "run",
        "secretmanager",
        "servicenetworking",
        "serviceusage",
        "spanner",
        "telemetry",
        "vpcaccess",
    }
)
"""The first words of the permissions that are kept: what is built, and what may be built next."""

DERIVED: Mapping[str, str] = {
    "artifactregistry.operations.get": "artifactregistry.repositories.get",
    "serviceusage.operations.delete": "serviceusage.services.enable",
    "serviceusage.operations.list": "serviceusage.operations.get",
    "vpcaccess.connectors.use": "vpcaccess.connectors.create",
}
"""Permissions that Google publishes in no role, or in none that people bind, each with the one whose roles
have it here."""

ALSO: Mapping[str, tuple[str, ...]] = {"vpcaccess.connectors.use": ("roles/vpcaccess.user",)}
"""Further roles of permissions. Google shares connectors by this role ("Connectors in the host project")."""


def render(roles: Iterable[Mapping[str, Any]]) -> str:
    """Write the table: a role a line (name, stage, title), then permissions by which roles have them."""
    known = sorted(roles, key=lambda role: str(role["name"]))
    holders: dict[str, list[str]] = defaultdict(list)
    for number, role in enumerate(known):
        for permission in role.get("includedPermissions", ()):
            if permission.partition(".")[0] in PREFIXES:
                holders[permission].append(str(number))
    for permission, like in DERIVED.items():
        also = {str(n) for n, role in enumerate(known) if role["name"] in ALSO.get(permission, ())}
        holders[permission] = sorted(also.union(holders[permission], holders[like]), key=int)
    groups: dict[str, list[str]] = defaultdict(list)
    for permission in sorted(holders):
        groups[" ".join(holders[permission])].append(permission)
    lines = [f"{role['name']}\t{role.get('stage', 'GA')}\t{role.get('title', '')}" for role in known]
    lines += ["", *(f"{' '.join(group)}\t{held}" for held, group in groups.items())]
    return "\n".join(lines) + "\n"


def main(folder: Path) -> None:
    """Read the roles and write the table."""
    TABLE.write_text(render(json.loads(path.read_text()) for path in folder.glob("*.json")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
