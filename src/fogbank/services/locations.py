"""Where a one-platform API has its resources: in every region."""

from collections.abc import Iterable

from fogbank.resources.places import REGIONS
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.segments import project_of


def list_locations(world: World, call: Call) -> Iterable[Json]:
    """List the regions, as ``projects.locations.list`` of any such API does."""
    project = project_of(world, call)
    return [
        {
            "name": f"projects/{project}/locations/{region}",
            "locationId": region,
            "labels": {"cloud.googleapis.com/region": region},
        }
        for region in REGIONS
    ]
