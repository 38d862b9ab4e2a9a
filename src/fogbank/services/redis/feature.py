"""Memorystore's nodes in a VPC network: a range behind a peering, reached from its own region only.

See behaviour/memorystore-redis.md#data-path.
"""

from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.feature import NOTHING, Contribution, Feature, Find, NetworkContext, Source
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.managed_servers import ManagedServers
from fogbank.lowering.workloads import containers
from fogbank.resources.fleet import Instance
from fogbank.services.redis.model import INSTANCES, RedisInstance, read_instance


class Redis(Feature):
    """Nodes of instances, and the servers that run in them."""

    resources = frozenset({INSTANCES})
    instances = frozenset({INSTANCES})

    def contribution(self, source: Source, find: Find) -> Contribution:
        """Give an instance's nodes interfaces in the authorized network."""
        del find
        if isinstance(source, Instance):
            return NOTHING
        return Contribution((_nodes(read_instance(source)).membership(),))

    def inside(
        self, source: Source, network: NetworkContext, endpoints: tuple[Endpoint, ...]
    ) -> Fragment | None:
        """Lower an instance's nodes."""
        if isinstance(source, Instance):
            return None
        nodes = _nodes(read_instance(source))
        return Fragment.of(nodes.elements(network, endpoints), nodes.name)

    def outside(self, source: Source) -> Fragment | None:
        """Lower a server: its node is there as long as the instance is."""
        return Fragment.of(containers(source), source.owner) if isinstance(source, Instance) else None


FEATURES: tuple[Feature, ...] = (Redis(),)


def _nodes(instance: RedisInstance) -> ManagedServers:
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
