"""The elements of source NAT: who is translated to what, and who cannot be.

Other modules take these names from :mod:`fogbank.network.topology`. The surprising fact: a translation may
need more than a rule of the kernel can do (:attr:`SourceNat.hands_over`).
"""

from dataclasses import dataclass

from fogbank.network.basics import DeviceName, IpAddress, IpNetwork, NetnsName, PortRange


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
    ``outside`` go there, where the ingress policy of its port security decides. When ``outside`` is that
    address itself, it :attr:`passes` as it is.
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
    def arrival(self) -> tuple[NetnsName, DeviceName, IpAddress] | None:
        """Where new flows come in for the client: no other translation can have it at the same time."""
        return (self.netns, self.device, self.outside) if self.both_ways else None

    @property
    def passes(self) -> bool:
        """Whether nothing is translated: the address is known outside as it is inside."""
        return self.both_ways and self.inside.num_addresses == 1 and self.outside in self.inside

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
