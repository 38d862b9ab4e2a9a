"""Network Management API (``networkmanagement.googleapis.com``): Connectivity Tests."""

from fogbank.services.contract import Service, operation_permissions
from fogbank.services.networkmanagement.connectivity_tests import COLLECTION, METHODS, finishes

SERVICE = Service(
    name="networkmanagement",
    title="Network Management API",
    versions=("v1",),
    methods=METHODS,
    permissions=operation_permissions("networkmanagement", "operations"),
    operation_response=COLLECTION.operation_response,
    finishes=finishes,
)
