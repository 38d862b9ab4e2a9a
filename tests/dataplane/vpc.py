"""A small VPC for packet tests: two machines behind a filtering router, and two third parties outside."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    Filter,
    Guard,
    Hop,
    Link,
    Policy,
    Port,
    PortRange,
    Route,
    Rule,
    SourceNat,
    Space,
    SpaceName,
    Traffic,
)

ROUTER, INTERNET = SpaceName("vpc/demo/default"), SpaceName("internet")
ALICE, BOB = SpaceName("machine/alice"), SpaceName("machine/bob")
ALICE_IP, BOB_IP = IPv4Address("10.8.0.2"), IPv4Address("10.8.0.3")
SITE = SpaceName("site/ifconfig.me")
SITE_IP, OTHER_SITE_IP = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
NAT_IP, OTHER_NAT_IP = IPv4Address("203.0.113.7"), IPv4Address("203.0.113.8")
ANY = IPv4Network("0.0.0.0/0")
LO, EXT, ETH0 = DeviceName("lo"), DeviceName("ext"), DeviceName("eth0")
GATEWAY, INTERNET_GATEWAY = IPv4Address("10.8.0.1"), IPv4Address("169.254.1.1")
EVERYTHING = (Traffic(),)

BLOCK = PortRange(1024, 1087)
OPEN = Policy(ROUTER, "open", (), "allow")
CLOSED = Policy(ROUTER, "closed", (), "deny")


def host(address: IPv4Address) -> IPv4Network:
    return IPv4Network(address)


def machine(space: SpaceName, address: IPv4Address) -> list[Element]:
    device = DeviceName(str(address))
    return [
        Space(space),
        Link(Port(ROUTER, device), Port(space, ETH0)),
        Address(Port(space, ETH0), IPv4Interface(address)),
        Route(space, ANY, (Hop(ETH0, GATEWAY),), address),
        Route(ROUTER, host(address), (Hop(device),)),
    ]


def guard(address: IPv4Address, ingress: str = "open", egress: str = "open") -> Guard:
    return Guard(ROUTER, DeviceName(str(address)), address, ingress, egress)


def vpc() -> list[Element]:
    """The router with both machines, unguarded, and the internet with two addresses of a third party."""
    to_site, to_vpc = DeviceName("site"), DeviceName("vpc")
    return [
        Space(ROUTER, forwards=True),
        Space(INTERNET, forwards=True),
        Space(SITE),
        Link(Port(INTERNET, to_vpc), Port(ROUTER, EXT)),
        Link(Port(INTERNET, to_site), Port(SITE, ETH0)),
        Address(Port(ROUTER, LO), IPv4Interface(GATEWAY)),
        Address(Port(INTERNET, LO), IPv4Interface(INTERNET_GATEWAY)),
        Address(Port(SITE, ETH0), IPv4Interface(SITE_IP)),
        Address(Port(SITE, ETH0), IPv4Interface(OTHER_SITE_IP)),
        Route(ROUTER, ANY, (Hop(EXT, INTERNET_GATEWAY),)),
        Route(INTERNET, ANY, ()),
        Route(INTERNET, host(SITE_IP), (Hop(to_site),)),
        Route(INTERNET, host(OTHER_SITE_IP), (Hop(to_site),)),
        Route(INTERNET, IPv4Network("203.0.113.0/24"), (Hop(to_vpc, GATEWAY),)),
        Route(SITE, ANY, (Hop(ETH0, INTERNET_GATEWAY),), SITE_IP),
        *machine(ALICE, ALICE_IP),
        *machine(BOB, BOB_IP),
        Filter(ROUTER, EXT),
        OPEN,
        CLOSED,
    ]


def nat(
    inside: IPv4Address = ALICE_IP,
    outside: IPv4Address = NAT_IP,
    ports: PortRange | None = BLOCK,
    **options: object,
) -> SourceNat:
    return SourceNat(ROUTER, EXT, host(inside), outside, ports, **options)  # type: ignore[arg-type]


def allow(*ports: int, protocol: int = 6, label: str = "", **options: object) -> Rule:
    traffic = (Traffic(protocol, tuple(PortRange(port, port) for port in ports)),)
    return Rule("allow", traffic, label=label, **options)  # type: ignore[arg-type]


def deny(*ports: int, protocol: int = 6, label: str = "", **options: object) -> Rule:
    traffic = (Traffic(protocol, tuple(PortRange(port, port) for port in ports)),)
    return Rule("deny", traffic, label=label, **options)  # type: ignore[arg-type]
