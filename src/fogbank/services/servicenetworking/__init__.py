"""Service Networking (``servicenetworking.googleapis.com``): private services access."""

from fogbank.services.contract import Service, operation_permissions
from fogbank.services.servicenetworking.connections import METHODS

SERVICE = Service(
    name="servicenetworking",
    title="Service Networking API",
    versions=("v1",),
    methods=METHODS,
    permissions=operation_permissions("servicenetworking", "operations"),
)
