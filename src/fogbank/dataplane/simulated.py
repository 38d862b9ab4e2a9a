"""A driver that only remembers: the same contract as the Linux one, without a machine.

Everything above the data plane can be tested on it. It refuses what the kernel would refuse because something
that the table of kinds names is missing (a namespace of a link, the policy of port security), because what is
to be made exists, or what is to be changed does not, and fails on request. What goes takes along what the
kernel drops with it: a link the addresses and routes on its ends, a namespace everything inside.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address

from fogbank.dataplane.driver import (
    CountedFlow,
    Event,
    FirstPacket,
    InterfaceCounters,
    Message,
    Outcome,
    Report,
    RuleReport,
    TrackedFlow,
)
from fogbank.errors import DriverError
from fogbank.network.kinds import kind_of
from fogbank.network.topology import (
    DeviceName,
    Element,
    Key,
    NetnsName,
    NetworkNamespace,
    Port,
    Topology,
    made_by,
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
    gets what tests send with :meth:`happen`; ``traffic`` holds the counters of devices that carried any,
    ``carried`` what connections did since the last look, ``reported`` what rules decided, ``refused``
    what policies dropped; ``told`` lists what machines were told.
    """

    def __init__(self, *, failure: Failure = never, report: Report | None = None) -> None:
        self.failure = failure
        self.applied: list[Action] = []
        self.traffic: dict[Port, InterfaceCounters] = {}
        self.carried: dict[NetnsName, tuple[CountedFlow, ...]] = {}
        self.reported: dict[NetnsName, tuple[RuleReport, ...]] = {}
        self.refused: dict[NetnsName, dict[IPv4Address, int]] = {}
        self.aged = 0
        self.told: list[tuple[str, Message]] = []
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
        why = self.failure(action) or self._refusal(action)
        if why is not None:
            return Outcome(action, DriverError(why))
        match action:
            case Create(element=element):
                self._elements[element.key] = element
            case Replace(new=new):
                self._elements[new.key] = new
            case Remove(element=element):
                self._remove(element)
        return Outcome(action)

    def _refusal(self, action: Action) -> str | None:
        element = element_of(action)
        exists = element.key in self._elements
        if isinstance(action, Create) and exists:
            return f"{' '.join(element.key)} exists"
        if not isinstance(action, Create) and not exists:
            return f"there is no {' '.join(element.key)}"
        return None if isinstance(action, Remove) else self._missing_part(action, element)

    def _remove(self, element: Element) -> None:
        gone = [element]
        if isinstance(element, NetworkNamespace):
            gone += [each for each in self._elements.values() if element.name in namespaces_of(each)]
        ports = {port for each in gone for port in made_by(each)}
        keys = {each.key for each in gone}
        self._elements = {
            key: each
            for key, each in self._elements.items()
            if key not in keys and ports.isdisjoint(kind_of(each).configured_on(each))
        }

    def _missing_part(self, action: Action, element: Element) -> str | None:
        if isinstance(element, NetworkNamespace):
            return None
        kind = kind_of(element)
        for netns in namespaces_of(element):
            if not self._has_netns(netns):
                return f"there is no namespace {netns}"
        for port in kind.makes(element):
            if isinstance(action, Create) and self._has_device(port):
                return f"there is a device {port.device} in {port.netns}"
        for port in kind.configured_on(element):
            if port.device != "lo" and not self._has_device(port):
                return f"there is no device {port.device} in {port.netns}"
        for key in kind.refers_to(element):
            if key not in self._elements:
                return f"there is no {' '.join(key)}"
        return None

    def _has_netns(self, name: NetnsName) -> bool:
        return NetworkNamespace(name).key in self._elements

    def _has_device(self, port: Port) -> bool:
        return any(port in made_by(element) for element in self._elements.values())

    def lose(self, key: Key) -> None:
        """Let an element vanish, as if somebody else had taken it away."""
        del self._elements[key]

    def happen(self, event: Event) -> None:
        """Report ``event`` as the machine would."""
        if self._report is not None:
            self._report(event)

    def open_socket(self, netns: NetnsName, kind: socket.SocketKind) -> socket.socket:
        """Make an ordinary socket: there is only one network here."""
        if not self._has_netns(netns):
            raise DriverError(f"there is no namespace {netns}")
        return socket.socket(socket.AF_INET, kind)

    def flows(self, netns: NetnsName) -> tuple[TrackedFlow, ...]:
        """Return none: no packet moves."""
        del netns
        return ()

    def first_packets(self, netns: NetnsName) -> tuple[FirstPacket, ...]:
        """Nothing sends packets here."""
        del netns
        return ()

    def rule_reports(self, netns: NetnsName) -> tuple[RuleReport, ...]:
        """Return what ``reported`` says, once."""
        return self.reported.pop(netns, ())

    def take_flow_counts(self, netns: NetnsName) -> tuple[CountedFlow, ...]:
        """Return what ``carried`` says, once."""
        return self.carried.pop(netns, ())

    def drops(self, netns: NetnsName) -> dict[str, int]:
        """Return none: no packet moves."""
        del netns
        return {}

    def refused_packets(self, netns: NetnsName) -> Mapping[IPv4Address, int]:
        """Return what ``refused`` says."""
        return self.refused.get(netns, {})

    def advance_conntrack_timeouts(self, seconds: int) -> None:
        """Remember it: there are no flows."""
        self.aged += seconds

    def interface_counters(self, netns: NetnsName) -> Mapping[DeviceName, InterfaceCounters]:
        """Return what ``traffic`` says; nothing has moved otherwise."""
        if not self._has_netns(netns):
            raise DriverError(f"there is no namespace {netns}")
        made = (port for element in self._elements.values() for port in made_by(element))
        ports = (port for port in made if port.netns == netns)
        return {port.device: self.traffic.get(port, InterfaceCounters(0, 0)) for port in ports}

    def tell(self, workload: str, message: Message) -> None:
        """Remember what a machine that runs was told."""
        if ("workload", workload) in self.observe().elements:
            self.told.append((workload, message))

    def diagnose(self, netns: NetnsName) -> str:
        """Print the elements of ``netns``."""
        return "\n".join(str(element) for element in self.observe().by_netns.get(netns, ()))

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
