"""The members of a VPC network: what all sources add to it, kind by kind and in a fixed order.

Each kind is kept apart, so that what is made of one need not be made again when another changes.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Address
from typing import Any, TypeVar

from fogbank.lowering.feature import Gateways, Interface, Membership
from fogbank.lowering.firewall import EffectiveRule
from fogbank.lowering.peering import ImportedRange
from fogbank.resources.compute import Network, StaticRoute, Subnetwork
from fogbank.resources.names import ResourceName

T = TypeVar("T")

SourceKey = tuple[int, str, str]
"""A source: the number of its feature, its collection (empty for an instance), and its path or id."""

Lane = tuple[tuple[SourceKey, tuple[T, ...]], ...]
"""What sources add of one kind, sorted by source."""


@dataclass(frozen=True, slots=True)
class Members:
    """Everything of one network; the fields are those of :class:`Membership`."""

    itself: Lane[Network] = ()
    subnetworks: Lane[Subnetwork] = ()
    interfaces: Lane[Interface] = ()
    reserved: Lane[IPv4Address] = ()
    routes: Lane[StaticRoute] = ()
    rules: Lane[EffectiveRule] = ()
    gateways: Lane[Gateways] = ()
    peers: Lane[ResourceName] = ()
    imported: Lane[ImportedRange] = ()

    def changed(self, source: SourceKey, before: Membership | None, after: Membership | None) -> "Members":
        """Make the members that follow when ``source`` adds ``after`` instead of ``before``."""
        lanes: dict[str, Any] = {}
        for each in fields(self):
            old, new = _values(before, each.name), _values(after, each.name)
            if old != new:
                lanes[each.name] = _replaced(getattr(self, each.name), source, new)
        return replace(self, **lanes) if lanes else self

    @property
    def attached(self) -> Iterator[SourceKey]:
        """The sources that add subnetworks or interfaces, some twice."""
        yield from (source for source, _ in self.subnetworks)
        yield from (source for source, _ in self.interfaces)

    @property
    def sources(self) -> set[SourceKey]:
        """All sources that add anything."""
        return {source for each in fields(self) for source, _ in getattr(self, each.name)}

    def attaches(self, source: SourceKey) -> bool:
        """Return whether ``source`` adds subnetworks or interfaces."""
        return bool(added(self.subnetworks, source)) or bool(added(self.interfaces, source))


def values(lane: Lane[T]) -> Iterator[T]:
    """List what all sources add of one kind."""
    return (each for _, added in lane for each in added)


def added(lane: Lane[T], source: SourceKey) -> tuple[T, ...]:
    """Return what ``source`` adds of one kind."""
    place = bisect_left(lane, (source,))
    return lane[place][1] if place < len(lane) and lane[place][0] == source else ()


def _values(membership: Membership | None, kind: str) -> tuple[Any, ...]:
    found = getattr(membership, kind) if membership else None
    if kind == "itself":
        return (found,) if found else ()
    return found or ()


def _replaced(lane: Lane[T], source: SourceKey, added: tuple[T, ...]) -> Lane[T]:
    place = bisect_left(lane, (source,))
    known = place < len(lane) and lane[place][0] == source
    entry: Iterable[tuple[SourceKey, tuple[T, ...]]] = ((source, added),) if added else ()
    return (*lane[:place], *entry, *lane[place + known :])
