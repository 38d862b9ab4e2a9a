"""The elements of a network: small frozen values that know no Google word.

Every element has a ``key``: two elements with one key are versions of the same thing. What is true of each
kind (where it lives, which devices it needs) is in :mod:`fogbank.network.kinds`. Other modules take these
names from :mod:`fogbank.network.topology`.
"""

from dataclasses import dataclass, field
from typing import Literal

from fogbank.network.basics import (
    DeviceName,
    IpAddress,
    IpInterface,
    IpNetwork,
    NetnsName,
    Port,
    PortRange,
)
from fogbank.network.translation import SourceNat, UnservedClient


@dataclass(frozen=True, slots=True)
class NetworkNamespace:
    """A network namespace of its own; ``forwards`` makes it a router (flows hash over equal routes).

    One that is ``delegated`` belongs to a user namespace of its own, whose root may change its links, routes,
    rules and settings: a container that joins both is a machine with a network of its own.
    """

    name: NetnsName
    forwards: bool = False
    delegated: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        return ("netns", self.name)


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair. ``mtu`` in bytes."""

    left: Port
    right: Port
    mtu: int = 1460

    @property
    def key(self) -> tuple[str, ...]:
        return ("link", self.left.netns, self.left.device)


@dataclass(frozen=True, slots=True)
class Address:
    """``interface`` is configured on ``port`` (``lo`` for an address that a router answers on)."""

    port: Port
    interface: IpInterface

    @property
    def key(self) -> tuple[str, ...]:
        return ("address", self.port.netns, self.port.device, str(self.interface))


@dataclass(frozen=True, slots=True, order=True)
class Hop:
    """A next hop: out of ``device``, to the neighbour ``via`` (always on-link), or to the target itself."""

    device: DeviceName
    via: IpAddress | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Packets of ``netns`` for ``destination`` leave by one of ``hops``, flow-hashed.

    No hop at all discards them; a local socket is told so at once (EINVAL). The hop ``lo`` discards what
    local sockets send silently. ``source`` is the address that local sockets take. With a ``table`` it only
    counts for what a :class:`RouteSelection` sends there; one that ``falls_through`` leaves packets to the
    main table.
    """

    netns: NetnsName
    destination: IpNetwork
    hops: tuple[Hop, ...]
    source: IpAddress | None = None
    table: int = 0
    falls_through: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        table = (str(self.table),) if self.table else ()
        return ("route", self.netns, str(self.destination), *table)

    @property
    def discards(self) -> bool:
        """Whether nothing that it takes goes anywhere."""
        return not self.falls_through and all(hop.device == "lo" for hop in self.hops)


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """A table of ``netns`` beside the main one, which is asked when no route of this one takes a packet.

    ``number`` is not that of a table that every namespace has: at least 1,000.
    """

    netns: NetnsName
    number: int

    @property
    def key(self) -> tuple[str, ...]:
        return self.key_of(self.netns, self.number)

    @staticmethod
    def key_of(netns: NetnsName, number: int) -> tuple[str, ...]:
        """Return the key of table ``number`` of ``netns``."""
        return ("routing-table", netns, str(number))


@dataclass(frozen=True, slots=True)
class RouteSelection:
    """Packets that ``netns`` forwards and that come in by ``device`` are routed by ``table`` first."""

    netns: NetnsName
    device: DeviceName
    table: int

    @property
    def key(self) -> tuple[str, ...]:
        return ("route-selection", self.netns, self.device)


@dataclass(frozen=True, slots=True)
class Shaper:
    """What leaves by ``port`` is held to ``bits_per_second`` by a token bucket."""

    port: Port
    bits_per_second: int

    @property
    def key(self) -> tuple[str, ...]:
        return ("shaper", self.port.netns, self.port.device)


@dataclass(frozen=True, slots=True)
class StatefulFirewall:
    """``netns`` forwards only what port security and firewall policies allow; replies to allowed flows pass.

    By the ``uplink`` nothing leaves that no :class:`SourceNat` translates, and nothing new enters but for
    those that translate both ways.
    """

    netns: NetnsName
    uplink: DeviceName | None = None

    @property
    def key(self) -> tuple[str, ...]:
        return ("stateful-firewall", self.netns)


@dataclass(frozen=True, slots=True)
class FlowLog:
    """What is counted of the connections of ``ranges``, those of the subnetwork ``name``, is to be reported.

    They are forwarded by ``netns``, whose ranges do not overlap.
    """

    netns: NetnsName
    name: str
    ranges: tuple[IpNetwork, ...]

    @property
    def key(self) -> tuple[str, ...]:
        return ("flow-log", self.netns, self.name)


