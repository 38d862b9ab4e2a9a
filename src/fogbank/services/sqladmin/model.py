"""Cloud SQL instances, read from their stored JSON into real types.

What was given when an instance was made (its network, its range, its secret) and what its server is still to
be told (``work``) is in the resource's private part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World

INSTANCES, DATABASES, USERS, OPERATIONS = (
    "sqladmin.instances",
    "sqladmin.databases",
    "sqladmin.users",
    "sqladmin.operations",
)

PORT = 5432
OF_THE_INSTANCE = frozenset({"set up", "configure"})
"""Work that the state of an instance waits for; the rest is on its databases and users."""
MIB = 1024**2

TIERS: Mapping[str, tuple[int, int]] = {
    "db-f1-micro": (614, 1),
    "db-g1-small": (1740, 1),
    **{f"db-custom-{cpus}-{3840 * cpus}": (3840 * cpus, cpus) for cpus in (1, 2, 4)},
}
"""MiB of memory and processors of the tiers that a list shows (behaviour/cloud-sql.md#instances)."""


@dataclass(frozen=True, slots=True)
class SqlInstance:
    """A PostgreSQL of ``memory_bytes`` at ``address`` in ``network``; ``server`` is its container's id.

    ``wanted`` says whether it should run: one that is to stop does first what calls have left for it.
    ``work`` is what it is to be told yet, in order.
    """

    name: ResourceName
    network: ResourceName
    region: str
    range: IPv4Network
    address: IPv4Address
    memory_bytes: int
    flags: tuple[tuple[str, str], ...]
    encrypted_only: bool
    wanted: bool
    restarts: int
    state: str
    server: str
    work: tuple[Json, ...]

    @property
    def mark(self) -> str:
        """What firewall rules choose its server by."""
        return f"sql-{self.range.network_address}"


def read_instance(resource: Resource) -> SqlInstance:
    """Read a stored instance."""
    body, private = resource.body, resource.private
    settings = body["settings"]
    within = IPv4Network(private["range"])
    return SqlInstance(
        name=resource.name,
        network=ResourceName("compute.networks", private["network"]),
        region=body["region"],
        range=within,
        address=server_address(within),
        memory_bytes=memory_of(settings["tier"]) * MIB,
        flags=tuple((each["name"], each["value"]) for each in settings.get("databaseFlags", ())),
        encrypted_only=settings["ipConfiguration"].get("sslMode") == "ENCRYPTED_ONLY",
        wanted=not private.get("deleting")
        and (settings["activationPolicy"] == "ALWAYS" or _has_more(private)),
        restarts=int(private.get("restarts", 0)),
        state=body["state"],
        server=f"sqladmin-{resource.id:x}",
        work=tuple(private.get("work", ())),
    )


def _has_more(private: Json) -> bool:
    """Return whether a server must still be told something before it may stop."""
    return any(each["do"] != "configure" for each in private.get("work", ()))


def server_address(within: IPv4Network) -> IPv4Address:
    """Return the address of the server in the range of an instance."""
    return within[3]


def memory_of(tier: str) -> int:
    """Return the MiB of a tier; ValueError for one that does not exist."""
    if tier in TIERS:
        return TIERS[tier][0]
    family, _, rest = tier.partition("db-custom-")
    cpus, _, memory = rest.partition("-")
    if family or not (cpus.isdecimal() and memory.isdecimal() and int(memory) >= 1024):
        raise ValueError(tier)
    return int(memory)


def instance_name(project: str, identifier: str) -> ResourceName:
    """Name an instance."""
    return ResourceName(INSTANCES, f"projects/{project}/instances/{identifier}")


def find_connection(world: World, connection: str) -> Resource | None:
    """Find the instance that a connection name ``PROJECT:REGION:INSTANCE`` means."""
    project, _, rest = connection.rpartition(":")[0].rpartition(":")
    found = world.find(instance_name(project, connection.rpartition(":")[2])) if project else None
    return found if found is not None and found.body["region"] == rest else None
