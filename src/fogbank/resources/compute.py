"""Compute's networking resources as real types: what lowering and the services read of their JSON bodies.

A body was validated and completed with Google's defaults before it was stored, so these readers do not doubt
it. The surprising fact: a NAT gateway is no resource of its own, it is an entry of a router's ``nats``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal

from fogbank.network.topology import NatTimeouts, PortRange, Traffic
from fogbank.resources.names import ResourceName, Scope, parse_compute_reference
from fogbank.resources.nat_rules import NatRule, parse_match
from fogbank.resources.world import Json, Resource

PROTOCOLS = {"icmp": 1, "ipip": 4, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "sctp": 132}
"""The protocols that a firewall rule may call by name; ``all`` is none of them."""

PORT_PROTOCOLS = frozenset({6, 17, 132})
"""The protocols whose rules may name ports."""

DEFAULT_GATEWAY = "default-internet-gateway"

AUTO_NAT_ADDRESSES = "autoNatAddresses"
"""Key of a router's ``private``: gateway name → paths of the addresses that the gateway made for itself."""

GROWN_NAT_PORTS = "grownNatPorts"
"""Key of a router's ``private``: gateway name → client's address → its ports by dynamic allocation."""

FEWEST_DYNAMIC_PORTS, MOST_DYNAMIC_PORTS = 32, 65536
"""What a dynamic gateway gives unless set (behaviour/cloud-nat.md#dynamic-port-allocation)."""


@lru_cache(maxsize=4096)
def refer(reference: str, kind: str, scope: Scope = "global") -> ResourceName:
    """Read a stored (always full) reference to a compute ``kind``."""
    return parse_compute_reference(reference, kind, "", scope)


@lru_cache(maxsize=65536)
def read_range(text: str) -> IPv4Network:
    """Read a stored range. Remembered, for every new subnetwork is compared with all the others."""
    return IPv4Network(text)


@lru_cache(maxsize=65536)
def read_address(text: str) -> IPv4Address:
    """Read a stored address, remembered like ranges."""
    return IPv4Address(text)


@dataclass(frozen=True, slots=True)
class Network:
    """A VPC network. ``auto`` keeps one subnetwork in every region."""

    name: ResourceName
    auto: bool
    mtu: int
    dynamic_routing: Literal["REGIONAL", "GLOBAL"]

    @classmethod
    def of(cls, resource: Resource) -> "Network":
        """Read a ``compute.networks`` resource."""
        body = resource.body
        return cls(
            resource.name,
            body["autoCreateSubnetworks"],
            body.get("mtu", 1460),
            body["routingConfig"]["routingMode"],
        )


@dataclass(frozen=True, slots=True)
class SecondaryRange:
    """A named alias range of a subnetwork."""

    name: str
    range: IPv4Network


PEERED = "PEERED"
"""Our purpose of a hidden subnetwork that is a producer's, seen through a peering."""


@dataclass(frozen=True, slots=True)
class Subnetwork:
    """A regional range of a network, with the ``gateway`` that its router answers on.

    ``google_access`` is Private Google Access; with ``flow_logs`` its connections are logged.
    """

    name: ResourceName
    network: ResourceName
    region: str
    range: IPv4Network
    gateway: IPv4Address
    purpose: str
    secondary: tuple[SecondaryRange, ...] = ()
    google_access: bool = False
    flow_logs: bool = False

    @classmethod
    def of(cls, resource: Resource) -> "Subnetwork":
        """Read a ``compute.subnetworks`` resource."""
        body = resource.body
        return cls(
            resource.name,
            refer(body["network"], "networks"),
            resource.name.region or "",
            read_range(body["ipCidrRange"]),
            read_address(body["gatewayAddress"]),
            body.get("purpose", "PRIVATE"),
            tuple(
                SecondaryRange(each["rangeName"], read_range(each["ipCidrRange"]))
                for each in body.get("secondaryIpRanges", ())
            ),
            body.get("privateIpGoogleAccess", False),
            body.get("logConfig", {}).get("enable", False),
        )

    @property
    def ranges(self) -> tuple[IPv4Network, ...]:
        """The primary range and every secondary one."""
        return (self.range, *(each.range for each in self.secondary))

    @property
    def reserved(self) -> frozenset[IPv4Address]:
        """The four addresses of the primary range that nobody gets (behaviour/vpc.md#reserved-addresses)."""
        return frozenset(self.range[index] for index in (0, 1, -2, -1))


