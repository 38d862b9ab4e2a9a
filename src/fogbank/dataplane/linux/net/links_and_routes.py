"""Links, addresses, routes and shapers: done in batches, and read back from the kernel.

Each action is a few steps in order; the first steps of all actions leave together, then the second ones, so
that a hundred links cost a handful of calls. A device that an action made is waited for until it carries
packets. What was built is remembered, and :meth:`LinksAndRoutes.missing` compares it with the kernel's own
tables: only namespaces in which the kernel reported a change are read again.
"""

import contextlib
import errno
import itertools
import select
import socket
from collections.abc import Iterable, Mapping, Sequence

from fogbank.dataplane.driver import InterfaceCounters
from fogbank.dataplane.linux.groups import Errors, build
from fogbank.dataplane.linux.net import link_state, rtnetlink
from fogbank.dataplane.linux.net.devices import Devices
from fogbank.dataplane.linux.net.ecmp import NexthopGroups
from fogbank.dataplane.linux.net.kernel_tables import KernelTables, read
from fogbank.dataplane.linux.net.kinds import NET_KINDS, Net, Step
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.dataplane.linux.net.netlink import NETLINK_ROUTE, Message, Netlink
from fogbank.errors import DriverError
from fogbank.network.topology import (
    DeviceName,
    Element,
    Key,
    NetnsName,
    Port,
    made_by,
    namespaces_of,
)
from fogbank.planning.plan import Action, Create, Remove, Replace, element_of

_GROUPS = 0x1 | 0x8 | 0x10 | 0x40 | 0x80
"""Notifications about links, queueing disciplines, IPv4 addresses, routes and rules."""


