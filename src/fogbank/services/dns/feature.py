"""What Cloud DNS adds to VPC networks: the place where the queries begin that it forwards through one.

It exists while a zone or a server policy of the network forwards queries (behaviour/cloud-dns.md#forwarding).
"""

from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.feature import NOTHING, Contribution, Feature, Find, Source
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.google_sources import forwarded_queries
from fogbank.resources.dns import ZONES
from fogbank.resources.dns_policies import SERVER_POLICIES, forwarding_targets
from fogbank.resources.fleet import Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource

FORWARDERS = "dns.forwarders"
"""What all forwarding zones and policies of a network share; nothing of this collection is ever stored."""


class Forwarding(Feature):
    """Forwarding zones and server policies."""

    resources = frozenset({ZONES, SERVER_POLICIES, FORWARDERS})

    def contribution(self, source: Source, find: Find) -> Contribution:
        """Give each network through which queries go a place where they begin."""
        if isinstance(source, Instance):
            return NOTHING
        field = "forwardingConfig" if source.name.collection == ZONES else "alternativeNameServerConfig"
        if not any(each.private for each in forwarding_targets(source.body.get(field))):
            return NOTHING
        networks = [ResourceName("compute.networks", each) for each in source.private.get("networks", ())]
        shared = tuple(ResourceName(FORWARDERS, each.path) for each in networks if find(each))
        return Contribution(shared=shared, reads=tuple(networks))

    def shared(
        self, name: ResourceName, resource: Resource | None, endpoints: tuple[Endpoint, ...]
    ) -> Fragment:
        """Lower the place beside one network."""
        del resource, endpoints
        return Fragment.of(forwarded_queries(ResourceName("compute.networks", name.path)))


FEATURES: tuple[Feature, ...] = (Forwarding(),)
