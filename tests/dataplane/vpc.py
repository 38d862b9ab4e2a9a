"""A small VPC for packet tests: two machines behind a filtering router, and two third parties outside."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    FirewallPolicy,
    Hop,
    Link,
    NetnsName,
    NetworkNamespace,
    Port,
    PortRange,
    PortSecurity,
    Route,
    Rule,
    SourceNat,
    StatefulFirewall,
    Traffic,
)

ROUTER, INTERNET = NetnsName("vpc/demo/default"), NetnsName("internet")
ALICE, BOB = NetnsName("machine/alice"), NetnsName("machine/bob")
ALICE_IP, BOB_IP = IPv4Address("10.8.0.2"), IPv4Address("10.8.0.3")
SITE = NetnsName("site/ifconfig.me")
SITE_IP, OTHER_SITE_IP = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
NAT_IP, OTHER_NAT_IP = IPv4Address("203.0.113.7"), IPv4Address("203.0.113.8")
ANY = IPv4Network("0.0.0.0/0")
LO, EXT, ETH0 = DeviceName("lo"), DeviceName("ext"), DeviceName("eth0")
GATEWAY, INTERNET_GATEWAY = IPv4Address("10.8.0.1"), IPv4Address("169.254.1.1")
EVERYTHING = (Traffic(),)

BLOCK = PortRange(1024, 1087)
OPEN = FirewallPolicy(ROUTER, "open", (), "allow")
CLOSED = FirewallPolicy(ROUTER, "closed", (), "deny")


def host(address: IPv4Address) -> IPv4Network:
    return IPv4Network(address)


def machine(netns: NetnsName, address: IPv4Address) -> list[Element]:
    device = DeviceName(str(address))
    return [
        NetworkNamespace(netns),
        Link(Port(ROUTER, device), Port(netns, ETH0)),
        Address(Port(netns, ETH0), IPv4Interface(address)),
        Route(netns, ANY, (Hop(ETH0, GATEWAY),), address),
        Route(ROUTER, host(address), (Hop(device),)),
    ]


def port_security(address: IPv4Address, ingress: str = "open", egress: str = "open") -> PortSecurity:
    return PortSecurity(ROUTER, DeviceName(str(address)), address, ingress, egress)


def vpc() -> list[Element]:
    """The router with both machines, unguarded, and the internet with two addresses of a third party."""
    to_site, to_vpc = DeviceName("site"), DeviceName("vpc")
    return [
        NetworkNamespace(ROUTER, forwards=True),
        NetworkNamespace(INTERNET, forwards=True),
        NetworkNamespace(SITE),
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
        StatefulFirewall(ROUTER, EXT),
        OPEN,
        CLOSED,
    ]


GUARDED = (*vpc(), port_security(ALICE_IP), port_security(BOB_IP))
"""The same with port security on both machines, as every lowered network has it."""


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
