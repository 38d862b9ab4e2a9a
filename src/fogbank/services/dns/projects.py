"""What Cloud DNS allows a project (https://cloud.google.com/dns/quotas)."""

from fogbank.resources.projects import project_number
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call

_QUOTA = {
    "managedZones": 10000,
    "managedZonesPerNetwork": 10000,
    "networksPerManagedZone": 100,
    "resourceRecordsPerRrset": 100,
    "rrsetAdditionsPerChange": 1000,
    "rrsetDeletionsPerChange": 1000,
    "rrsetsPerManagedZone": 10000,
    "totalRrdataSizePerChange": 100000,
}


def get(world: World, call: Call) -> Json:
    """Show a project's quotas."""
    return {
        "kind": "dns#project",
        "id": call["project"],
        "number": project_number(world, call["project"]),
        "quota": {"kind": "dns#quota", **_QUOTA},
    }
