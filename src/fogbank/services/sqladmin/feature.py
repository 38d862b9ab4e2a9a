"""Cloud SQL's servers in a VPC network: a range behind a peering, reached from every region of the network.

See behaviour/cloud-sql.md#private-addresses.
"""

from fogbank.lowering.feature import Feature
from fogbank.lowering.managed_servers import ManagedServers, ManagedServersFeature
from fogbank.resources.world import Resource
from fogbank.services.sqladmin.model import INSTANCES, read_instance


def _servers(resource: Resource) -> ManagedServers:
    instance = read_instance(resource)
    return ManagedServers(
        instance.name,
        "sql",
        instance.network,
        instance.region,
        instance.range,
        instance.mark,
        ((instance.server, instance.address),),
        regional=False,
    )


FEATURES: tuple[Feature, ...] = (ManagedServersFeature(INSTANCES, _servers),)
