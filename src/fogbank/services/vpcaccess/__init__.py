"""Serverless VPC Access (``vpcaccess.googleapis.com``): connectors."""

from fogbank.services.contract import List, Service
from fogbank.services.locations import list_locations
from fogbank.services.vpcaccess.connectors import COLLECTION

SERVICE = Service(
    name="vpcaccess",
    title="Serverless VPC Access API",
    versions=("v1", "v1beta1"),
    methods={
        "projects.locations.list": List(list_locations, "locations", permission="vpcaccess.locations.list"),
        **COLLECTION.methods(),
    },
    permissions=("vpcaccess.connectors.use", "vpcaccess.operations.get", "vpcaccess.operations.list"),
    converged=COLLECTION.converged,
    operation_response=COLLECTION.operation_response,
)
