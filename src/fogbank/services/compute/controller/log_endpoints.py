"""Who has an address of a VPC network, as log entries say it: instance, zone, subnetwork, service."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from fogbank.lowering.netns_names import device_to, vpc_netns
from fogbank.network.addressing import first_free
from fogbank.network.topology import Key, Link, Port
from fogbank.resources.compute import Subnetwork
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.instances import INSTANCES, instance_at, interfaces_of
from fogbank.resources.names import ResourceName
from fogbank.resources.run import SERVICE_LABEL
from fogbank.resources.run_jobs import JOB_LABEL
from fogbank.resources.vpcaccess import connectors_in
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.nat_status import instance_name

Owners = Mapping[Key, frozenset[ResourceName]]


@dataclass(frozen=True, slots=True)
class LogEndpoint:
    """An end of a connection; all None and empty for one outside of the network.

    ``instance`` is the name of a machine, ``owner`` the resource that it belongs to. ``serverless`` names the
    service or job of Cloud Run.
    """

    address: IPv4Address
    network: ResourceName
    subnetwork: Subnetwork | None = None
    owner: ResourceName | None = None
    instance: str = ""
    zone: str = ""
    serverless: Json = field(default_factory=dict)

    @property
    def region(self) -> str:
        """Its region."""
        return self.subnetwork.region if self.subnetwork else ""

    @property
    def is_serverless(self) -> bool:
        """Whether it belongs to Cloud Run."""
        return self.owner is not None and self.owner.service == "run"

    def instance_details(self) -> Json:
        """Describe its machine, as ``src_instance``; empty when it is none."""
        if not self.instance or self.is_serverless or self.subnetwork is None:
            return {}
        return {
            "project_id": (self.owner or self.subnetwork.name).project,
            "region": self.region,
            "zone": self.zone,
            "vm_name": self.instance,
        }

    def vpc_details(self) -> Json:
        """Describe its place in the network, as ``src_vpc``; empty when it is outside."""
        if self.subnetwork is None:
            return {}
        return {
            "project_id": self.network.project,
            "vpc_name": self.network.id,
            "subnetwork_name": self.subnetwork.name.id,
            "subnetwork_region": self.region,
        }

    def serverless_details(self) -> Json:
        """Describe its service or job, as ``src_serverless_details``; empty when it is none."""
        if not self.is_serverless or self.owner is None:
            return {}
        return {"project_id": self.owner.project, "region": self.region, **self.serverless}


class LogEndpoints:
    """Finds ends of connections of one ``network``; each is looked up once."""

    def __init__(self, world: World, owners: Owners, network: ResourceName) -> None:
        self._world, self._owners, self.network = world, owners, network
        self._found: dict[IPv4Address, LogEndpoint] = {}

    def at(self, address: IPv4Address) -> LogEndpoint:
        """Find who has ``address``."""
        known = self._found.get(address)
        if known is None:
            known = self._found[address] = self._find(address)
        return known

    def _find(self, address: IPv4Address) -> LogEndpoint:
        subnetwork = next((each for each in self._subnetworks if _contains(each, address)), None)
        if subnetwork is None:
            return LogEndpoint(address, self.network)
        owner = self._owner(address)
        instance = self._connector_machines.get(address) or (owner.id if owner else "")
        zone = (owner.segment("zones") if owner else None) or f"{subnetwork.region}-a"
        return LogEndpoint(address, self.network, subnetwork, owner, instance, zone, self._serverless(owner))

    def _serverless(self, owner: ResourceName | None) -> Json:
        """Name the service of a revision or the job of an execution; a revision is not named."""
        found = self._world.find(owner) if owner is not None and owner.service == "run" else None
        labels = found.body["metadata"].get("labels", {}) if found is not None else {}
        named = {"service_name": labels.get(SERVICE_LABEL), "job_name": labels.get(JOB_LABEL)}
        return {field_name: name for field_name, name in named.items() if name}

    def _owner(self, address: IPv4Address) -> ResourceName | None:
        near = Port(vpc_netns(self.network), device_to(address))
        owner = min(self._owners.get(Link(near, near).key, ()), default=None)
        if owner is not None:
            return owner
        found = instance_at(self._world, self.network, address) or self._with_alias(address)
        return found.name if found is not None else None

    def _with_alias(self, address: IPv4Address) -> Resource | None:
        """Find the machine that has ``address`` in one of its alias ranges."""
        return next((found for part, found in self._aliases if address in part), None)

    @cached_property
    def _aliases(self) -> list[tuple[IPv4Network, Resource]]:
        return [
            (part, found)
            for found in self._world.all(INSTANCES)
            for each in interfaces_of(found)
            if each.network == self.network
            for part in each.aliases
        ]

    @cached_property
    def _subnetworks(self) -> list[Subnetwork]:
        return [Subnetwork.of(each) for each in in_network(self._world, "subnetworks", self.network)]

    @cached_property
    def _connector_machines(self) -> dict[IPv4Address, str]:
        return {
            address: instance_name(connector, address)
            for connector in connectors_in(self._world, self.network)
            for address in first_free(connector.range, (), connector.instances)
        }


def _contains(subnetwork: Subnetwork, address: IPv4Address) -> bool:
    return any(address in part for part in subnetwork.ranges)
