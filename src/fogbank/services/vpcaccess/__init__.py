"""Serverless VPC Access (``vpcaccess.googleapis.com``): connectors."""

from fogbank.services.contract import List, Read, Service, Write
from fogbank.services.locations import list_locations
from fogbank.services.vpcaccess import connectors

SERVICE = Service(
    name="vpcaccess",
    methods={
        "projects.locations.list": List(list_locations, "locations"),
        "projects.locations.connectors.create": Write(connectors.create),
        "projects.locations.connectors.get": Read(connectors.get),
        "projects.locations.connectors.list": List(connectors.list_, "connectors"),
        "projects.locations.connectors.patch": Write(connectors.patch),
        "projects.locations.connectors.delete": Write(connectors.delete),
    },
    converged=connectors.converged,
    operation_response=connectors.operation_response,
)
