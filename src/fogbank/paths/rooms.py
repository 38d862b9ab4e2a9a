"""Rooms: the elements of one space, indexed for the questions that a packet asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address

from fogbank.network.routing import RoutingTable
from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    Filter,
    GroupMember,
    Guard,
    Link,
    Listener,
    Policy,
    Port,
    Route,
    Shaper,
    SourceNat,
    Space,
    SpaceName,
    Topology,
    Workload,
)


@dataclass
class Room:
    """What stands in ``space``."""

    space: SpaceName
    forwards: bool = False
    routes: list[Route] = field(default_factory=list)
    addresses: dict[IPv4Address, DeviceName] = field(default_factory=dict)
    neighbours: dict[DeviceName, Port] = field(default_factory=dict)
    filter: Filter | None = None
    guards: dict[IPv4Address, Guard] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    members: dict[str, set[IPv4Address]] = field(default_factory=dict)
    translations: list[SourceNat] = field(default_factory=list)
    shapers: dict[DeviceName, Shaper] = field(default_factory=dict)
    listeners: dict[tuple[IPv4Address, int, str], Listener] = field(default_factory=dict)
    workloads: dict[int, Workload] = field(default_factory=dict)

    @cached_property
    def table(self) -> RoutingTable:
        """The routes, ready to be asked."""
        return RoutingTable.of(self.routes)

    def source_for(self, route: Route) -> IPv4Address | None:
        """Choose the address of a local socket whose packets ``route`` takes, as the kernel does."""
        if route.source is not None:
            return route.source
        devices = [hop.device for hop in route.hops]
        on_device = [a for a, device in self.addresses.items() if device in devices]
        return next(iter(on_device), next(iter(self.addresses), None))

    def translation(self, device: DeviceName, source: IPv4Address) -> SourceNat | None:
        """Find what translates ``source`` when it leaves by ``device``."""
        found = (each for each in self.translations if each.device == device and source in each.inside)
        return max(found, key=lambda each: each.inside.prefixlen, default=None)


def rooms(topology: Topology) -> Mapping[SpaceName, Room]:
    """Index every space of ``topology``."""
    found = {space.name: Room(space.name, space.forwards) for space in topology.of_kind(Space)}
    for element in topology:
        _place(found, element)
    return found


def _place(found: dict[SpaceName, Room], element: Element) -> None:
    match element:
        case Space():
            pass
        case Link(left=left, right=right):
            found[left.space].neighbours[left.device] = right
            found[right.space].neighbours[right.device] = left
        case Address(port=port, interface=interface):
            found[port.space].addresses[interface.ip] = port.device
        case Shaper(port=port):
            found[port.space].shapers[port.device] = element
        case _:
            _place_inside(found[element.space], element)


def _place_inside(
    room: Room, element: Route | SourceNat | Filter | Policy | GroupMember | Guard | Listener | Workload
) -> None:
    match element:
        case Route():
            room.routes.append(element)
        case SourceNat():
            room.translations.append(element)
        case Filter():
            room.filter = element
        case Policy():
            room.policies[element.name] = element
        case GroupMember():
            room.members.setdefault(element.group, set()).add(element.address)
        case Guard():
            room.guards[element.address] = element
        case Listener():
            room.listeners[element.address, element.port, element.protocol] = element
        case Workload():
            room.workloads[element.port] = element