@dataclass(frozen=True, slots=True)
class StaticAddress:
    """A reserved address; ``region`` is None for a global one, ``prefix_length`` set for a reserved range."""

    name: ResourceName
    address: IPv4Address
    region: str | None
    external: bool
    purpose: str | None = None
    prefix_length: int | None = None
    subnetwork: ResourceName | None = None
    network: ResourceName | None = None

    @classmethod
    def of(cls, resource: Resource) -> "StaticAddress":
        """Read a ``compute.addresses`` or ``compute.globalAddresses`` resource."""
        body = resource.body
        subnetwork, network = body.get("subnetwork"), body.get("network")
        return cls(
            resource.name,
            IPv4Address(body["address"]),
            resource.name.region,
            body["addressType"] == "EXTERNAL",
            body.get("purpose"),
            body.get("prefixLength"),
            refer(subnetwork, "subnetworks", "regions") if subnetwork else None,
            refer(network, "networks") if network else None,
        )

    @property
    def range(self) -> IPv4Network:
        """Everything that it reserves: one address, or the range of ``prefix_length``."""
        return IPv4Network((self.address, self.prefix_length or 32), strict=False)


@dataclass(frozen=True, slots=True)
class FirewallRule:
    """A firewall rule. Lower ``priority`` first; at equal priority deny comes before allow.

    Empty ``sources``, ``source_tags`` and ``source_accounts`` together mean any source; no ``destinations``
    any destination; no targets every endpoint of the network.
    """

    name: ResourceName
    network: ResourceName
    direction: Literal["INGRESS", "EGRESS"]
    priority: int
    action: Literal["allow", "deny"]
    traffic: tuple[Traffic, ...]
    sources: tuple[IPv4Network, ...] = ()
    destinations: tuple[IPv4Network, ...] = ()
    source_tags: tuple[str, ...] = ()
    target_tags: tuple[str, ...] = ()
    source_accounts: tuple[str, ...] = ()
    target_accounts: tuple[str, ...] = ()
    disabled: bool = False
    logs: bool = False

    @classmethod
    def of(cls, resource: Resource) -> "FirewallRule":
        """Read a ``compute.firewalls`` resource."""
        body = resource.body
        return cls(
            name=resource.name,
            network=refer(body["network"], "networks"),
            direction=body["direction"],
            priority=body["priority"],
            action="allow" if body.get("allowed") else "deny",
            traffic=tuple(read_traffic(each) for each in body.get("allowed") or body.get("denied") or ()),
            sources=tuple(map(IPv4Network, body.get("sourceRanges", ()))),
            destinations=tuple(map(IPv4Network, body.get("destinationRanges", ()))),
            source_tags=tuple(body.get("sourceTags", ())),
            target_tags=tuple(body.get("targetTags", ())),
            source_accounts=tuple(body.get("sourceServiceAccounts", ())),
            target_accounts=tuple(body.get("targetServiceAccounts", ())),
            disabled=body.get("disabled", False),
            logs=body.get("logConfig", {}).get("enable", False),
        )

    @property
    def reference(self) -> str:
        """How logs name it: ``network:default/firewall:allow-ssh``."""
        return f"network:{self.network.id}/firewall:{self.name.id}"


def read_traffic(entry: Json) -> Traffic:
    """Read an item of ``allowed`` or ``denied``; ValueError when the protocol or a port makes no sense."""
    protocol = str(entry["IPProtocol"]).lower()
    ports = tuple(map(read_ports, entry.get("ports", ())))
    if protocol == "all":
        return Traffic(None, ports)
    number = PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)
    return Traffic(number, ports)


