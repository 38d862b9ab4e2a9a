"""Memorystore's nodes in a VPC network: a range behind a peering, reached from its own region only.

See behaviour/memorystore-redis.md#data-path.
"""

from ipaddress import IPv4Address

from fogbank.lowering.feature import Feature
from fogbank.lowering.managed_servers import ManagedServers, ManagedServersFeature
from fogbank.resources.world import Resource
from fogbank.services.redis.model import INSTANCES, RedisInstance, read_instance


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
        more_ranges=instance.more_ranges,
        shared=_reads(instance),
    )


def _reads(instance: RedisInstance) -> tuple[IPv4Address, tuple[IPv4Address, ...]] | None:
    """Return the read endpoint, and the replicas that its connections are spread over."""
    if instance.read_endpoint is None:
        return None
    return instance.read_endpoint, tuple(each.address for each in instance.nodes if not each.primary)


FEATURES: tuple[Feature, ...] = (ManagedServersFeature(INSTANCES, _nodes),)
