"""What compute knows of a project: its default service account, its metadata, how much of what it has.

The limits are shown as Google shows its quotas; the region does not hold anybody to them.
"""

from fogbank.errors import not_found
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.instances import metadata_name
from fogbank.resources.names import COMPUTE_PREFIX
from fogbank.resources.projects import compute_account, project_name
from fogbank.resources.shared_vpc import is_host
from fogbank.resources.world import Json, World
from fogbank.services.compute.factories import timestamp
from fogbank.services.compute.instances.changes import set_project_metadata
from fogbank.services.compute.names import project_of
from fogbank.services.contract import Call, Method, Read, Write

_QUOTAS = {
    "NETWORKS": ("networks", 15.0),
    "SUBNETWORKS": ("subnetworks", 1000.0),
    "FIREWALLS": ("firewalls", 1000.0),
    "ROUTES": ("routes", 250.0),
    "ROUTERS": ("routers", 20.0),
    "IMAGES": ("images", 2000.0),
    "STATIC_ADDRESSES": ("addresses", 254.0),
}
"""Metric to collection and limit; the limits are Google's usual ones.

See behaviour/vpc.md#quotas, unverified.
"""


def get(world: World, call: Call) -> Json:
    """Show a project as compute does."""
    return shown_project(world, project_of(world, call))


def shown_project(world: World, project: str) -> Json:
    """Show a project by its id."""
    found = world.find(project_name(project))
    if found is None:
        raise not_found(f"projects/{project}")
    return {
        "kind": "compute#project",
        "id": str(found.body["projectNumber"]),
        "creationTimestamp": timestamp(found.created),
        "name": project,
        "commonInstanceMetadata": _metadata(world, project),
        "quotas": [_quota(world, project, metric) for metric in _QUOTAS],
        "selfLink": f"{COMPUTE_PREFIX}projects/{project}",
        "defaultServiceAccount": compute_account(str(found.body["projectNumber"])),
        "xpnProjectStatus": "HOST" if is_host(world, project) else "UNSPECIFIED_XPN_PROJECT_STATUS",
        "defaultNetworkTier": "PREMIUM",
        "vmDnsSetting": "ZONAL_ONLY",
        "cloudArmorTier": "CA_STANDARD",
    }


def _metadata(world: World, project: str) -> Json:
    """Show the metadata that all instances of a project share."""
    kept = world.find(metadata_name(project))
    return kept.body if kept else {"kind": "compute#metadata", "fingerprint": fingerprint({})}


def _quota(world: World, project: str, metric: str) -> Json:
    kind, limit = _QUOTAS[metric]
    count = world.count(f"compute.{kind}", f"projects/{project}/")
    return {"metric": metric, "limit": limit, "usage": float(count)}


METHODS: dict[str, Method] = {
    "projects.get": Read(get, "compute.projects.get"),
    "projects.setCommonInstanceMetadata": Write(
        set_project_metadata, "compute.projects.setCommonInstanceMetadata"
    ),
}
