"""One element of every kind, together a small network that can be built.

Tests that hold for every kind run over these, so a new kind needs an element here.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.network.topology import (
    Address,
    AddressSetMember,
    DeviceName,
    Element,
    FirewallPolicy,
    FlowLog,
    Hop,
    Link,
    Listener,
    Mount,
    NatTimeouts,
    NetnsName,
    NetworkNamespace,
    PeerNetwork,
    Port,
    PortRange,
    PortSecurity,
    Route,
    RouteSelection,
    RoutingTable,
    Rule,
    Shaper,
    SourceNat,
    StatefulFirewall,
    Traffic,
    Tunnel,
    UnservedClient,
    Volume,
    Workload,
)

ROUTER, CLIENT = NetnsName("vpc/demo/default"), NetnsName("instance/a")
NEAR, FAR = Port(ROUTER, DeviceName("10.8.0.2")), Port(CLIENT, DeviceName("eth0"))
CLIENT_IP, OUTSIDE = IPv4Address("10.8.0.2"), IPv4Address("203.0.113.2")
WEB = Rule("allow", (Traffic(6, (PortRange(80, 80),)),), address_sets=("web",))

ELEMENTS: tuple[Element, ...] = (
    NetworkNamespace(ROUTER, forwards=True),
    NetworkNamespace(CLIENT),
    Link(NEAR, FAR),
    Address(FAR, IPv4Interface(CLIENT_IP)),
    Route(ROUTER, IPv4Network(CLIENT_IP), (Hop(NEAR.device),)),
    RoutingTable(ROUTER, 1000),
    RoutingTable(ROUTER, 1001, NEAR.device),
    Route(ROUTER, IPv4Network("10.8.0.0/24"), (), table=1000, falls_through=True),
    Shaper(NEAR, 1_000_000_000),
    StatefulFirewall(ROUTER),
    FlowLog(ROUTER, "projects/demo/regions/asia-northeast3/subnetworks/a", (IPv4Network("10.8.0.0/24"),)),
    AddressSetMember(ROUTER, "web", CLIENT_IP),
    FirewallPolicy(ROUTER, "open", (WEB,), "allow"),
    PortSecurity(ROUTER, NEAR.device, CLIENT_IP, "open", "open"),
    RouteSelection(ROUTER, NEAR.device, 1000),
    PeerNetwork(ROUTER, NEAR.device, (IPv4Network("10.7.0.0/24"),)),
    Tunnel(
        CLIENT, FAR.device, CLIENT_IP, OUTSIDE, (IPv4Network("10.8.0.0/24"),), (IPv4Network("10.6.0.0/24"),)
    ),
    SourceNat(ROUTER, NEAR.device, IPv4Network("10.9.0.1"), OUTSIDE, PortRange(1024, 1087), NatTimeouts()),
    UnservedClient(ROUTER, NEAR.device, IPv4Network("10.9.0.2")),
    Listener(CLIENT, CLIENT_IP, 80, "tcp", "site"),
    Volume("a.data", CLIENT, 1024 * 1024),
    Workload("a", CLIENT, "sha256:0", 8080, mounts=(Mount("a.data", "/data"),)),
)
