"""Serverless VPC Access connectors, read from their stored JSON into real types.

What a connector resolved to when it was made (its network, its range) is in the resource's private part, so
later changes of the references cannot move it. So is how many instances it has grown to.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World

CONNECTORS = "vpcaccess.connectors"

State = Literal["READY", "CREATING", "DELETING", "ERROR", "UPDATING"]

AUTOMATIC = "automatic"
"""Key in the private part of a firewall rule that a connector made: the connector's path. It cannot be
changed or deleted by itself (behaviour/serverless-vpc-access.md#firewall-rules)."""

RATES = {"f1-micro": 50_000_000, "e2-micro": 100_000_000, "e2-standard-4": 1_600_000_000}
"""Bits per second that one instance of a machine type forwards.

See behaviour/serverless-vpc-access.md#scaling.
"""


@dataclass(frozen=True, slots=True)
class Connector:
    """A group of ``instances`` forwarding machines in ``network``, with addresses from ``range`` (a /28).

    ``subnet`` is the user's subnet, or None when Google keeps a hidden one. ``rate`` is bits a
    second for each instance. A connector in state ERROR has no instances.
    """

    name: ResourceName
    network: ResourceName
    subnet: ResourceName | None
    range: IPv4Network
    machine_type: str
    min_instances: int
    max_instances: int
    instances: int
    state: State

    @property
    def rate(self) -> int:
        return RATES[self.machine_type]

    @property
    def region(self) -> str:
        return self.name.region or ""

    @property
    def tags(self) -> tuple[str, str]:
        """The network tags that its instances carry (behaviour/serverless-vpc-access.md#data-path)."""
        return ("vpc-connector", f"vpc-connector-{self.region}-{self.name.id}")


def connector_name(project: str, location: str, identifier: str) -> ResourceName:
    """Name a connector."""
    return ResourceName(CONNECTORS, f"projects/{project}/locations/{location}/connectors/{identifier}")


def read_connector(resource: Resource) -> Connector:
    """Read a stored connector."""
    body, private = resource.body, resource.private
    subnet = private.get("subnet")
    return Connector(
        name=resource.name,
        network=ResourceName("compute.networks", private["network"]),
        subnet=ResourceName("compute.subnetworks", subnet) if subnet else None,
        range=IPv4Network(private["range"]),
        machine_type=body["machineType"],
        min_instances=int(body["minInstances"]),
        max_instances=int(body["maxInstances"]),
        instances=int(private["instances"]),
        state=body["state"],
    )


def _network_of(connector: Resource) -> tuple[str]:
    return (connector.private["network"],)


_BY_NETWORK = Index(CONNECTORS, _network_of)


def connectors_in(world: World, network: ResourceName) -> tuple[Connector, ...]:
    """List the connectors with instances in ``network``, by name."""
    found = map(read_connector, world.by(_BY_NETWORK, network.path))
    return tuple(connector for connector in found if connector.state != "ERROR")
