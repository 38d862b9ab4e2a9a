"""Certificate Manager (``certificatemanager.googleapis.com``): certificates, DNS authorizations and maps."""

from collections.abc import Mapping

from fogbank.resources.operations import Operation
from fogbank.resources.world import Json, World
from fogbank.services.certificatemanager.authorizations import AUTHORIZATIONS
from fogbank.services.certificatemanager.certificates import CERTIFICATES
from fogbank.services.certificatemanager.entries import ENTRIES
from fogbank.services.certificatemanager.maps import MAPS
from fogbank.services.contract import List, Service
from fogbank.services.locations import list_locations

_COLLECTIONS = {each.name: each for each in (AUTHORIZATIONS, CERTIFICATES, MAPS, ENTRIES)}


def _response(world: World, operation: Operation) -> Mapping[str, Json] | None:
    collection = _COLLECTIONS.get(operation.target.collection)
    return collection.operation_response(world, operation) if collection else None


SERVICE = Service(
    name="certificatemanager",
    title="Certificate Manager API",
    versions=("v1",),
    methods={
        "projects.locations.list": List(
            list_locations, "locations", permission="certificatemanager.locations.list"
        ),
        **{key: method for each in _COLLECTIONS.values() for key, method in each.methods().items()},
    },
    permissions=(
        "certificatemanager.certs.use",
        "certificatemanager.certmaps.use",
        "certificatemanager.operations.get",
        "certificatemanager.operations.list",
    ),
    operation_response=_response,
)
