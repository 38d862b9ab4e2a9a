"""Regions and zones: Google's, all of them, always up."""

from collections import Counter
from collections.abc import Iterable

from fogbank.errors import not_found
from fogbank.resources.names import COMPUTE_PREFIX
from fogbank.resources.places import REGIONS, ZONES, RegionInfo
from fogbank.resources.world import Json, World
from fogbank.services.compute.names import project_of
from fogbank.services.compute.region_quotas import quotas, usage
from fogbank.services.contract import Call, List, Method, Read

_CREATED = "1969-12-31T16:00:00.000-08:00"
_FIRST_REGION, _FIRST_ZONE = 1000, 2000
_REGION_IDS = {name: _FIRST_REGION + 10 * index for index, name in enumerate(REGIONS)}
_ZONE_IDS = {name: _FIRST_ZONE + index for index, name in enumerate(ZONES)}


_CPU_PLATFORMS = (
    "Ampere Altra",
    "Intel Broadwell",
    "Intel Cascade Lake",
    "Intel Emerald Rapids",
    "AMD Genoa",
    "NVIDIA Grace",
    "Intel Granite Rapids",
    "Intel Haswell",
    "Intel Ice Lake",
    "Intel Ivy Bridge",
    "Google Axion",
    "AMD Milan",
    "AMD Rome",
    "Intel Sandy Bridge",
    "Intel Sapphire Rapids",
    "Intel Skylake",
    "AMD Turin",
)
"""What large zones offer (recorded for us-central1-a); no machine of the region has one yet."""


def _region(project: str, region: RegionInfo, used: Counter[tuple[str, str]]) -> Json:
    link = f"{COMPUTE_PREFIX}projects/{project}"
    return {
        "kind": "compute#region",
        "id": str(_REGION_IDS[region.name]),
        "creationTimestamp": _CREATED,
        "name": region.name,
        "description": region.name,
        "status": "UP",
        "zones": [f"{link}/zones/{zone}" for zone in region.zones],
        "quotas": list(quotas(region.name, used)),
        "selfLink": f"{link}/regions/{region.name}",
        "supportsPzs": False,
    }


def _zone(project: str, zone: str) -> Json:
    link = f"{COMPUTE_PREFIX}projects/{project}"
    return {
        "kind": "compute#zone",
        "id": str(_ZONE_IDS[zone]),
        "creationTimestamp": _CREATED,
        "name": zone,
        "description": zone,
        "status": "UP",
        "region": f"{link}/regions/{ZONES[zone].name}",
        "availableCpuPlatforms": list(_CPU_PLATFORMS),
        "selfLink": f"{link}/zones/{zone}",
        "supportsPzs": False,
    }


def get_region(world: World, call: Call) -> Json:
    """Show a region."""
    project, region = project_of(world, call), call["region"]
    if region not in REGIONS:
        raise not_found(f"projects/{project}/regions/{region}")
    return _region(project, REGIONS[region], usage(world, project))


def list_regions(world: World, call: Call) -> Iterable[Json]:
    """List all regions."""
    project = project_of(world, call)
    used = usage(world, project)
    return [_region(project, each, used) for each in REGIONS.values()]


def get_zone(world: World, call: Call) -> Json:
    """Show a zone."""
    project, zone = project_of(world, call), call["zone"]
    if zone not in ZONES:
        raise not_found(f"projects/{project}/zones/{zone}")
    return _zone(project, zone)


def list_zones(world: World, call: Call) -> Iterable[Json]:
    """List all zones."""
    project = project_of(world, call)
    return [_zone(project, each) for each in ZONES]


METHODS: dict[str, Method] = {
    "regions.get": Read(get_region, "compute.regions.get"),
    "regions.list": List(list_regions, permission="compute.regions.list"),
    "zones.get": Read(get_zone, "compute.zones.get"),
    "zones.list": List(list_zones, permission="compute.zones.list"),
}
