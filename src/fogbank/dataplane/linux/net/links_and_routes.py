"""Links, addresses, routes and shapers: done in batches, and read back from the kernel.

Each action is a few rtnetlink messages in order; the first messages of all actions leave together, then the
second ones, so that a hundred links cost a handful of calls. What was built is remembered, and
:meth:`LinksAndRoutes.missing` compares it with the kernel's own tables: only namespaces in which the kernel
reported a change are read again.
"""

import contextlib
import errno
import select
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeGuard, TypeVar

from fogbank.dataplane.driver import InterfaceCounters
from fogbank.dataplane.linux.net import rtnetlink
from fogbank.dataplane.linux.net.ecmp import NexthopGroups
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.dataplane.linux.net.netlink import NETLINK_ROUTE, Message, Netlink
from fogbank.errors import DriverError
from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    Key,
    Link,
    NetnsName,
    Port,
    Route,
    Shaper,
    namespaces_of,
)
from fogbank.planning.plan import Action, Create, Remove, Replace

T = TypeVar("T")
LinkOrRoute = Link | Address | Route | Shaper
Step = tuple[NetnsName, Message]

_FIRST_INDEX = 100
_GROUPS = 0x1 | 0x8 | 0x10 | 0x40
"""Notifications about links, queueing disciplines, IPv4 addresses and IPv4 routes."""


