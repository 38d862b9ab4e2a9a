"""A driver that only remembers: the same contract as the Linux one, without a machine.

Everything above the data plane can be tested on it. It refuses what the kernel would refuse for want of a
part (a link between namespaces that are not there, a guard whose policy is missing), and fails on request.
"""

import socket
from collections.abc import Callable, Mapping, Sequence

from fogbank.dataplane.driver import Event, InterfaceCounters, Outcome, Report, TrackedFlow
from fogbank.errors import DriverError
from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    Key,
    Link,
    NetnsName,
    NetworkNamespace,
    Port,
    PortSecurity,
    Route,
    Shaper,
    Topology,
    namespaces_of,
)
from fogbank.planning.plan import Action, Create, Remove, Replace, element_of

Failure = Callable[[Action], str | None]
"""Say why an action should fail, or None."""


def never(_: Action) -> None:
    """Let every action succeed."""


class SimulatedDriver:
    """Keeps the contract of :class:`fogbank.dataplane.driver.Driver` in a dictionary.

    ``failure`` may be exchanged at any time; ``applied`` lists every action that was asked for; ``report``
    gets what tests send with :meth:`happen`; ``traffic`` holds the counters of devices that carried any.
    """

    def __init__(self, *, failure: Failure = never, report: Report | None = None) -> None:
        self.failure = failure
        self.applied: list[Action] = []
        self.traffic: dict[Port, InterfaceCounters] = {}
        self.aged = 0
        self.closed = False
        self._report = report
        self._elements: dict[Key, Element] = {}

    def observe(self) -> Topology:
        """Return what was built."""
        return Topology(dict(self._elements))

    def apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        """Remember ``actions``; each fails alone."""
        return tuple(self._apply(action) for action in actions)

    def _apply(self, action: Action) -> Outcome:
        self.applied.append(action)
        why = self.failure(action)
        if why is None and not isinstance(action, Remove):
            why = self._missing_part(element_of(action))
        if why is not None:
            return Outcome(action, DriverError(why))
        match action:
            case Create(element=element):
                self._elements[element.key] = element
            case Replace(old=old, new=new):
                self._elements.pop(old.key, None)
                self._elements[new.key] = new
            case Remove(element=NetworkNamespace(name=name)):
                self._remove_netns(name)
            case Remove(element=element):
                self._elements.pop(element.key, None)
        return Outcome(action)

    def _remove_netns(self, name: NetnsName) -> None:
        self._elements = {k: e for k, e in self._elements.items() if name not in namespaces_of(e)}

    def _missing_part(self, element: Element) -> str | None:
        if isinstance(element, NetworkNamespace):
            return None
        for netns in namespaces_of(element):
            if ("netns", netns) not in self._elements:
                return f"there is no namespace {netns}"
        match element:
            case Address(port=port) | Shaper(port=port):
                return self._missing_device(port)
            case Route(netns=netns, hops=hops):
                found = (self._missing_device(Port(netns, hop.device)) for hop in hops)
                return next((why for why in found if why), None)
            case PortSecurity(netns=netns, ingress=ingress, egress=egress):
                for name in (ingress, egress):
                    if ("firewall-policy", netns, name) not in self._elements:
                        return f"there is no policy {name} in {netns}"
                return None
            case _:
                return None

    def _missing_device(self, port: Port) -> str | None:
        links = (e for e in self._elements.values() if isinstance(e, Link))
        if port.device == "lo" or any(port in (link.left, link.right) for link in links):
            return None
        return f"there is no device {port.device} in {port.netns}"

    def lose(self, key: Key) -> None:
        """Let an element vanish, as if somebody else had taken it away."""
        del self._elements[key]

    def happen(self, event: Event) -> None:
        """Report ``event`` as the machine would."""
        if self._report is not None:
            self._report(event)

    def open_socket(self, netns: NetnsName, kind: socket.SocketKind) -> socket.socket:
        """Make an ordinary socket: there is only one network here."""
        if ("netns", netns) not in self._elements:
            raise DriverError(f"there is no namespace {netns}")
        return socket.socket(socket.AF_INET, kind)

    def flows(self, netns: NetnsName) -> tuple[TrackedFlow, ...]:
        """Return none: no packet moves."""
        del netns
        return ()

    def drops(self, netns: NetnsName) -> dict[str, int]:
        """Return none: no packet moves."""
        del netns
        return {}

    def advance_conntrack_timeouts(self, seconds: int) -> None:
        """Remember it: there are no flows."""
        self.aged += seconds

    def interface_counters(self, netns: NetnsName) -> Mapping[DeviceName, InterfaceCounters]:
        """Return what ``traffic`` says; nothing has moved otherwise."""
        if ("netns", netns) not in self._elements:
            raise DriverError(f"there is no namespace {netns}")
        links = (element for element in self._elements.values() if isinstance(element, Link))
        ports = (port for link in links for port in (link.left, link.right) if port.netns == netns)
        return {port.device: self.traffic.get(port, InterfaceCounters(0, 0)) for port in ports}

    def diagnose(self, netns: NetnsName) -> str:
        """Print the elements of ``netns``."""
        return "\n".join(str(element) for element in self.observe().by_netns.get(netns, ()))

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
