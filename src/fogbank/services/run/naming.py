"""Names of services and jobs: what they may be, where, and which policy stands beside them."""

import re

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.places import REGIONS
from fogbank.resources.run import POLICIES
from fogbank.resources.world import World
from fogbank.services.run.objects import bad_request

LONGEST_NAME = 49

LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def policy_name(resource: ResourceName) -> ResourceName:
    """Name the IAM policy of a service or a job."""
    return ResourceName(POLICIES, resource.path)


def check_location(location: str | None) -> None:
    """Refuse a location that is no region, with 404."""
    if location not in REGIONS:
        raise ApiError(404, f"The requested location '{location}' was not found.", "NOT_FOUND", "notFound")


def check_new_name(world: World, name: ResourceName) -> None:
    """Refuse a name that cannot be, or that is taken."""
    check_location(name.region)
    if not LABEL.fullmatch(name.id) or len(name.id) > LONGEST_NAME:
        raise bad_request(
            f"metadata.name: '{name.id}' must use only lowercase letters, digits and hyphens, begin with a "
            f"letter, not end with a hyphen, and have at most {LONGEST_NAME} characters."
        )
    if world.find(name):
        raise ApiError(409, f"Resource '{name.id}' already exists.", "ALREADY_EXISTS", "alreadyExists")