class LinksAndRoutes:
    """What connects the namespaces of one world. ``reports`` is readable when the kernel reported changes."""

    def __init__(self, namespaces: NetworkNamespaces) -> None:
        self._namespaces = namespaces
        self._indexes: dict[Port, int] = {}
        self._next_index = _FIRST_INDEX
        self._nexthop_groups = NexthopGroups()
        self._built: dict[Key, LinkOrRoute] = {}
        self._in_netns: dict[NetnsName, dict[Key, LinkOrRoute]] = {}
        self._watches: dict[NetnsName, Netlink] = {}
        self.reports = select.epoll()
        self._changed: set[NetnsName] = set()

    def built(self) -> Mapping[Key, LinkOrRoute]:
        """Everything that was built and not taken down."""
        return self._built

    def watch(self, netns: NetnsName) -> None:
        """Listen to the kernel's own reports about ``netns``."""
        with self._namespaces.inside(netns):
            link = Netlink(NETLINK_ROUTE, groups=_GROUPS)
        link.socket.setblocking(False)
        self._watches[netns] = link
        self.reports.register(link.socket.fileno(), select.EPOLLIN)

    def forget(self, netns: NetnsName) -> None:
        """Drop everything in ``netns``, which is about to be let go.

        The far ends of its links vanish some milliseconds after the namespace. Renaming them frees their
        names at once and spares the 16 ms that deleting each would take.
        """
        watch = self._watches.pop(netns, None)
        if watch is not None:
            self.reports.unregister(watch.socket.fileno())
            watch.close()
        self._changed.discard(netns)
        for element in tuple(self._in_netns.get(netns, {}).values()):
            if isinstance(element, Link):
                far = element.right if element.left.netns == netns else element.left
                if far.netns != netns and far.netns in self._namespaces:
                    self._cast_off(far)
            self._forget(element)
        self._in_netns.pop(netns, None)
        self._nexthop_groups.forget(netns)

    def _cast_off(self, port: Port) -> None:
        index = self._indexes.get(port)
        if index is None:
            return
        routes = self._namespaces.routes(port.netns)
        (refusal,) = routes.ask_all([rtnetlink.rename(index, f"gone{index}")])
        if refusal is not None and refusal.errno == errno.EBUSY:  # before Linux 6.2: not while it is up
            routes.ask_all([rtnetlink.delete_link(index)])

    def apply(self, actions: Sequence[Action]) -> list[Exception | None]:
        """Do actions that do not depend on one another (of one kind); errors keep their place."""
        jobs: list[list[Step]] = []
        errors: list[Exception | None] = [None] * len(actions)
        for place, action in enumerate(actions):
            try:
                jobs.append(self._steps(action))
            except DriverError as error:
                jobs.append([])
                errors[place] = error
        self._run(jobs, errors)
        for place, action in enumerate(actions):
            self._note(action, failed=errors[place] is not None)
        for place, action in enumerate(actions):
            if errors[place] is None and _moved(action):
                errors[place] = self._restore(action.new)
        return errors

    def _run(self, jobs: Sequence[Sequence[Step]], errors: list[Exception | None]) -> None:
        for stage in range(max(map(len, jobs), default=0)):
            by_netns: dict[NetnsName, list[tuple[int, Message]]] = {}
            for place, job in enumerate(jobs):
                if stage < len(job) and errors[place] is None:
                    netns, message = job[stage]
                    by_netns.setdefault(netns, []).append((place, message))
            for netns, asked in by_netns.items():
                refusals = self._namespaces.routes(netns).ask_all([message for _, message in asked])
                for (place, _), refusal in zip(asked, refusals, strict=True):
                    errors[place] = refusal

    def _steps(self, action: Action) -> list[Step]:
        match action:
            case Create(element=Link() as link):
                return self._make_link(link)
            case Replace(old=Link() as old, new=Link() as new):
                return self._change_link(old, new)
            case Remove(element=Link() as link):
                return [(link.left.netns, rtnetlink.delete_link(self._index(link.left)))]
            case Create(element=Address() as address):
                return [(address.port.netns, _add_address(self._index(address.port), address))]
            case Remove(element=Address(port=port, interface=interface)):
                return [(port.netns, rtnetlink.delete_address(self._index(port), interface))]
            case Create(element=Route() as route) | Replace(new=Route() as route):
                return self._put_route(route)
            case Remove(element=Route() as route):
                return [(route.netns, rtnetlink.delete_route(route.destination))]
            case Create(element=Shaper() as shaper) | Replace(new=Shaper() as shaper):
                message = rtnetlink.put_bucket(self._index(shaper.port), shaper.bits_per_second)
                return [(shaper.port.netns, message)]
            case Remove(element=Shaper(port=port)):
                return [(port.netns, rtnetlink.delete_bucket(self._index(port)))]
            case _:
                raise DriverError(f"no way to do {action}")

    def _index(self, port: Port) -> int:
        if port.device == "lo":
            return rtnetlink.LOOPBACK
        try:
            return self._indexes[port]
        except KeyError:
            raise DriverError(f"there is no device {port.device} in {port.netns}") from None

    def _make_link(self, link: Link) -> list[Step]:
        left, right = self._next_index, self._next_index + 1
        self._next_index += 2
        made = rtnetlink.add_link(self._end(link.left, left), self._end(link.right, right), link.mtu)
        self._indexes[link.left], self._indexes[link.right] = left, right
        return [
            (link.left.netns, made),
            (link.left.netns, rtnetlink.set_up(left)),
            (link.right.netns, rtnetlink.set_up(right)),
        ]

    def _end(self, port: Port, index: int) -> rtnetlink.End:
        return rtnetlink.End(port.device, index, self._namespaces.network(port.netns))

    def _change_link(self, old: Link, new: Link) -> list[Step]:
        if old.right == new.right:
            ends = (new.left, new.right)
            return [(end.netns, rtnetlink.set_mtu(self._index(end), new.mtu)) for end in ends]
        removal = (old.left.netns, rtnetlink.delete_link(self._index(old.left)))
        return [removal, *self._make_link(new)]

    def _put_route(self, route: Route) -> list[Step]:
        ways = tuple(rtnetlink.Way(self._index(Port(route.netns, hop.device)), hop.via) for hop in route.hops)
        messages = self._nexthop_groups.put(route.key, route.netns, route.destination, ways, route.source)
        return [(route.netns, message) for message in messages]

    def _restore(self, link: Element) -> Exception | None:
        """Put back what went with the old interface when a link was made anew."""
        if not isinstance(link, Link):
            return None
        lost = self.missing(end.netns for end in (link.left, link.right)).values()
        kinds: tuple[type[LinkOrRoute], ...] = (Address, Route, Shaper)
        for kind in kinds:
            jobs = [self._steps(Create(e)) for e in lost if isinstance(e, kind) and _stands_on(e, link)]
            errors: list[Exception | None] = [None] * len(jobs)
            self._run(jobs, errors)
            for error in errors:
                if error is not None:
                    return error
        return None

    def _note(self, action: Action, *, failed: bool) -> None:
        match action:
            case Create(element=element):
                if not failed:
                    self._remember(element)
                elif isinstance(element, Link):
                    self._forget(element)
            case Replace(old=old, new=new):
                self._forget_changed(old, new)
                if not failed:
                    self._remember(new)
            case Remove(element=element):
                self._forget(element)

    def _remember(self, element: Element) -> None:
        if isinstance(element, Link | Address | Route | Shaper):
            self._built[element.key] = element
            for netns in namespaces_of(element):
                self._in_netns.setdefault(netns, {})[element.key] = element

    def _drop(self, element: Element) -> None:
        self._built.pop(element.key, None)
        for netns in namespaces_of(element):
            self._in_netns.get(netns, {}).pop(element.key, None)

    def _forget(self, element: Element) -> None:
        self._drop(element)
        if isinstance(element, Link):
            self._indexes.pop(element.left, None)
            self._indexes.pop(element.right, None)

    def _forget_changed(self, old: Element, new: Element) -> None:
        self._drop(old)
        if isinstance(old, Link) and isinstance(new, Link) and old.right != new.right:
            self._indexes.pop(old.right, None)

    def changed_namespaces(self) -> set[NetnsName]:
        """Return in which namespaces the kernel reported a change since :meth:`missing` last read them."""
        names = {link.socket.fileno(): netns for netns, link in self._watches.items()}
        for descriptor, _ in self.reports.poll(0, max(1, len(names))):
            netns = names[descriptor]
            self._changed.add(netns)
            _drain(self._watches[netns].socket)
        return self._changed & set(self._watches)

    def missing(self, namespaces: Iterable[NetnsName]) -> dict[Key, LinkOrRoute]:
        """Read the kernel's tables of ``namespaces`` and find what was built there but is not there now."""
        lost: dict[Key, LinkOrRoute] = {}
        for netns in set(namespaces):
            seen = _Seen(self._namespaces.routes(netns))
            for element in self._in_netns.get(netns, {}).values():
                if not seen.has(element, netns, self._indexes):
                    lost[element.key] = element
            self._changed.discard(netns)
        return lost

    def detect_drift(self) -> str | None:
        """Look where the kernel reported changes and say what is missing; a later look finds it again."""
        for netns in self.changed_namespaces():
            lost = self.missing([netns])
            if lost:
                self._changed.add(netns)
                return f"{', '.join(next(iter(lost)))} is gone"
        return None

    def interface_counters(self, netns: NetnsName) -> dict[DeviceName, InterfaceCounters]:
        """Read the byte counters of the links of ``netns``, in one request."""
        link = self._namespaces.routes(netns)
        counters = dict(_read(link, rtnetlink.list_counters(), rtnetlink.parse_counters))
        elements = self._in_netns.get(netns, {}).values()
        ends = (
            end for element in elements if isinstance(element, Link) for end in (element.left, element.right)
        )
        found = ((end.device, counters.get(self._index(end))) for end in ends if end.netns == netns)
        return {device: InterfaceCounters(*seen) for device, seen in found if seen is not None}

    def lose(self, element: LinkOrRoute) -> None:
        """Forget what the kernel has no more; of a link that lost one end, remove the other."""
        if isinstance(element, Link):
            for end in (element.left, element.right):
                if end in self._indexes and end.netns in self._namespaces:
                    message = rtnetlink.delete_link(self._indexes[end])
                    self._namespaces.routes(end.netns).ask_all([message])
        self._forget(element)

    def close(self) -> None:
        """Close every listening socket."""
        for watch in self._watches.values():
            watch.close()
        self.reports.close()


