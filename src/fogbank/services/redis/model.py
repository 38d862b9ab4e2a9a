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
    more_ranges: tuple[IPv4Network, ...] = ()
    """What it got of the network when its read replicas were enabled."""
    read_endpoint: IPv4Address | None = None
    """Where connections are spread over the replicas; None without read replicas."""
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
    more = tuple(map(IPv4Network, private.get("moreRanges", ())))
    host, others, read_endpoint = addresses(within, len(body["nodes"]), more, reads=has_read_replicas(body))
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
        nodes=_nodes(resource, host, others),
        more_ranges=more,
        read_endpoint=read_endpoint,
        failover=private["failover"]["forced"] if "failover" in private else None,
    )


def _nodes(resource: Resource, host: IPv4Address, others: tuple[IPv4Address, ...]) -> tuple[Node, ...]:
    """Give the primary the host's address, and the replicas the others in order."""
    primary, free = int(resource.private["primary"]), list(others)
    return tuple(
        Node(
            f"redis-{resource.id:x}-{number}",
            number,
            each["zone"],
            host if number == primary else free.pop(0),
            number == primary,
        )
        for each in resource.body["nodes"]
        for number in (number_of(each),)
    )


def number_of(node: Json) -> int:
    """Return the number of a node, which it keeps for as long as it is there."""
    return int(node["id"].rpartition("-")[2])


def has_read_replicas(body: Json) -> bool:
    """Return whether an instance has a read endpoint."""
    return bool(body.get("readReplicasMode") == "READ_REPLICAS_ENABLED")


def addresses(
    within: IPv4Network, nodes: int, more: tuple[IPv4Network, ...] = (), *, reads: bool = False
) -> tuple[IPv4Address, tuple[IPv4Address, ...], IPv4Address | None]:
    """Return the address of the host, those of the replicas, and the read endpoint, None without ``reads``.

    Of a /29 a single node has the fourth address; with a replica the host has the fifth
    (behaviour/memorystore-redis.md#instances). The read endpoint is the sixth of the last range.
    """
    if nodes == 1:
        return within[3], (), None
    if not reads:
        return within[4], (within[3],), None
    last = more[-1] if more else within
    used = {within[3], within[4], last[5]}
    free = (each for each in list(last)[2:-1] if each not in used)
    return (
        within[4],
        (within[3], *(address for _, address in zip(range(nodes - 2), free, strict=False))),
        last[5],
    )


def show(resource: Resource) -> Json:
    """Render an instance as clients see it."""
    return resource.body
