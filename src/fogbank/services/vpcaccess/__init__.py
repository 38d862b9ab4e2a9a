"""Serverless VPC Access (``vpcaccess.googleapis.com``): connectors."""

from fogbank.services.contract import List, Read, Service, Write
from fogbank.services.locations import list_locations
from fogbank.services.vpcaccess import connectors

SERVICE = Service(
    name="vpcaccess",
    title="Serverless VPC Access API",
    versions=("v1", "v1beta1"),
    methods={
        "projects.locations.list": List(list_locations, "locations", permission="vpcaccess.locations.list"),
        "projects.locations.connectors.create": Write(connectors.create, "vpcaccess.connectors.create"),
        "projects.locations.connectors.get": Read(connectors.get, "vpcaccess.connectors.get"),
        "projects.locations.connectors.list": List(
            connectors.list_, "connectors", permission="vpcaccess.connectors.list"
        ),
        "projects.locations.connectors.patch": Write(connectors.patch, "vpcaccess.connectors.update"),
        "projects.locations.connectors.delete": Write(connectors.delete, "vpcaccess.connectors.delete"),
    },
    permissions=("vpcaccess.connectors.use", "vpcaccess.operations.get", "vpcaccess.operations.list"),
    converged=connectors.converged,
    operation_response=connectors.operation_response,
)
