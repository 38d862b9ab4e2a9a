"""Traces: what happens to the first packet of a flow, namespace by namespace, until it arrives or is dropped.

Values only: `predict` makes them, `explain` tells them, `compare` holds them to what was seen. The surprising
fact: a prediction is a set of branches, as flows hash over equal routes; a real packet takes one of them.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Literal

from fogbank.network.filtering import TCP, Packet
from fogbank.network.topology import (
    DeviceName,
    FirewallPolicy,
    Hop,
    Key,
    NetnsName,
    PortRange,
    PortSecurity,
    Route,
    Rule,
)


@dataclass(frozen=True, slots=True)
class Flow:
    """The question: a flow that a socket in ``start`` opens.

    Without ``source`` the socket takes the address that routing gives it. ``port`` is the destination's.
    """

    start: NetnsName
    destination: IPv4Address
    port: int
    protocol: int = TCP
    source: IPv4Address | None = None


class Cause(StrEnum):
    """Why a packet was dropped: Connectivity Tests' words (networkmanagement DropInfo.cause)."""

    NO_ROUTE = "NO_ROUTE"
    ROUTE_BLACKHOLE = "ROUTE_BLACKHOLE"
    ROUTE_NEXT_HOP_RESOURCE_NOT_FOUND = "ROUTE_NEXT_HOP_RESOURCE_NOT_FOUND"
    ROUTING_LOOP = "ROUTING_LOOP"
    FIREWALL_RULE = "FIREWALL_RULE"
    FOREIGN_IP_DISALLOWED = "FOREIGN_IP_DISALLOWED"
    NO_EXTERNAL_ADDRESS = "NO_EXTERNAL_ADDRESS"
    CLOUD_NAT_NO_ADDRESSES = "CLOUD_NAT_NO_ADDRESSES"
    PRIVATE_GOOGLE_ACCESS_DISALLOWED = "PRIVATE_GOOGLE_ACCESS_DISALLOWED"
    NO_ROUTE_FROM_INTERNET_TO_PRIVATE_IPV4_ADDRESS = "NO_ROUTE_FROM_INTERNET_TO_PRIVATE_IPV4_ADDRESS"
    PRIVATE_TRAFFIC_TO_INTERNET = "PRIVATE_TRAFFIC_TO_INTERNET"
    UNKNOWN_EXTERNAL_ADDRESS = "UNKNOWN_EXTERNAL_ADDRESS"
    UNKNOWN_INTERNAL_ADDRESS = "UNKNOWN_INTERNAL_ADDRESS"
    VPC_CONNECTOR_NOT_RUNNING = "VPC_CONNECTOR_NOT_RUNNING"
    ROUTE_NEXT_HOP_VPN_TUNNEL_NOT_ESTABLISHED = "ROUTE_NEXT_HOP_VPN_TUNNEL_NOT_ESTABLISHED"
    VPN_TUNNEL_LOCAL_SELECTOR_MISMATCH = "VPN_TUNNEL_LOCAL_SELECTOR_MISMATCH"
    VPN_TUNNEL_REMOTE_SELECTOR_MISMATCH = "VPN_TUNNEL_REMOTE_SELECTOR_MISMATCH"


@dataclass(frozen=True, slots=True)
class Routed:
    """The namespace's ``route`` took the packet; of several next hops it went to ``hop``."""

    route: Route
    hop: Hop


@dataclass(frozen=True, slots=True)
class Judged:
    """A firewall policy ruled; ``rule`` is None when the implied rule did."""

    direction: Literal["ingress", "egress"]
    port_security: PortSecurity
    policy: FirewallPolicy
    action: Literal["allow", "deny"]
    rule: Rule | None


@dataclass(frozen=True, slots=True)
class Translated:
    """The source became ``after``, with a port of ``ports`` when the client has a slice of its own."""

    before: IPv4Address
    after: IPv4Address
    ports: PortRange | None
    key: Key


@dataclass(frozen=True, slots=True)
class Readdressed:
    """The destination became ``after``: the packet came from the internet for an external address."""

    before: IPv4Address
    after: IPv4Address
    key: Key


@dataclass(frozen=True, slots=True)
class Shaped:
    """The packet left through a token bucket."""

    bits_per_second: int
    key: Key


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """The packet went into the tunnel from ``local`` to ``remote``."""

    local: IPv4Address
    remote: IPv4Address
    key: Key


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The packet would have been dropped here; the prediction went on as if it had not been."""

    dropped: "Dropped"
    packet: Packet


Step = Routed | Judged | Translated | Readdressed | Shaped | Encapsulated | Obstacle


@dataclass(frozen=True, slots=True)
class TraceHop:
    """One namespace on the way: where the packet came in and left, and what happened to it there.

    ``device_in`` is None where the flow starts, ``device_out`` where it ends. ``source`` is the packet's on
    arrival.
    """

    netns: NetnsName
    device_in: DeviceName | None
    device_out: DeviceName | None
    source: IPv4Address
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivered:
    """The packet reached its destination's machine. ``service`` is what listens there; None refuses.

    In a ``guest`` (a virtual machine that runs) programs listen that nobody declared: it accepts or refuses.
    """

    service: str | None
    guest: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """The packet went no further; ``key`` is the element that dropped it, if one did."""

    cause: Cause
    key: Key | None = None


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The packet is for somebody else and reached a machine that forwards: what it does, its owner knows."""


Disposition = Delivered | Dropped | HandedOver
Verdict = Literal["accepted", "refused", "dropped", "unknown"]


@dataclass(frozen=True, slots=True)
class Branch:
    """One way that the flow may take. ``source`` is the packet's when it arrived or was dropped."""

    hops: tuple[TraceHop, ...]
    disposition: Disposition
    source: IPv4Address

    @property
    def verdict(self) -> Verdict:
        """What the client sees: a connection, a refusal, or silence."""
        match self.disposition:
            case Delivered(guest=True):
                return "unknown"
            case Delivered(service=None):
                return "refused"
            case Delivered():
                return "accepted"
            case Dropped():
                return "dropped"
            case HandedOver():
                return "unknown"


@dataclass(frozen=True, slots=True)
class Trace:
    """The answer: every way that ``flow`` may take, in the order of the routes' next hops."""

    flow: Flow
    branches: tuple[Branch, ...]

    @property
    def sources(self) -> frozenset[IPv4Address]:
        """The addresses that the destination may see."""
        return frozenset(b.source for b in self.branches if isinstance(b.disposition, Delivered))

    @property
    def verdicts(self) -> frozenset[Verdict]:
        """What the client may see."""
        return frozenset(branch.verdict for branch in self.branches)
