"""The elements of a network: small frozen values that know no Google word.

Every element has a ``key``: two elements with one key are versions of the same thing. What is true of each
kind (where it lives, which devices it needs) is in :mod:`fogbank.network.kinds`. Other modules take these
names from :mod:`fogbank.network.topology`.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal, NewType

IpAddress = IPv4Address
IpInterface = IPv4Interface
IpNetwork = IPv4Network
"""What elements hold: only IPv4 is built. IPv6 would widen these three; the type checker finds the rest."""

NetnsName = NewType("NetnsName", str)
"""A network namespace: ``vpc/demo/default``, ``instance/production-00001-abc/0``, ``internet``."""

DeviceName = NewType("DeviceName", str)
"""An interface inside a namespace: at most 15 characters, ``lo`` included."""


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """An inclusive range of ports: ``first <= last``."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last <= 65535:
            raise ValueError(f"not a port range: {self.first}-{self.last}")

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """One end of a link: ``device`` as seen inside ``netns``."""

    netns: NetnsName
    device: DeviceName


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


@dataclass(frozen=True, slots=True, order=True)
class NatTimeouts:
    """Idle seconds after which the kernel forgets a translated flow."""

    udp: int = 30
    icmp: int = 30
    tcp_established: int = 1200
    tcp_transitory: int = 30
    tcp_time_wait: int = 120


@dataclass(frozen=True, slots=True, order=True)
class PortBlock:
    """The ``ports`` of the address ``outside`` that belong to one client."""

    outside: IpAddress
    ports: PortRange


@dataclass(frozen=True, slots=True)
class TranslationRule:
    """New flows to one of ``destinations`` take a port of ``blocks`` instead; without blocks none leaves.

    ``number`` is what people call it by.
    """

    number: int
    destinations: tuple[IpNetwork, ...]
    blocks: tuple[PortBlock, ...] = ()


SEARCHED_PORTS = 128
"""The longest range in which Linux looks at every port before it gives a new flow up."""


@dataclass(frozen=True, slots=True)
class SourceNat:
    """New flows from ``inside`` that leave ``netns`` by ``device`` carry ``outside``.

    With ``ports`` they may only use that slice: exactly ``len(ports)`` simultaneous flows to one
    (address, port, protocol); the next one is dropped and counted, and TIME_WAIT keeps its port. ``more``
    blocks are as good as the first; the first of ``rules`` that has a flow's destination decides instead.
    With ``endpoint_independent`` all flows of one inside port carry the same outside port: one that cannot is
    dropped. ``logged`` flows are reported one by one.

    Removing the element ends the flows that it carries, and so does taking their port or address away, except
    for flows that carry one of ``draining``: they live on until they end by themselves.

    One that works ``both_ways`` belongs to a single address inside: new flows that come in by ``device`` for
    ``outside`` go there, where the ingress policy of its port security decides.
    """

    netns: NetnsName
    device: DeviceName
    inside: IpNetwork
    outside: IpAddress
    ports: PortRange | None = None
    timeouts: NatTimeouts | None = None
    draining: tuple[IpAddress, ...] = ()
    both_ways: bool = False
    more: tuple[PortBlock, ...] = ()
    rules: tuple[TranslationRule, ...] = ()
    endpoint_independent: bool = False
    logged: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        return ("source-nat", self.netns, self.device, str(self.inside))

    @property
    def blocks(self) -> tuple[PortBlock, ...]:
        """The blocks of flows that no rule takes; none when only the address is set."""
        return (PortBlock(self.outside, self.ports), *self.more) if self.ports else ()

    @property
    def all_blocks(self) -> tuple[PortBlock, ...]:
        """Every block that a new flow may take."""
        return (*self.blocks, *(block for rule in self.rules for block in rule.blocks))

    @property
    def outsides(self) -> tuple[IpAddress, ...]:
        """Every address that a new flow may carry, each once."""
        return tuple(dict.fromkeys((self.outside, *(block.outside for block in self.all_blocks))))

    @property
    def hands_over(self) -> bool:
        """Whether the first packet of each flow needs a decision that a rule of the kernel cannot take."""
        return self.ports is not None and bool(
            self.more
            or self.rules
            or self.endpoint_independent
            or self.logged
            or len(self.ports) > SEARCHED_PORTS
        )

    def blocks_for(self, destination: IpAddress) -> tuple[PortBlock, ...]:
        """Return the blocks of a flow to ``destination``."""
        for rule in self.rules:
            if any(destination in each for each in rule.destinations):
                return rule.blocks
        return self.blocks

    def outsides_for(self, destination: IpAddress) -> tuple[IpAddress, ...]:
        """Return the addresses that a flow to ``destination`` may carry."""
        if self.ports is None:
            return (self.outside,)
        return tuple(dict.fromkeys(block.outside for block in self.blocks_for(destination)))


@dataclass(frozen=True, slots=True)
class UnservedClient:
    """``inside`` should be translated when it leaves ``netns`` by ``device``, but no ports are left for it.

    All that it sends there is dropped, and counted as that.
    """

    netns: NetnsName
    device: DeviceName
    inside: IpNetwork

    @property
    def key(self) -> tuple[str, ...]:
        return ("unserved-client", self.netns, self.device, str(self.inside))


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


@dataclass(frozen=True, slots=True, order=True)
class Traffic:
    """A protocol number (``None`` is all), and for TCP, UDP and SCTP destination ports (none is all)."""

    protocol: int | None = None
    ports: tuple[PortRange, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a policy.

    Empty ``sources`` and ``address_sets`` together mean any source; empty ``destinations`` any destination.
    """

    action: Literal["allow", "deny"]
    traffic: tuple[Traffic, ...]
    sources: tuple[IpNetwork, ...] = ()
    address_sets: tuple[str, ...] = ()
    destinations: tuple[IpNetwork, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class FirewallPolicy:
    """``rules`` in order: the first that matches a new flow decides; without a match ``default`` does."""

    netns: NetnsName
    name: str
    rules: tuple[Rule, ...]
    default: Literal["allow", "deny"]

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