class LinksAndRoutes:
    """What connects the namespaces of one world. ``reports`` is readable when the kernel reported changes."""

    kinds = tuple(NET_KINDS)

    def __init__(self, namespaces: NetworkNamespaces) -> None:
        self._namespaces = namespaces
        self._devices = Devices()
        self._nexthop_groups = NexthopGroups()
        net = Net(namespaces, self._devices, self._nexthop_groups)
        self._kinds = {kind: make(net) for kind, make in NET_KINDS.items()}
        self._built: dict[Key, Element] = {}
        self._in_netns: dict[NetnsName, dict[Key, Element]] = {}
        self._watches: dict[NetnsName, Netlink] = {}
        self.reports = select.epoll()
        self._changed: set[NetnsName] = set()

    def observe(self) -> Mapping[Key, Element]:
        """Return what was built and still stands; what the kernel has lost is forgotten."""
        for lost in self.missing(self.changed_namespaces()).values():
            self._lose(lost)
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
            for far in made_by(element):
                if far.netns != netns and far.netns in self._namespaces:
                    self._cast_off(far)
            self._forget(element)
        self._in_netns.pop(netns, None)
        self._nexthop_groups.forget(netns)

    def _cast_off(self, port: Port) -> None:
        index = self._devices.find(port)
        if index is None:
            return
        routes = self._namespaces.routes(port.netns)
        (refusal,) = routes.ask_all([rtnetlink.rename(index, f"gone{index}")])
        if refusal is not None and refusal.errno == errno.EBUSY:  # before Linux 6.2: not while it is up
            routes.ask_all([rtnetlink.delete_link(index)])

    def apply(self, actions: Sequence[Action]) -> Errors:
        """Do ``actions``; neighbours that do not depend on one another go to the kernel together."""
        errors: Errors = []
        for _, some in itertools.groupby(actions, key=lambda each: (type(each), type(element_of(each)))):
            errors += self._apply_alike(list(some))
        return errors

    def _apply_alike(self, actions: Sequence[Action]) -> Errors:
        """Do actions of one verb about one kind; errors keep their place."""
        jobs: list[list[Step]] = []
        errors: Errors = [None] * len(actions)
        for place, action in enumerate(actions):
            try:
                jobs.append(build(self._kinds, action))
            except DriverError as error:
                jobs.append([])
                errors[place] = error
        self._run(jobs, errors)
        self._await_up(actions, errors)
        for place, action in enumerate(actions):
            self._note(action, failed=errors[place] is not None)
        return errors

    def _run(self, jobs: Sequence[Sequence[Step]], errors: Errors) -> None:
        for stage in range(max(map(len, jobs), default=0)):
            by_netns: dict[NetnsName, list[tuple[int, Message]]] = {}
            for place, job in enumerate(jobs):
                if stage < len(job) and errors[place] is None:
                    netns, messages = job[stage]
                    by_netns.setdefault(netns, []).extend((place, message) for message in messages)
            for netns, asked in by_netns.items():
                refusals = self._ask(netns, [message for _, message in asked])
                for (place, _), refusal in zip(asked, refusals, strict=True):
                    errors[place] = errors[place] or refusal

    def _ask(self, netns: NetnsName, messages: list[Message]) -> Sequence[Exception | None]:
        try:
            return self._namespaces.routes(netns).ask_all(messages)
        except (DriverError, OSError) as error:
            return [error] * len(messages)

    def _await_up(self, actions: Sequence[Action], errors: Errors) -> None:
        """Wait until the devices that were made carry packets; those that do not are errors."""
        made = [
            (place, port, self._devices.index(port))
            for place, action in enumerate(actions)
            if errors[place] is None and isinstance(action, Create)
            for port in made_by(action.element)
        ]
        indexes: dict[NetnsName, list[int]] = {}
        for _, port, index in made:
            indexes.setdefault(port.netns, []).append(index)
        sockets = {self._namespaces.routes(netns): some for netns, some in indexes.items()}
        down = {index for _, index in link_state.not_up(sockets, link_state.UP_SECONDS)}
        for place, port, index in made:
            if index in down and errors[place] is None:
                errors[place] = DriverError(
                    f"the device {port.device} of {port.netns} did not come up in {link_state.UP_SECONDS:g} s"
                )

    def _note(self, action: Action, *, failed: bool) -> None:
        match action:
            case Create(element=element):
                if not failed:
                    self._remember(element)
                elif made_by(element):
                    self._lose(element)
            case Replace(old=old, new=new):
                self._drop(old)
                if not failed:
                    self._remember(new)
            case Remove(element=element):
                self._forget(element)

    def _remember(self, element: Element) -> None:
        self._built[element.key] = element
        for netns in namespaces_of(element):
            self._in_netns.setdefault(netns, {})[element.key] = element

    def _drop(self, element: Element) -> None:
        self._built.pop(element.key, None)
        for netns in namespaces_of(element):
            self._in_netns.get(netns, {}).pop(element.key, None)

    def _forget(self, element: Element) -> None:
        self._drop(element)
        for port in made_by(element):
            self._devices.forget(port)

    def _lose(self, element: Element) -> None:
        """Forget what the kernel has no more, and take away what is left of the devices that it made."""
        for port in made_by(element):
            index = self._devices.find(port)
            if index is not None and port.netns in self._namespaces:
                self._namespaces.routes(port.netns).ask_all([rtnetlink.delete_link(index)])
        self._forget(element)

    def changed_namespaces(self) -> set[NetnsName]:
        """Return in which namespaces the kernel reported a change since :meth:`missing` last read them."""
        names = {link.socket.fileno(): netns for netns, link in self._watches.items()}
        for descriptor, _ in self.reports.poll(0, max(1, len(names))):
            netns = names[descriptor]
            self._changed.add(netns)
            _drain(self._watches[netns].socket)
        return self._changed & set(self._watches)

    def missing(self, namespaces: Iterable[NetnsName]) -> dict[Key, Element]:
        """Read the kernel's tables of ``namespaces`` and find what was built there but is not there now."""
        lost: dict[Key, Element] = {}
        for netns in set(namespaces):
            seen = KernelTables(self._namespaces.routes(netns))
            for element in self._in_netns.get(netns, {}).values():
                if not self._kinds[type(element)].stands(element, netns, seen):
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
        counters = dict(read(link, rtnetlink.list_counters(), rtnetlink.parse_counters))
        made = (port for element in self._in_netns.get(netns, {}).values() for port in made_by(element))
        found = (
            (port.device, counters.get(self._devices.index(port))) for port in made if port.netns == netns
        )
        return {device: InterfaceCounters(*seen) for device, seen in found if seen is not None}

    def close(self) -> None:
        """Close every listening socket."""
        for watch in self._watches.values():
            watch.close()
        self.reports.close()


def _drain(source: socket.socket) -> None:
    """Empty a notification socket; that it overflowed (ENOBUFS) is as good as a report."""
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                source.recv(65536)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
