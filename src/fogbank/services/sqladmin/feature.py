"""Cloud SQL's servers in a VPC network: a range behind a peering, reached from every region of the network.

See behaviour/cloud-sql.md#private-addresses.
"""

from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.feature import NOTHING, Contribution, Feature, Find, NetworkContext, Source
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.managed_servers import ManagedServers
from fogbank.lowering.workloads import containers
from fogbank.resources.fleet import Instance
from fogbank.services.sqladmin.model import INSTANCES, SqlInstance, read_instance


class CloudSql(Feature):
    """Servers of instances."""

    resources = frozenset({INSTANCES})
    instances = frozenset({INSTANCES})

    def contribution(self, source: Source, find: Find) -> Contribution:
        """Give an instance's server an interface in its network."""
        del find
        if isinstance(source, Instance):
            return NOTHING
        return Contribution((_servers(read_instance(source)).membership(),))

    def inside(
        self, source: Source, network: NetworkContext, endpoints: tuple[Endpoint, ...]
    ) -> Fragment | None:
        """Lower an instance's place."""
        if isinstance(source, Instance):
            return None
        servers = _servers(read_instance(source))
        return Fragment.of(servers.elements(network, endpoints), servers.name)

    def outside(self, source: Source) -> Fragment | None:
        """Lower a server: its place is there as long as the instance is."""
        return Fragment.of(containers(source), source.owner) if isinstance(source, Instance) else None


FEATURES: tuple[Feature, ...] = (CloudSql(),)


def _servers(instance: SqlInstance) -> ManagedServers:
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