def read_ports(text: str) -> PortRange:
    """Read ``22`` or ``1000-2000``; ValueError otherwise."""
    first, dash, last = str(text).partition("-")
    return PortRange(int(first), int(last if dash else first))


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A route that somebody made, the default route of a new network, or one that a router has learned.

    Subnet routes are not among them: they follow from the subnetworks. Without ``via``, ``instance`` and
    ``tunnel`` the next hop is the default internet gateway; ``via`` is then that of an instance, or of the
    VPN gateway ``gateway`` (the name of its process), when it is there. With ``regions`` only their endpoints
    have the route.
    """

    name: ResourceName
    network: ResourceName
    destination: IPv4Network
    priority: int
    tags: tuple[str, ...] = ()
    via: IPv4Address | None = None
    instance: ResourceName | None = None
    tunnel: ResourceName | None = None
    gateway: str = ""
    regions: tuple[str, ...] = ()

    @classmethod
    def of(cls, resource: Resource) -> "StaticRoute":
        """Read a ``compute.routes`` resource."""
        body = resource.body
        via, instance = body.get("nextHopIp"), body.get("nextHopInstance")
        tunnel = body.get("nextHopVpnTunnel")
        return cls(
            resource.name,
            refer(body["network"], "networks"),
            IPv4Network(body["destRange"]),
            body["priority"],
            tuple(body.get("tags", ())),
            IPv4Address(via) if via else None,
            refer(instance, "instances", "zones") if instance else None,
            refer(tunnel, "vpnTunnels", "regions") if tunnel else None,
        )

    @property
    def to_internet(self) -> bool:
        """Whether packets that it takes go to the internet gateway, and so may be translated."""
        return self.via is None and self.instance is None and self.tunnel is None


@dataclass(frozen=True, slots=True)
class NatRange:
    """What a gateway in LIST mode serves of one subnetwork."""

    subnetwork: ResourceName
    primary: bool
    all_secondary: bool
    secondary: tuple[str, ...] = ()

    def covers(self, subnetwork: Subnetwork) -> tuple[IPv4Network, ...]:
        """List the ranges of ``subnetwork`` (the one it names) that it serves."""
        primary = (subnetwork.range,) if self.primary else ()
        named = tuple(
            each.range for each in subnetwork.secondary if self.all_secondary or each.name in self.secondary
        )
        return primary + named


Coverage = Literal[
    "ALL_SUBNETWORKS_ALL_IP_RANGES", "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES", "LIST_OF_SUBNETWORKS"
]


@dataclass(frozen=True, slots=True)
class NatGateway:
    """A Cloud NAT gateway: an entry of a router's ``nats``.

    ``addresses`` are the address resources that new flows may use, in the user's order, whether reserved or
    made by the gateway itself (``auto``); ``draining`` ones keep only the flows they have. ``ports`` is what
    each client gets: already a power of two (behaviour/cloud-nat.md#gateways). A ``dynamic`` one gives a
    client more when it needs them, up to ``most_ports``: ``grown`` says who has how many.
    """

    name: str
    router: ResourceName
    network: ResourceName
    region: str
    auto: bool
    addresses: tuple[ResourceName, ...]
    draining: tuple[ResourceName, ...]
    coverage: Coverage
    subnetworks: tuple[NatRange, ...]
    ports: int
    timeouts: NatTimeouts
    logs: Literal["ERRORS_ONLY", "TRANSLATIONS_ONLY", "ALL"] | None = None
    rules: tuple[NatRule, ...] = ()
    endpoint_independent: bool = False
    dynamic: bool = False
    most_ports: int = MOST_DYNAMIC_PORTS
    grown: tuple[tuple[IPv4Address, int], ...] = ()

    @property
    def id(self) -> str:
        """A name that no other gateway has: the router's path and the gateway's name."""
        return f"{self.router.path}/nats/{self.name}"

    @property
    def outsides(self) -> tuple[ResourceName, ...]:
        """Every address resource that its flows may carry."""
        ruled = (name for rule in self.rules for name in rule.outsides)
        return (*self.addresses, *self.draining, *ruled)

    @property
    def all_draining(self) -> tuple[ResourceName, ...]:
        """The address resources that take no new flows, of its rules too."""
        return (*self.draining, *(name for rule in self.rules for name in rule.draining))

    def covers(self, subnetwork: Subnetwork) -> tuple[IPv4Network, ...]:
        """List the ranges of ``subnetwork`` whose packets it translates; none in another place.

        Nor of a producer's network behind a peering: that is not the gateway's.
        """
        if (subnetwork.network, subnetwork.region) != (self.network, self.region):
            return ()
        if subnetwork.purpose == PEERED:
            return ()
        match self.coverage:
            case "ALL_SUBNETWORKS_ALL_IP_RANGES":
                return subnetwork.ranges
            case "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES":
                return (subnetwork.range,)
            case "LIST_OF_SUBNETWORKS":
                named = (each for each in self.subnetworks if each.subnetwork == subnetwork.name)
                return tuple(part for each in named for part in each.covers(subnetwork))


@dataclass(frozen=True, slots=True)
class Router:
    """A Cloud Router, which here is what its NAT gateways hang from."""

    name: ResourceName
    network: ResourceName
    region: str
    nats: tuple[NatGateway, ...]

    @classmethod
    def of(cls, resource: Resource) -> "Router":
        """Read a ``compute.routers`` resource."""
        return cls(
            resource.name,
            refer(resource.body["network"], "networks"),
            resource.name.region or "",
            tuple(_gateway(resource, nat) for nat in resource.body.get("nats", ())),
        )


def _gateway(resource: Resource, nat: Json) -> NatGateway:
    auto = nat.get("natIpAllocateOption") == "AUTO_ONLY"
    made: Iterable[str] = resource.private.get(AUTO_NAT_ADDRESSES, {}).get(nat["name"], ())
    own = tuple(ResourceName("compute.addresses", path) for path in made)
    log = nat.get("logConfig", {})
    dynamic: bool = nat.get("enableDynamicPortAllocation", False)
    grown: Mapping[str, int] = resource.private.get(GROWN_NAT_PORTS, {}).get(nat["name"], {})
    return NatGateway(
        name=nat["name"],
        router=resource.name,
        network=refer(resource.body["network"], "networks"),
        region=resource.name.region or "",
        auto=auto,
        addresses=own if auto else _addresses(nat.get("natIps", ())),
        draining=_addresses(nat.get("drainNatIps", ())),
        coverage=nat["sourceSubnetworkIpRangesToNat"],
        subnetworks=tuple(map(_nat_range, nat.get("subnetworks", ()))),
        ports=power_of_two(nat.get("minPortsPerVm") or (FEWEST_DYNAMIC_PORTS if dynamic else 64)),
        timeouts=_timeouts(nat),
        logs=log.get("filter", "ALL") if log.get("enable") else None,
        rules=tuple(map(_nat_rule, nat.get("rules", ()))),
        endpoint_independent=nat.get("enableEndpointIndependentMapping", False),
        dynamic=dynamic,
        most_ports=nat.get("maxPortsPerVm") or MOST_DYNAMIC_PORTS,
        grown=tuple((read_address(client), ports) for client, ports in grown.items()) if dynamic else (),
    )


def _nat_rule(rule: Json) -> NatRule:
    action = rule.get("action", {})
    return NatRule(
        rule["ruleNumber"],
        parse_match(rule["match"]),
        _addresses(action.get("sourceNatActiveIps", ())),
        _addresses(action.get("sourceNatDrainIps", ())),
    )


def _addresses(references: Iterable[str]) -> tuple[ResourceName, ...]:
    return tuple(refer(each, "addresses", "regions") for each in references)


def _nat_range(entry: Json) -> NatRange:
    wanted = entry.get("sourceIpRangesToNat") or ["ALL_IP_RANGES"]
    everything = "ALL_IP_RANGES" in wanted
    return NatRange(
        refer(entry["name"], "subnetworks", "regions"),
        everything or "PRIMARY_IP_RANGE" in wanted,
        everything,
        tuple(entry.get("secondaryIpRangeNames", ())),
    )


def _timeouts(nat: Json) -> NatTimeouts:
    known: dict[str, Any] = {
        "udp": nat.get("udpIdleTimeoutSec"),
        "icmp": nat.get("icmpIdleTimeoutSec"),
        "tcp_established": nat.get("tcpEstablishedIdleTimeoutSec"),
        "tcp_transitory": nat.get("tcpTransitoryIdleTimeoutSec"),
        "tcp_time_wait": nat.get("tcpTimeWaitTimeoutSec"),
    }
    return NatTimeouts(**{field: seconds for field, seconds in known.items() if seconds is not None})


def power_of_two(ports: int) -> int:
    """Round ``ports`` up to a power of two: what a client really gets (behaviour/cloud-nat.md#gateways)."""
    return 1 << max(ports - 1, 0).bit_length()
