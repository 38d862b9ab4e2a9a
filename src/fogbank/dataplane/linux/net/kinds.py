"""How each kind of element that connects namespaces is told to the kernel, and recognised in its tables.

One class for each kind, and one table of them. A kind is a few rtnetlink messages for its creation, change
and removal, and the question whether it stands. All of a step's messages go to one namespace in one call; the
steps of one action follow one another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from fogbank.dataplane.linux.groups import Builder
from fogbank.dataplane.linux.net import rtnetlink
from fogbank.dataplane.linux.net.devices import Devices
from fogbank.dataplane.linux.net.ecmp import NexthopGroups
from fogbank.dataplane.linux.net.kernel_tables import KernelTables
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.dataplane.linux.net.netlink import Message
from fogbank.errors import DriverError
from fogbank.network.topology import Address, Link, NetnsName, Port, Route, RoutingTable, Shaper

E_contra = TypeVar("E_contra", contravariant=True)

Step = tuple[NetnsName, list[Message]]
"""Messages that one namespace's kernel gets in one call."""


@dataclass(frozen=True, slots=True)
class Net:
    """What the kinds share: the namespaces, the devices in them, the groups of next hops."""

    namespaces: NetworkNamespaces
    devices: Devices
    nexthop_groups: NexthopGroups


class NetKind(Builder[E_contra, list[Step]], Protocol[E_contra]):
    """How one kind is built, as steps; DriverError when something that it needs is not there."""

    def stands(self, element: E_contra, netns: NetnsName, seen: KernelTables) -> bool:
        """Return whether the part of ``element`` in ``netns`` is in that namespace's tables."""
        ...


class Links:
    """Veth pairs. Both ends are set up; that they carry packets is waited for afterwards."""

    def __init__(self, net: Net) -> None:
        self._namespaces, self._devices = net.namespaces, net.devices

    def create(self, element: Link) -> list[Step]:
        networks = [self._namespaces.network(end.netns) for end in (element.left, element.right)]
        left, right = self._devices.allot(element.left), self._devices.allot(element.right)
        made = rtnetlink.add_link(
            rtnetlink.End(element.left.device, left, networks[0]),
            rtnetlink.End(element.right.device, right, networks[1]),
            element.mtu,
        )
        return [
            (element.left.netns, [made]),
            (element.right.netns, [rtnetlink.set_up(right)]),
        ]

    def replace(self, old: Link, new: Link) -> list[Step]:
        if (old.left, old.right) != (new.left, new.right):
            raise DriverError(
                f"the ends of {' '.join(old.key)} cannot change: remove it and create the new one"
            )
        return [
            (end.netns, [rtnetlink.set_mtu(self._devices.index(end), new.mtu)])
            for end in (new.left, new.right)
        ]

    def remove(self, element: Link) -> list[Step]:
        return [(element.left.netns, [rtnetlink.delete_link(self._devices.index(element.left))])]

    def stands(self, element: Link, netns: NetnsName, seen: KernelTables) -> bool:
        ends = [end for end in (element.left, element.right) if end.netns == netns]
        found = [(end, seen.links.get(self._devices.find(end) or 0)) for end in ends]
        return all(s and s.up and s.mtu == element.mtu and s.name == end.device for end, s in found)


class Addresses:
    """Addresses of interfaces."""

    def __init__(self, net: Net) -> None:
        self._devices = net.devices

    def create(self, element: Address) -> list[Step]:
        index = self._devices.index(element.port)
        return [(element.port.netns, [rtnetlink.add_address(index, element.interface)])]

    def replace(self, old: Address, new: Address) -> list[Step]:
        return [*self.remove(old), *self.create(new)]

    def remove(self, element: Address) -> list[Step]:
        index = self._devices.index(element.port)
        return [(element.port.netns, [rtnetlink.delete_address(index, element.interface)])]

    def stands(self, element: Address, netns: NetnsName, seen: KernelTables) -> bool:
        del netns
        return (self._devices.find(element.port), element.interface) in seen.addresses


class RoutingTables:
    """Tables beside the main one: each is a rule that sends packets there, by their mark or their device."""

    def __init__(self, net: Net) -> None:
        del net

    def create(self, element: RoutingTable) -> list[Step]:
        return [(element.netns, [rtnetlink.add_rule(element.number, element.device)])]

    def replace(self, old: RoutingTable, new: RoutingTable) -> list[Step]:
        return [*self.remove(old), *self.create(new)]

    def remove(self, element: RoutingTable) -> list[Step]:
        return [(element.netns, [rtnetlink.delete_rule(element.number, element.device)])]

    def stands(self, element: RoutingTable, netns: NetnsName, seen: KernelTables) -> bool:
        del netns
        return (element.number, element.device) in seen.tables


class Routes:
    """Routes, with groups of next hops behind those that have several."""

    def __init__(self, net: Net) -> None:
        self._devices, self._groups = net.devices, net.nexthop_groups

    def create(self, element: Route) -> list[Step]:
        ways = tuple(
            rtnetlink.Way(self._devices.index(Port(element.netns, hop.device)), hop.via)
            for hop in element.hops
        )
        messages = self._groups.put(element.key, element.netns, _place(element), ways, element.source)
        return [(element.netns, messages)]

    def replace(self, old: Route, new: Route) -> list[Step]:
        del old
        return self.create(new)

    def remove(self, element: Route) -> list[Step]:
        return [(element.netns, [rtnetlink.delete_route(_place(element))])]

    def stands(self, element: Route, netns: NetnsName, seen: KernelTables) -> bool:
        found = seen.routes.get((element.table or rtnetlink.MAIN_TABLE, element.destination))
        ways = {(self._devices.find(Port(netns, hop.device)), hop.via) for hop in element.hops}
        return (
            found is not None
            and {(way.index, way.via) for way in found.ways} == ways
            and found.source == element.source
            and found.throws == element.falls_through
        )


def _place(route: Route) -> rtnetlink.Place:
    return rtnetlink.Place(route.destination, route.table or rtnetlink.MAIN_TABLE, route.falls_through)


class Shapers:
    """Token buckets at the root of what leaves by an interface."""

    def __init__(self, net: Net) -> None:
        self._devices = net.devices

    def create(self, element: Shaper) -> list[Step]:
        index = self._devices.index(element.port)
        return [(element.port.netns, [rtnetlink.put_bucket(index, element.bits_per_second)])]

    def replace(self, old: Shaper, new: Shaper) -> list[Step]:
        del old
        return self.create(new)

    def remove(self, element: Shaper) -> list[Step]:
        return [(element.port.netns, [rtnetlink.delete_bucket(self._devices.index(element.port))])]

    def stands(self, element: Shaper, netns: NetnsName, seen: KernelTables) -> bool:
        del netns
        rate = seen.rates.get(self._devices.find(element.port) or 0)
        return rate == element.bits_per_second // 8 * 8


NET_KINDS: Mapping[type, Callable[[Net], NetKind[Any]]] = {
    Link: Links,
    Address: Addresses,
    RoutingTable: RoutingTables,
    Route: Routes,
    Shaper: Shapers,
}
"""Every kind that :class:`LinksAndRoutes` builds."""
