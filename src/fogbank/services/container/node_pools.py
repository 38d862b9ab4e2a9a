"""Node pools, which are part of their cluster; one with nodes is refused by name until nodes are built."""

from fogbank.errors import ApiError
from fogbank.resources.world import Json, World
from fogbank.services.container.clusters import find
from fogbank.services.contract import Call
from fogbank.services.segments import segments


def get(world: World, call: Call) -> Json:
    """Show a node pool."""
    cluster, identifier = find(world, call), segments(call)["nodePools"]
    found: Json | None = next(
        (each for each in cluster.body["nodePools"] if each["name"] == identifier), None
    )
    if found is None:
        raise ApiError(
            404, f"Not found: {cluster.name.path}/nodePools/{identifier}.", "NOT_FOUND", "notFound"
        )
    return found


def list_(world: World, call: Call) -> Json:
    """List the node pools of a cluster."""
    return {"nodePools": find(world, call).body["nodePools"]}
