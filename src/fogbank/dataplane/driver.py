"""The seam between what should be and what is: observe a Topology, apply actions, report events.

Two drivers keep this contract, and one suite of tests holds both to it: the simulated one, which only
remembers, and the Linux one, which builds. Everything above this line is pure.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal, Protocol

from fogbank.errors import DriverError
from fogbank.network.topology import DeviceName, NetnsName, Topology
from fogbank.planning.plan import Action


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one action: no error, or why the machine refused it."""

    action: Action
    error: DriverError | None = None


@dataclass(frozen=True, slots=True)
class MemoryExceeded:
    """A container used more than ``limit`` bytes when it was looked at."""

    limit: int
    used: int


@dataclass(frozen=True, slots=True)
class WorkloadExited:
    """The container of workload ``name`` ended, with an exit status or the negative signal.

    ``requested`` when it was removed; ``exceeded`` when the driver ended it for its memory; otherwise it
    ended by itself.
    """

    name: str
    status: int
    requested: bool = False
    exceeded: MemoryExceeded | None = None


@dataclass(frozen=True, slots=True)
class WorkloadWrote:
    """Workload ``name`` wrote one line on ``stream`` (``stdout`` or ``stderr``)."""

    name: str
    stream: str
    line: str


@dataclass(frozen=True, slots=True)
class Drifted:
    """Something other than the driver changed the machine; observe again."""

    why: str


Event = WorkloadExited | WorkloadWrote | Drifted


@dataclass(frozen=True, slots=True)
class TrackedFlow:
    """A connection that a router tracks: as it came, and as it left (translated)."""

    netns: NetnsName
    protocol: int
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    translated_source: IPv4Address
    translated_port: int
    state: str


NatRefusal = Literal["OUT_OF_RESOURCES", "ENDPOINT_INDEPENDENCE_CONFLICT"]
"""Why a flow got no port: the reasons of Cloud NAT's metrics (behaviour/cloud-nat.md#mapping)."""

OUT_OF_RESOURCES: NatRefusal = "OUT_OF_RESOURCES"


@dataclass(frozen=True, slots=True)
class FirstPacket:
    """What became of a new flow's first packet: it carried ``outside``, or was ``refused``."""

    netns: NetnsName
    protocol: int
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    outside: tuple[IPv4Address, int] | None
    refused: NatRefusal | None


@dataclass(frozen=True, slots=True)
class RuleReport:
    """A ``logged`` rule, known by its policy, stage and label, decided about a packet."""

    policy: str
    action: Literal["allow", "deny"]
    stage: int
    label: str
    protocol: int
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Packets, and their bytes from the IP header on."""

    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class CountedFlow:
    """What a connection carried since the last look, from its ``client``, who opened it, and back.

    Both are known by the addresses that they have themselves: translations do not show. ``client_port`` and
    ``server_port`` are 0 for protocols without ports. ``began`` and ``ended`` (None: it has not) are
    nanoseconds since 1970 by the machine's clock.
    """

    protocol: int
    client: IPv4Address
    client_port: int
    server: IPv4Address
    server_port: int
    sent: Counted
    received: Counted
    began: int | None
    ended: int | None


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """Bytes and packets that a device took in and gave out since it was made, without what was held back."""

    received: int
    sent: int
    received_packets: int = 0
    sent_packets: int = 0


Message = Literal["changed", "freeze", "thaw", "kill"]
"""What a machine can be told: its metadata has changed; nothing of it is to run; it is to go on; its power is
cut.
"""


class Driver(Protocol):
    """Builds topologies. ``observe`` and ``apply`` block and are called from one worker thread."""

    def observe(self) -> Topology:
        """Read what exists."""
        ...

    def apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        """Do ``actions`` in order, batched where that is faster; one that fails does not stop the others."""
        ...

    def open_socket(self, netns: NetnsName, kind: socket.SocketKind) -> socket.socket:
        """Make an IPv4 socket that lives in ``netns``; safe from any thread, microseconds."""
        ...

    def flows(self, netns: NetnsName) -> tuple[TrackedFlow, ...]:
        """List what the namespace's connection tracking holds."""
        ...

    def first_packets(self, netns: NetnsName) -> tuple[FirstPacket, ...]:
        """Return what became of flows since the last call: of translations that are ``logged``, and refusals
        where first packets are looked at; safe from any thread.
        """
        ...

    def rule_reports(self, netns: NetnsName) -> tuple[RuleReport, ...]:
        """Return what ``logged`` rules decided since the last call; safe from any thread.

        That is each connection that they allowed, and once in five seconds each 5-tuple that they denied.
        """
        ...

    def take_flow_counts(self, netns: NetnsName) -> tuple[CountedFlow, ...]:
        """Count what connections carried since the last call, of a namespace with a :class:`FlowLog`: first
        those that live, then those that ended. Nothing of others; safe from any thread.
        """
        ...

    def drops(self, netns: NetnsName) -> dict[str, int]:
        """Count packets dropped in ``netns`` by reason (a rule's label, ``no-nat``, ``ports-exhausted``)."""
        ...

    def refused_packets(self, netns: NetnsName) -> Mapping[IPv4Address, int]:
        """Count what ``counted`` policies dropped so far, by destination; safe from any thread."""
        ...

    def advance_conntrack_timeouts(self, seconds: int) -> None:
        """Have ``seconds`` pass for what gateways (translations with timeouts) remember of their flows.

        DriverError when the machine refuses.
        """
        ...

    def interface_counters(self, netns: NetnsName) -> Mapping[DeviceName, InterfaceCounters]:
        """Read the counters of every link that ends in ``netns``; safe from any thread, cheap.

        DriverError when there is no such namespace.
        """
        ...

    def tell(self, workload: str, message: Message) -> None:
        """Have a machine hear of something; nothing when it does not run. Safe from any thread."""
        ...

    def diagnose(self, netns: NetnsName) -> str:
        """Print links, routes, ruleset and conntrack of ``netns`` for a person."""
        ...

    def close(self) -> None:
        """End every workload and listener; namespaces go with the world."""
        ...


Report = Callable[[Event], None]
"""How a driver tells the control loop about an event; callable from any thread."""
