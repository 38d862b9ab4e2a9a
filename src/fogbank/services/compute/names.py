"""Names and places of compute: what a name may look like, and where what a call is about has its place."""

import re

from fogbank.errors import invalid_value, required_field
from fogbank.resources.compute import DEFAULT_GATEWAY
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName, compute_name
from fogbank.resources.places import REGIONS, ZONES
from fogbank.resources.projects import project_id
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call

NAME_PATTERN = "(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"
_NAME = re.compile(NAME_PATTERN)
_NAME_OR_ID_PATTERN = "[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?|[1-9][0-9]{0,19}"
_NAME_OR_ID = re.compile(_NAME_OR_ID_PATTERN)


def check_name(field: str, value: object) -> None:
    """Refuse what is no name in compute (behaviour/vpc.md#networks)."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise invalid_value(field, value, f"Must be a match of regex '{NAME_PATTERN}'")


def new_identifier(body: Json) -> str:
    """Check the name in a body that makes something."""
    if not body.get("name"):
        raise required_field("resource.name")
    check_name("resource.name", body["name"])
    return str(body["name"])


def project_of(world: World, call: Call) -> str:
    """Return the id of the project in the call's path."""
    return project_id(world, call["project"])


def region_of(call: Call) -> str:
    """Return the region in the call's path, or that of its zone; refuses one that Google does not have."""
    if "zone" in call.parameters:
        return ZONES[zone_of(call)].name
    region = call["region"]
    if region not in REGIONS:
        raise invalid_value("region", region, "Unknown region.")
    return region


def zone_of(call: Call) -> str:
    """Return the zone in the call's path; refuses one that Google does not have."""
    zone = call["zone"]
    if zone not in ZONES:
        raise invalid_value("zone", zone, "Unknown zone.")
    return zone


def named(world: World, call: Call, kind: str, identifier: str) -> ResourceName:
    """Name what the call is about: ``identifier`` (a name or an id) of ``kind``, in the place of its path.

    Refuses what can be neither (behaviour/vpc.md#networks).
    """
    if not _NAME_OR_ID.fullmatch(identifier):
        field = next((each for each, value in call.parameters.items() if value == identifier), "name")
        raise invalid_value(field, identifier, f"Must be a match of regex '{_NAME_OR_ID_PATTERN}'")
    project = project_of(world, call)
    if kind == "globalAddresses":
        name = ResourceName("compute.globalAddresses", f"projects/{project}/global/addresses/{identifier}")
    elif "zone" in call.parameters:
        name = compute_name(kind, project, "zones", zone_of(call), identifier)
    elif "region" in call.parameters:
        name = compute_name(kind, project, "regions", region_of(call), identifier)
    else:
        name = compute_name(kind, project, "global", None, identifier)
    return by_id(world, name)


def by_id(world: World, name: ResourceName) -> ResourceName:
    """Return the real name of what is called by its id, as ``selfLinkWithId`` does; any other stays."""
    if not name.id.isdigit():  # a name begins with a letter
        return name
    place = name.path.rpartition("/")[0] + "/"
    found = world.with_id(name.collection, name.id, place)
    return name if found is None else found.name


def place_path(world: World, call: Call) -> str:
    """Return the beginning of the paths of everything in the project, region or zone of the call's path."""
    project = project_of(world, call)
    if "zone" in call.parameters:
        return f"projects/{project}/zones/{zone_of(call)}/"
    if "region" in call.parameters:
        return f"projects/{project}/regions/{region_of(call)}/"
    return f"projects/{project}/"


def gateway_link(project: str) -> str:
    """Return the link of a project's internet gateway."""
    return f"{COMPUTE_PREFIX}projects/{project}/global/gateways/{DEFAULT_GATEWAY}"
