"""The connectors that revisions send packets through, as Cloud Run sees them: there, or not.

Templates are refused with these words, and services that lose a connector show them.
"""

from fogbank.resources.names import ResourceName
from fogbank.resources.world import World


def has_connector(world: World, connector: ResourceName) -> bool:
    """Return whether a connector exists and was not made in vain."""
    found = world.find(connector)
    return found is not None and found.body["state"] != "ERROR"


def connector_missing_message(connector: ResourceName) -> str:
    """Say in Google's words that there is no such connector (unverified)."""
    return f"VPC connector {connector.path} does not exist, or Cloud Run does not have permission to use it."
