"""Memorystore's nodes in a VPC network: a range behind a peering, reached from its own region only.

See behaviour/memorystore-redis.md#data-path.
"""

from fogbank.lowering.feature import Feature
from fogbank.lowering.managed_servers import ManagedServers, ManagedServersFeature
from fogbank.resources.world import Resource
from fogbank.services.redis.model import INSTANCES, read_instance


def _nodes(resource: Resource) -> ManagedServers:
    instance = read_instance(resource)
    return ManagedServers(
        instance.name,
        "redis",
        instance.network,
        instance.region,
        instance.range,
        instance.mark,
        tuple((node.id, node.address) for node in instance.nodes),
        regional=True,
    )


FEATURES: tuple[Feature, ...] = (ManagedServersFeature(INSTANCES, _nodes),)
