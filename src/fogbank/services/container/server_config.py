"""Which versions of Kubernetes there are: the one that is built (behaviour/kubernetes-engine.md#versions)."""

from fogbank.errors import ApiError
from fogbank.resources.places import REGIONS, ZONES
from fogbank.resources.server_images import KUBERNETES_RELEASE, KUBERNETES_VERSION
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.segments import location_of

VERSION = KUBERNETES_RELEASE
CHANNELS = ("RAPID", "REGULAR", "STABLE", "EXTENDED")


def get(world: World, call: Call) -> Json:
    """Show what clusters of a location may be."""
    del world
    check_location(location_of(call))
    channels = [{"channel": each, "defaultVersion": VERSION, "validVersions": [VERSION]} for each in CHANNELS]
    return {
        "defaultClusterVersion": VERSION,
        "validMasterVersions": [VERSION],
        "validNodeVersions": [VERSION],
        "defaultImageType": "COS_CONTAINERD",
        "validImageTypes": ["COS_CONTAINERD"],
        "channels": channels,
    }


def check_location(location: str) -> str:
    """Refuse a location that is neither a region nor a zone; return the region."""
    if location in REGIONS:
        return location
    if location not in ZONES:
        raise ApiError(400, f'Location "{location}" does not exist.', "INVALID_ARGUMENT", "badRequest")
    return ZONES[location].name


def check_version(wanted: str) -> None:
    """Refuse a version that is not the one built: ``latest``, ``-``, 1.33 and 1.33.13 mean it."""
    numbers = KUBERNETES_VERSION.split(".")
    meant = {"", "-", "latest", VERSION, KUBERNETES_VERSION, ".".join(numbers[:2])}
    if wanted not in meant:
        raise ApiError(
            400,
            f'Master version "{wanted}" is unsupported. The supported version is "{VERSION}".',
            "INVALID_ARGUMENT",
            "badRequest",
        )