class _Seen:
    """The tables of one namespace as the kernel has them now."""

    def __init__(self, link: Netlink) -> None:
        self._links = {seen.index: seen for seen in _read(link, rtnetlink.list_links(), rtnetlink.parse_link)}
        self._addresses = set(_read(link, rtnetlink.list_addresses(), rtnetlink.parse_address))
        found = _read(link, rtnetlink.list_routes(), rtnetlink.parse_route)
        self._routes = {route.destination: route for route in found if route}
        self._rates = dict(filter(None, _read(link, rtnetlink.list_qdiscs(), rtnetlink.parse_bucket)))

    def has(self, element: LinkOrRoute, netns: NetnsName, indexes: Mapping[Port, int]) -> bool:
        def index(port: Port) -> int | None:
            return rtnetlink.LOOPBACK if port.device == "lo" else indexes.get(port)

        match element:
            case Link(left=left, right=right, mtu=mtu):
                ends = [end for end in (left, right) if end.netns == netns]
                found = [(end, self._links.get(index(end) or 0)) for end in ends]
                return all(s and s.up and s.mtu == mtu and s.name == end.device for end, s in found)
            case Address(port=port, interface=interface):
                return (index(port), interface) in self._addresses
            case Route():
                seen = self._routes.get(element.destination)
                ways = {(index(Port(netns, hop.device)), hop.via) for hop in element.hops}
                return (
                    seen is not None
                    and {(way.index, way.via) for way in seen.ways} == ways
                    and seen.source == element.source
                )
            case Shaper(port=port, bits_per_second=rate):
                return self._rates.get(index(port) or 0) == rate // 8 * 8


def _read(link: Netlink, request: Message, parse: Callable[[bytes], T]) -> list[T]:
    return [parse(payload) for _, payload in link.dump(request)]


def _moved(action: Action) -> TypeGuard[Replace]:
    """Return whether a link leads elsewhere now, which the kernel can only do with a new pair."""
    match action:
        case Replace(old=Link() as old, new=Link() as new):
            return old.right != new.right
        case _:
            return False


def _stands_on(element: LinkOrRoute, link: Link) -> bool:
    """Return whether ``element`` is of a device of ``link``."""
    match element:
        case Address(port=port) | Shaper(port=port):
            return port in (link.left, link.right)
        case Route(netns=netns, hops=hops):
            return any(Port(netns, hop.device) in (link.left, link.right) for hop in hops)
        case Link():
            return False


def _add_address(index: int, address: Address) -> Message:
    return rtnetlink.add_address(index, address.interface)


def _drain(source: socket.socket) -> None:
    """Empty a notification socket; that it overflowed (ENOBUFS) is as good as a report."""
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                source.recv(65536)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
