"""Addresses of instances with Direct VPC egress: which instance gets which, as pure decisions on a World.

Blocks are taken when an instance finds no free address and given back when all of theirs have been unused
for long enough (behaviour/direct-vpc-egress.md#addresses). The surprising fact: several services, and
several revisions of one, share the blocks of a subnetwork.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from itertools import count

from fogbank.resources.compute import Subnetwork
from fogbank.resources.direct_vpc import Rules
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName, compute_name
from fogbank.resources.operations import rfc3339
from fogbank.resources.serverless_blocks import (
    BLOCK_PREFIX,
    HOLD,
    RETENTION,
    Block,
    Slot,
    all_blocks,
    block_private,
    blocks_of,
    free_ranges,
)
from fogbank.resources.world import Change, Delete, Put, Resource, World


@dataclass(frozen=True, slots=True)
class Wanted:
    """An instance (its id) of ``revision`` that needs an address in ``subnetwork``."""

    instance: str
    revision: ResourceName
    subnetwork: ResourceName


@dataclass(frozen=True, slots=True)
class Ended:
    """An instance that has ended; its addresses are for a ``successor`` when it died before its time."""

    instance: str
    subnetwork: ResourceName
    successor: bool = False


@dataclass(frozen=True, slots=True)
class Allocation:
    """The changes that an allocation comes to, and each instance's address; those without got none."""

    changes: tuple[Change, ...]
    addresses: Mapping[str, IPv4Address]


def exhausted_message(subnetwork: ResourceName) -> str:
    """Say in Google's words that no address is free (behaviour/direct-vpc-egress.md#exhaustion)."""
    return (
        "Instance failed to start because of insufficient free IP addresses in the subnetwork "
        f"{subnetwork.self_link} when attempting to create an address in the subnetwork. Please consider "
        "moving to a subnetwork with more available IP addresses."
    )


def subnetwork_missing_message(subnetwork: ResourceName) -> str:
    """Say that there is no such subnetwork, like Google of a connector (unverified)."""
    return (
        f"VPC subnetwork {subnetwork.path} does not exist, or Cloud Run does not have permission to use it."
    )


def allocate(world: World, wanted: Sequence[Wanted], rules: Rules, now: datetime) -> Allocation:
    """Give each of ``wanted`` an address: one kept for its revision, a free one, or a new block's."""
    changes: list[Change] = []
    addresses: dict[str, IPv4Address] = {}
    serials = count(int(now.timestamp() * 1_000_000) * 1000)
    for name in dict.fromkeys(each.subnetwork for each in wanted):
        resource = world.find(name)
        if resource is None:
            continue
        space = _Space(world, Subnetwork.of(resource), rules, now, serials)
        for each in wanted:
            if each.subnetwork == name and (found := space.place(each)):
                addresses[each.instance] = found
        changes += space.changes()
    return Allocation(tuple(changes), addresses)


class _Space:
    """The blocks of one subnetwork while instances get addresses."""

    def __init__(
        self, world: World, subnetwork: Subnetwork, rules: Rules, now: datetime, serials: Iterator[int]
    ) -> None:
        self._world, self._subnetwork, self._rules = world, subnetwork, rules
        self._now, self._serials = now, serials
        self._blocks = blocks_of(world, subnetwork.name)
        self._untaken = free_ranges(world, subnetwork, rules.longest_prefix)
        self._changed: set[int] = set()

    def place(self, wanted: Wanted) -> IPv4Address | None:
        """Give an instance its address; None when the subnetwork is exhausted."""
        found = self._resumed(wanted.revision) or self._free() or self._grown()
        if found is None:
            return None
        index, number = found
        block, slot = self._blocks[index], Slot(wanted.instance, wanted.revision.path)
        slots = {key: each for key, each in block.slots.items() if not each.is_over(self._now)}
        self._blocks[index] = replace(block, idle=None, slots={**slots, number: slot})
        self._changed.add(index)
        return block.address(number)

    def _resumed(self, revision: ResourceName) -> tuple[int, int] | None:
        return next(
            (
                (index, number)
                for index, block in enumerate(self._blocks)
                for number, slot in sorted(block.slots.items())
                if slot.resumes and slot.ended is not None and slot.revision == revision.path
            ),
            None,
        )

    def _free(self) -> tuple[int, int] | None:
        return next(
            ((index, number) for index, block in enumerate(self._blocks) for number in block.free(self._now)),
            None,
        )

    def _grown(self) -> tuple[int, int] | None:
        found = next(self._untaken, None)
        if found is None:
            return None
        names = (_block_name(self._subnetwork.name, serial) for serial in self._serials)
        name = next(each for each in names if self._world.find(each) is None)
        resource = _new_block(name, self._subnetwork.name, found, self._now)
        self._blocks.append(Block(resource, found, self._subnetwork.name, self._rules.addresses, self._now))
        return len(self._blocks) - 1, 0

    def changes(self) -> Iterator[Change]:
        """List the blocks that are new or have other holders."""
        return (_put(self._blocks[index]) for index in sorted(self._changed))


