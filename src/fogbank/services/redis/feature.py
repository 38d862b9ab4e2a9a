"""Memorystore's nodes in a VPC network: a range behind a peering, reached from its own region only.

Google has them in a network of its own that is peered with the authorized one. What that means for a packet
is lowered here: the range is routed, clients' egress rules apply to what they send, no rule of the user's
applies to the nodes, Cloud NAT does not serve them, and nothing but replication leaves them
(behaviour/memorystore-redis.md#data-path).
"""

from collections.abc import Iterator

from fogbank.lowering.endpoints import Endpoint, region_mark
from fogbank.lowering.feature import (
    NOTHING,
    Contribution,
    Feature,
    Find,
    Interface,
    Membership,
    NetworkContext,
    Source,
)
from fogbank.lowering.firewall import EffectiveRule
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import ETH1, instance_netns
from fogbank.lowering.vpc import interface, ranges
from fogbank.lowering.workloads import containers
from fogbank.network.addressing import ANYWHERE, VPC_ROUTER
from fogbank.network.topology import Element, Hop, NetworkNamespace, Route, Rule, Traffic
from fogbank.resources.compute import PEERED, Subnetwork
from fogbank.resources.fleet import Instance
from fogbank.resources.names import ResourceName
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
        return Contribution((_membership(read_instance(source)),))

    def inside(
        self, source: Source, network: NetworkContext, endpoints: tuple[Endpoint, ...]
    ) -> Fragment | None:
        """Lower an instance's nodes."""
        if isinstance(source, Instance):
            return None
        instance = read_instance(source)
        return Fragment.of(_elements(instance, network, endpoints), instance.name)

    def outside(self, source: Source) -> Fragment | None:
        """Lower a server: its node is there as long as the instance is."""
        return Fragment.of(containers(source), source.owner) if isinstance(source, Instance) else None


FEATURES: tuple[Feature, ...] = (Redis(),)


def _membership(instance: RedisInstance) -> Membership:
    return Membership(
        instance.network,
        subnetworks=(_hidden(instance),),
        interfaces=tuple(
            Interface(
                instance_netns(node.id),
                instance.region,
                frozenset({instance.mark}),
                instance.name,
                address=node.address,
            )
            for node in instance.nodes
        ),
        rules=tuple(_rules(instance)),
    )


def _hidden(instance: RedisInstance) -> Subnetwork:
    """Make the producer's subnetwork."""
    name = instance.name
    path = f"projects/{name.project}/regions/{instance.region}/subnetworks/redis-{name.id}"
    return Subnetwork(
        ResourceName("compute.subnetworks", path),
        instance.network,
        instance.region,
        instance.range,
        instance.range[1],
        PEERED,
    )


def _rules(instance: RedisInstance) -> Iterator[EffectiveRule]:
    """Let the region's endpoints reach the nodes, and nodes one another, before any rule of the user's."""
    label = f"redis-{instance.name.id}"
    targets = frozenset({instance.mark})
    path = instance.name.path
    from_region = Rule("allow", (Traffic(),), address_sets=(region_mark(instance.region),), label=label)
    from_elsewhere = Rule("deny", (Traffic(),), label=label)
    replication = Rule("allow", (Traffic(),), destinations=(instance.range,), label=label)
    for order, (direction, rule) in enumerate(
        (
            ("INGRESS", from_region),
            ("INGRESS", from_elsewhere),
            ("EGRESS", replication),
            ("EGRESS", from_elsewhere),
        )
    ):
        yield EffectiveRule(
            instance.name,
            instance.network,
            "INGRESS" if direction == "INGRESS" else "EGRESS",
            targets,
            rule,
            (order - 4, False, path),
        )


def _elements(
    instance: RedisInstance, network: NetworkContext, endpoints: tuple[Endpoint, ...]
) -> Iterator[Element]:
    yield from ranges(network.name, instance.range[1], (instance.range,))
    for endpoint in endpoints:
        yield NetworkNamespace(endpoint.netns)
        yield from interface(endpoint, network.mtu)
        yield Route(endpoint.netns, ANYWHERE, (Hop(ETH1, VPC_ROUTER),), endpoint.address)
