"""How a redis-server is started and what it is told then, purely.

It starts with a Unix socket only. When it has been told everything, it opens its port: no client ever meets
one that has no password yet. Blocked commands have names that only the region knows, so that a client gets
the error that Google's servers give (behaviour/memorystore-redis.md#commands).
"""

from collections.abc import Iterator

from fogbank.network.elements import DataFolder
from fogbank.resources.fleet import Container
from fogbank.resources.server_images import REDIS
from fogbank.services.redis.model import DEFAULT_POLICY, GIB, Node, RedisInstance

FOLDER = "/data"
ADMIN_SOCKET = "admin.sock"
DUMP = "dump.rdb"
CERTIFICATE, AUTHORITY = "server.pem", "ca.pem"
ADMIN, REPLICA = "fogbank", "replica"

BLOCKED = (
    "ACL",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLUSTER",
    "CONFIG",
    "DEBUG",
    "FAILOVER",
    "LASTSAVE",
    "MIGRATE",
    "MODULE",
    "MONITOR",
    "REPLICAOF",
    "SAVE",
    "SHUTDOWN",
    "SLAVEOF",
    "SYNC",
)
"""What clients may not call (behaviour/memorystore-redis.md#commands)."""

_REPLICATION = ("psync", "replconf")
"""What replicas call, by these names: a client is refused them as one without permission."""

_ROOT_BYTES = 64 * 1024 * 1024
"""Room for files beside the data folder; Redis's own memory is held by maxmemory."""

Command = tuple[str, ...]


def container(instance: RedisInstance, node: Node) -> Container:
    """Make a node's container."""
    return Container(
        image=REDIS.repository,
        ports=(instance.port,),
        command=tuple(_command_line(instance.secret)),
        memory_bytes=_ROOT_BYTES,
        data=(DataFolder(node.id, FOLDER),),
    )


def _command_line(secret: str) -> Iterator[str]:
    yield from ("redis-server", "--port", "0", "--protected-mode", "no", "--dir", FOLDER)
    yield from ("--unixsocket", f"{FOLDER}/{ADMIN_SOCKET}", "--unixsocketperm", "700")
    # No snapshot by itself; one when the region ends in an orderly way, which Google's never does.
    yield from (
        "--save",
        "",
        "--shutdown-on-sigterm",
        "save",
        "--shutdown-timeout",
        "0",
        "--dbfilename",
        DUMP,
    )
    yield from ("--repl-diskless-sync-delay", "0")  # no other replica is waited for
    yield from ("--user", "default", "on", "nopass", "~*", "&*", "+@all")
    yield from (f"-{each}" for each in _REPLICATION)
    yield from ("--user", ADMIN, "on", f">{secret}", "~*", "&*", "+@all")
    yield from ("--user", REPLICA, "on", f">{secret}", "+ping", *(f"+{each}" for each in _REPLICATION))
    for name in BLOCKED:
        yield from ("--rename-command", name, renamed(secret, name))


def renamed(secret: str, command: str) -> str:
    """Return what a blocked command is called here."""
    return f"{command}-{secret}"


def settings(instance: RedisInstance, node: Node) -> tuple[Command, ...]:
    """List the commands that make a server what the instance says; in this order, as often as one likes."""
    config = renamed(instance.secret, "CONFIG")
    values = [
        ("maxmemory", str(_memory(instance))),
        ("maxmemory-policy", DEFAULT_POLICY),
        ("requirepass", instance.password or ""),
        ("masteruser", REPLICA),
        ("masterauth", instance.secret),
        *((key, value) for key, value in instance.configs if key != "maxmemory-gb"),
    ]
    return (
        *((config, "SET", key, value) for key, value in values),
        *_encryption(config, instance),
        _role(instance, node),
        ("CLIENT", "UNPAUSE"),  # who has handed over took no writes, not even those of its primary
        _listen(config, instance),
    )


def _memory(instance: RedisInstance) -> int:
    """Return the bytes for data: all, or less when the instance keeps some free."""
    given = dict(instance.configs).get("maxmemory-gb")
    return min(instance.memory_bytes, int(float(given) * GIB)) if given else instance.memory_bytes


def _encryption(config: str, instance: RedisInstance) -> Iterator[Command]:
    if instance.tls:
        yield (
            *(config, "SET", "tls-cert-file", f"{FOLDER}/{CERTIFICATE}"),
            *("tls-key-file", f"{FOLDER}/{CERTIFICATE}"),
            *("tls-ca-cert-file", f"{FOLDER}/{AUTHORITY}"),
            *("tls-auth-clients", "no", "tls-replication", "yes"),
        )


def _role(instance: RedisInstance, node: Node) -> Command:
    replicaof = renamed(instance.secret, "REPLICAOF")
    if node.primary:
        return (replicaof, "NO", "ONE")
    return (replicaof, str(instance.host), str(instance.port))


def _listen(config: str, instance: RedisInstance) -> Command:
    return (config, "SET", "tls-port" if instance.tls else "port", str(instance.port))
