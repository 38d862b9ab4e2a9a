"""Blocks of 16 addresses that serverless instances hold in a subnetwork, as compute address resources.

Users see each block among their addresses (purpose SERVERLESS, a /28) and cannot delete it
(behaviour/direct-vpc-egress.md#addresses). Which instance holds which of its addresses is in the private
part, so that a region which ends in any way knows it when it starts again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network

from fogbank.resources.compute import StaticAddress, Subnetwork
from fogbank.resources.compute_indexes import addresses_in_subnetwork
from fogbank.resources.indexes import Index
from fogbank.resources.instances import addresses_of_instances, alias_ranges_in
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World

BLOCK_PREFIX = 28
BLOCK_SIZE = 16
RETENTION = timedelta(minutes=20)
"""How long the addresses of an ended instance are kept (behaviour/direct-vpc-egress.md#addresses)."""

HOLD = timedelta(hours=1)
"""How long a subnetwork's blocks stay after the last instance has ended; one to two are documented."""

_PRIVATE = "serverless"


@dataclass(frozen=True, slots=True)
class Slot:
    """The addresses that one ``instance`` of ``revision`` (a path) holds, or held until ``ended``.

    One that ``resumes`` goes to the next instance of the revision: its own died, or the region was stopped.
    """

    instance: str
    revision: str
    ended: datetime | None = None
    resumes: bool = False

    def is_over(self, now: datetime) -> bool:
        """Return whether the addresses are free again."""
        return self.ended is not None and now - self.ended >= RETENTION


@dataclass(frozen=True, slots=True)
class Block:
    """A /28 of ``subnetwork``; each instance holds ``size`` of its addresses, ``slots`` are by number.

    ``idle`` is when the last of its instances ended, None while there is one.
    """

    resource: Resource
    range: IPv4Network
    subnetwork: ResourceName
    size: int
    idle: datetime | None
    slots: Mapping[int, Slot] = field(default_factory=dict)

    @classmethod
    def of(cls, resource: Resource) -> "Block":
        """Read a ``compute.addresses`` resource of purpose SERVERLESS."""
        address, private = StaticAddress.of(resource), resource.private[_PRIVATE]
        if address.subnetwork is None:
            raise ValueError(f"{resource.name} has no subnetwork")
        return cls(
            resource,
            address.range,
            address.subnetwork,
            private["size"],
            _moment(private["idle"]),
            {int(number): _slot(each) for number, each in private["slots"].items()},
        )

    def address(self, number: int) -> IPv4Address:
        """Return the address that the instance in a slot sends from: its first."""
        return self.range.network_address + number * self.size

    def free(self, now: datetime) -> Iterator[int]:
        """List the numbers of the slots that nobody holds."""
        for number in range(BLOCK_SIZE // self.size):
            held = self.slots.get(number)
            if held is None or held.is_over(now):
                yield number

    @property
    def active(self) -> int:
        """The number of instances that run."""
        return sum(each.ended is None for each in self.slots.values())


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _slot(entry: Json) -> Slot:
    return Slot(entry["instance"], entry["revision"], _moment(entry.get("ended")), bool(entry.get("resumes")))


def block_private(size: int, idle: datetime | None, slots: Mapping[int, Slot]) -> Json:
    """Make the private part of a block's resource."""
    return {
        _PRIVATE: {
            "size": size,
            "idle": idle.isoformat() if idle else None,
            "slots": {str(number): _entry(each) for number, each in sorted(slots.items())},
        }
    }


def _entry(slot: Slot) -> Json:
    entry: Json = {"instance": slot.instance, "revision": slot.revision}
    if slot.ended is not None:
        entry |= {"ended": slot.ended.isoformat(), "resumes": slot.resumes}
    return entry


def _subnetwork(address: Resource) -> tuple[str, ...]:
    return (str(address.body["subnetwork"]),) if _PRIVATE in address.private else ()


_BY_SUBNETWORK = Index("compute.addresses", _subnetwork)


def blocks_of(world: World, subnetwork: ResourceName) -> list[Block]:
    """List the blocks of ``subnetwork``, by address."""
    found = map(Block.of, world.by(_BY_SUBNETWORK, subnetwork.self_link))
    return sorted(found, key=lambda block: block.range)


def all_blocks(world: World) -> dict[ResourceName, list[Block]]:
    """List all blocks by their subnetwork."""
    found: dict[ResourceName, list[Block]] = {}
    for _, resource in world.ordered(_BY_SUBNETWORK):
        block = Block.of(resource)
        found.setdefault(block.subnetwork, []).append(block)
    return found


def free_ranges(world: World, subnetwork: Subnetwork, longest_prefix: int) -> Iterator[IPv4Network]:
    """List the aligned /28 of a subnetwork that a block can have, lowest first.

    The first and the last /28 have addresses that nobody gets. A subnetwork smaller than ``longest_prefix``
    has none (behaviour/direct-vpc-egress.md#addresses).
    """
    if subnetwork.range.prefixlen <= longest_prefix:
        taken = _taken(world, subnetwork)
        blocks = subnetwork.range.subnets(new_prefix=BLOCK_PREFIX)
        yield from (each for each in blocks if each not in taken)


def count_free(world: World, subnetwork: Subnetwork, longest_prefix: int) -> int:
    """Count what :func:`free_ranges` lists."""
    if subnetwork.range.prefixlen > longest_prefix:
        return 0
    return subnetwork.range.num_addresses // BLOCK_SIZE - len(_taken(world, subnetwork))


def _taken(world: World, subnetwork: Subnetwork) -> set[IPv4Network]:
    held = (StaticAddress.of(each).address for each in addresses_in_subnetwork(world, subnetwork.name))
    found = {_around(each) for each in (*held, *subnetwork.reserved)}
    found.update(_around(IPv4Address(number)) for number in addresses_of_instances(world, subnetwork.name))
    for alias, _ in alias_ranges_in(world, subnetwork.name):
        if alias.subnet_of(subnetwork.range):
            found.update(map(_around, alias))
    return found


def _around(address: IPv4Address) -> IPv4Network:
    """Return the aligned /28 that has ``address``."""
    return IPv4Network((int(address) & -BLOCK_SIZE, BLOCK_PREFIX))