def _put(block: Block) -> Put:
    return Put(replace(block.resource, private=block_private(block.size, block.idle, block.slots)))


def _block_name(subnetwork: ResourceName, serial: int) -> ResourceName:
    """Name a block by a time in nanoseconds, as Google's names seem to be."""
    identifier = f"serverless-ipv4-{serial}"
    return compute_name("addresses", subnetwork.project, "regions", subnetwork.region, identifier)


def _new_block(name: ResourceName, subnetwork: ResourceName, found: IPv4Network, now: datetime) -> Resource:
    """Make the address resource of a block (behaviour/direct-vpc-egress.md#addresses)."""
    number = int(name.id.rpartition("-")[2])
    body = {
        "kind": "compute#address",
        "id": str(number),
        "creationTimestamp": rfc3339(now),
        "name": name.id,
        "description": "",
        "address": str(found.network_address),
        "prefixLength": BLOCK_PREFIX,
        "addressType": "INTERNAL",
        "purpose": "SERVERLESS",
        "networkTier": "PREMIUM",
        "status": "RESERVED",
        "subnetwork": subnetwork.self_link,
        "labelFingerprint": fingerprint({}),
        "selfLink": name.self_link,
        "region": f"{COMPUTE_PREFIX}projects/{subnetwork.project}/regions/{subnetwork.region}",
    }
    return Resource(name, number, now, body)


def release(world: World, ended: Iterable[Ended], now: datetime) -> tuple[Change, ...]:
    """Note that instances have ended: their addresses are kept for a while."""
    successors: dict[ResourceName, dict[str, bool]] = {}
    for each in ended:
        successors.setdefault(each.subnetwork, {})[each.instance] = each.successor
    return tuple(
        _put(_without(block, successors[name], now))
        for name in successors
        for block in blocks_of(world, name)
        if any(slot.ended is None and slot.instance in successors[name] for slot in block.slots.values())
    )


def stop_all(world: World, now: datetime) -> tuple[Change, ...]:
    """Note that no instance runs, for the region was stopped; their successors get the same addresses."""
    changes: list[Change] = []
    for blocks in all_blocks(world).values():
        for block in blocks:
            if block.active:
                running = {slot.instance: True for slot in block.slots.values() if slot.ended is None}
                changes.append(_put(_without(block, running, now)))
    return tuple(changes)


def _without(block: Block, successors: Mapping[str, bool], now: datetime) -> Block:
    slots = {
        number: replace(slot, ended=now, resumes=successors[slot.instance])
        if slot.ended is None and slot.instance in successors
        else slot
        for number, slot in block.slots.items()
    }
    running = any(slot.ended is None for slot in slots.values())
    return replace(block, slots=slots, idle=None if running else now)


def give_back(world: World, now: datetime) -> tuple[Change, ...]:
    """Give blocks back that nobody needs.

    20 minutes after its last instance has ended; the last ones of a subnetwork an hour after
    (behaviour/direct-vpc-egress.md#deletion).
    """
    changes: list[Change] = []
    for blocks in all_blocks(world).values():
        wait = RETENTION if any(block.active for block in blocks) else HOLD
        changes += (
            Delete(block.resource.name)
            for block in blocks
            if block.idle is not None and now - block.idle >= wait
        )
    return tuple(changes)
