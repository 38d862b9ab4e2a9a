"""The path of a call as pairs: one-platform APIs give it whole, as ``name``, ``parent`` or ``resource``."""

from fogbank.resources.projects import project_id
from fogbank.resources.world import World
from fogbank.services.contract import Call

_WHOLE = ("parent", "resource", "name")


def segments(call: Call) -> dict[str, str]:
    """Read the labelled parts of the call's path: ``{"projects": "p", "locations": "l"}``."""
    found: dict[str, str] = {}
    for key in _WHOLE:
        parts = str(call.parameters.get(key, "")).split("/")
        found |= dict(zip(parts[::2], parts[1::2], strict=False))
    return found


def project_of(world: World, call: Call) -> str:
    """Return the id of the project that the path names, by id or number; ``namespaces`` are projects too."""
    parts = segments(call)
    return project_id(world, parts.get("projects") or parts["namespaces"])


def location_of(call: Call) -> str:
    """Return the location in the call's path, or the one that its host stands for; ``-`` when neither."""
    return segments(call).get("locations") or str(call.parameters.get("location") or "-")
