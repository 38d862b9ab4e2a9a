"""Memorystore instances, read from their stored JSON into real types.

What an instance was given when it was made (its network, its range, its secrets, which node is primary) is in
the resource's private part.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource

INSTANCES = "redis.instances"

GIB = 1024**3
PLAIN_PORT, TLS_PORT = 6379, 6378
"""Where clients connect (behaviour/memorystore-redis.md#instances)."""

DEFAULT_POLICY = "volatile-lru"
"""What an instance evicts unless it is told otherwise (behaviour/memorystore-redis.md#instances)."""

IN_CHANGE = frozenset({"CREATING", "UPDATING", "FAILING_OVER"})
"""The states from which an instance becomes READY when its servers are as they should be."""


@dataclass(frozen=True, slots=True)
class Node:
    """One server of an instance: ``id`` is its container's, ``address`` the one that it has now."""

    id: str
    number: int
    zone: str
    address: IPv4Address
    primary: bool


@dataclass(frozen=True, slots=True)
class RedisInstance:
    """A Redis of ``memory_bytes`` in ``network``, reached at ``host``:``port``.

    ``range`` is what it holds of the network. ``password`` is None without AUTH. ``secret`` is the part of
    the commands' names and the password that only the region knows. ``persistent`` says whether snapshots
    are taken and read again.
    """

    name: ResourceName
    network: ResourceName
    region: str
    range: IPv4Network
    host: IPv4Address
    tls: bool
    memory_bytes: int
    configs: tuple[tuple[str, str], ...]
    password: str | None
    secret: str
    persistent: bool
    state: str
    nodes: tuple[Node, ...]
    failover: bool | None = None
    """Whether a failover was asked for that may lose data; None when none was."""

    @property
    def port(self) -> int:
        return TLS_PORT if self.tls else PLAIN_PORT

    @property
    def primary(self) -> Node:
        return next(each for each in self.nodes if each.primary)

    @property
    def mark(self) -> str:
        """What firewall rules choose its nodes by."""
        return f"redis-{self.range.network_address}"


def read_instance(resource: Resource) -> RedisInstance:
    """Read a stored instance."""
    body, private = resource.body, resource.private
    within = IPv4Network(private["range"])
    zones = tuple(each["zone"] for each in body["nodes"])
    host, others = addresses(within, len(zones))
    return RedisInstance(
        name=resource.name,
        network=ResourceName("compute.networks", private["network"]),
        region=resource.name.region or "",
        range=within,
        host=host,
        tls=body["transitEncryptionMode"] == "SERVER_AUTHENTICATION",
        memory_bytes=int(body["memorySizeGb"]) * GIB,
        configs=tuple(sorted(body.get("redisConfigs", {}).items())),
        password=private.get("password"),
        secret=private["secret"],
        persistent=body["persistenceConfig"]["persistenceMode"] == "RDB",
        state=body["state"],
        nodes=_nodes(resource, zones, host, others),
        failover=private["failover"]["forced"] if "failover" in private else None,
    )


def _nodes(
    resource: Resource, zones: tuple[str, ...], host: IPv4Address, others: tuple[IPv4Address, ...]
) -> tuple[Node, ...]:
    """Give the primary the host's address, and the replicas the others in order."""
    primary, free = int(resource.private["primary"]), list(others)
    return tuple(
        Node(
            f"redis-{resource.id:x}-{number}",
            number,
            zone,
            host if number == primary else free.pop(0),
            number == primary,
        )
        for number, zone in enumerate(zones)
    )


def addresses(within: IPv4Network, nodes: int) -> tuple[IPv4Address, tuple[IPv4Address, ...]]:
    """Return the address of the host and those of the replicas, from the range of an instance.

    Of a /29 a single node has the fourth address; with a replica the host has the fifth
    (behaviour/memorystore-redis.md#instances).
    """
    if nodes == 1:
        return within[3], ()
    return within[4], tuple(within[index] for index in (3, *range(5, 3 + nodes)))


def show(resource: Resource) -> Json:
    """Render an instance as clients see it."""
    return resource.body