@dataclass(frozen=True, slots=True, order=True)
class Traffic:
    """A protocol number (``None`` is all), and for TCP, UDP and SCTP destination ports (none is all)."""

    protocol: int | None = None
    ports: tuple[PortRange, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a policy.

    Empty ``sources`` and ``address_sets`` together mean any source; empty ``destinations`` any destination.
    The action ``next`` leaves the rules of the same ``stage`` that follow, and goes on with the next stage.
    What one that is ``logged`` decides about TCP and UDP is reported.
    """

    action: Literal["allow", "deny", "next"]
    traffic: tuple[Traffic, ...]
    sources: tuple[IpNetwork, ...] = ()
    address_sets: tuple[str, ...] = ()
    destinations: tuple[IpNetwork, ...] = ()
    label: str = ""
    stage: int = 0
    logged: bool = False


@dataclass(frozen=True, slots=True)
class FirewallPolicy:
    """``rules`` in the order of their stages: the first that matches a new flow decides, else ``default``.

    What one that is ``counted`` drops is counted by destination.
    """

    netns: NetnsName
    name: str
    rules: tuple[Rule, ...]
    default: Literal["allow", "deny"]
    counted: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        return self.key_of(self.netns, self.name)

    @staticmethod
    def key_of(netns: NetnsName, name: str) -> tuple[str, ...]:
        """Return the key of the policy ``name`` of ``netns``."""
        return ("firewall-policy", netns, name)


@dataclass(frozen=True, slots=True)
class PortSecurity:
    """The endpoint ``address`` behind ``device`` of ``netns``: what may enter it and what may leave it.

    ``ingress`` and ``egress`` name policies of the same namespace. From ``device`` no other source is
    accepted but for those in ``ranges``, which are behind it too. One that ``forwards`` accepts any source,
    and gets what is routed there whatever its destination. No other endpoint is behind the device.
    """

    netns: NetnsName
    device: DeviceName
    address: IpAddress
    ingress: str
    egress: str
    ranges: tuple[IpNetwork, ...] = ()
    forwards: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        return ("port-security", self.netns, self.device)


@dataclass(frozen=True, slots=True)
class PeerNetwork:
    """The network behind ``device`` of ``netns`` has ``ranges``, and filters what its endpoints send and get.

    Its addresses may send from there to endpoints of ``netns``, and get what these send, under the policies
    of the endpoints alone. Nothing passes from one peer to another one, or by the uplink. ``ranges`` do not
    overlap.
    """

    netns: NetnsName
    device: DeviceName
    ranges: tuple[IpNetwork, ...]

    @property
    def key(self) -> tuple[str, ...]:
        return ("peer-network", self.netns, self.device)


@dataclass(frozen=True, slots=True)
class AddressSetMember:
    """``address`` belongs to the ``address_set`` that rules of ``netns`` name as a source."""

    netns: NetnsName
    address_set: str
    address: IpAddress

    @property
    def key(self) -> tuple[str, ...]:
        return ("address-set-member", self.netns, self.address_set, str(self.address))


@dataclass(frozen=True, slots=True)
class Listener:
    """Sockets open in ``netns`` on ``address``:``port``, handed to the host program's ``service``."""

    netns: NetnsName
    address: IpAddress
    port: int
    protocol: Literal["tcp", "udp"]
    service: str

    @property
    def key(self) -> tuple[str, ...]:
        return ("listener", self.netns, str(self.address), str(self.port), self.protocol)


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A folder on the region's disk that containers see at ``path``; it is kept when they end.

    ``name`` is its own for as long as it exists: letters, digits, ``-``, ``_`` and ``.``.
    """

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class VolumeFile:
    """A file of a volume: ``path`` below its root, permission bits, and a content that is never shown."""

    path: str
    mode: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Volume:
    """A file system in memory for the workloads of ``netns``, with room for ``size_bytes``.

    With ``files`` it has these and nothing else, and nobody can write; without, it begins empty. It goes with
    the namespace.
    """

    name: str
    netns: NetnsName
    size_bytes: int
    files: tuple[VolumeFile, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        return self.key_of(self.name)

    @staticmethod
    def key_of(name: str) -> tuple[str, ...]:
        """Return the key of the volume ``name``."""
        return ("volume", name)


@dataclass(frozen=True, slots=True)
class Mount:
    """The ``volume`` (its name) appears at ``path`` of a container."""

    volume: str
    path: str


@dataclass(frozen=True, slots=True)
class Machine:
    """What makes a container a virtual machine: an init, a disk, the rights to its own network.

    ``disk`` is the data folder with what was changed on its disk, which may be one machine's at a time.
    ``hostname`` is the kernel's.
    """

    disk: str
    hostname: str


@dataclass(frozen=True, slots=True)
class Workload:
    """A container in ``netns``: ``image`` is a manifest digest in the region's store.

    Empty ``command`` or ``arguments`` take the image's, and so does an empty ``folder``, the one to start in.
    ``port`` is where it should listen. ``data`` is what of it is kept. ``secrets`` are variables of the
    environment that are never shown. ``hosts`` are names that mean the container's own loopback.
    ``memory_bytes`` are for its files; ``memory_limit`` for them and its processes together: one that uses
    more is ended. None for no such limit. ``machine`` is there when it is a virtual machine: its files are
    then on a disk, its namespace is a delegated one, and beyond its memory a process is ended and not all.
    """

    name: str
    netns: NetnsName
    image: str
    port: int
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    memory_bytes: int = 512 * 1024 * 1024
    memory_limit: int | None = None
    cpu_millis: int = 1000
    data: tuple[DataFolder, ...] = ()
    secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    mounts: tuple[Mount, ...] = ()
    hosts: tuple[str, ...] = ()
    folder: str = ""
    machine: Machine | None = None

    @property
    def key(self) -> tuple[str, ...]:
        return ("workload", self.name)


Element = (
    NetworkNamespace
    | Link
    | Address
    | RoutingTable
    | Route
    | Shaper
    | SourceNat
    | UnservedClient
    | StatefulFirewall
    | FlowLog
    | FirewallPolicy
    | AddressSetMember
    | PortSecurity
    | RouteSelection
    | PeerNetwork
    | Listener
    | Volume
    | Workload
)
Key = tuple[str, ...]
