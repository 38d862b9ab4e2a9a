"""Node views: the elements of one namespace, indexed for the questions that a packet asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from fogbank.lowering.netns_names import LOOPBACK
from fogbank.network import topology
from fogbank.network.routing import RoutingTable
from fogbank.network.topology import (
    Address,
    AddressSetMember,
    DeviceName,
    Element,
    FirewallPolicy,
    FlowLog,
    Link,
    Listener,
    NetnsName,
    NetworkNamespace,
    PeerNetwork,
    Port,
    PortSecurity,
    Route,
    RouteSelection,
    Shaper,
    SourceNat,
    StatefulFirewall,
    Topology,
    Tunnel,
    UnservedClient,
    Volume,
    Workload,
)


@dataclass
class NodeView:
    """What stands in ``netns``."""

    netns: NetnsName
    forwards: bool = False
    routes: list[Route] = field(default_factory=list)
    selections: dict[DeviceName, int] = field(default_factory=dict)
    addresses: dict[IPv4Address, DeviceName] = field(default_factory=dict)
    local: list[IPv4Network] = field(default_factory=list)
    neighbours: dict[DeviceName, Port] = field(default_factory=dict)
    filter: StatefulFirewall | None = None
    port_security: dict[DeviceName, PortSecurity] = field(default_factory=dict)
    peers: list[PeerNetwork] = field(default_factory=list)
    tunnels: list[Tunnel] = field(default_factory=list)
    policies: dict[str, FirewallPolicy] = field(default_factory=dict)
    members: dict[str, set[IPv4Address]] = field(default_factory=dict)
    translations: list[SourceNat] = field(default_factory=list)
    unserved: list[UnservedClient] = field(default_factory=list)
    shapers: dict[DeviceName, Shaper] = field(default_factory=dict)
    listeners: dict[tuple[IPv4Address, int, str], Listener] = field(default_factory=dict)
    workloads: dict[int, Workload] = field(default_factory=dict)

    def has(self, address: IPv4Address) -> bool:
        """Return whether packets for ``address`` are its own: all of a prefix on the loopback are."""
        return address in self.addresses or any(address in each for each in self.local)

    def route(self, by: DeviceName | None, destination: IPv4Address) -> Route | None:
        """Find the route of a packet that came in by a device, None for one of its own sockets."""
        chosen = self.selections.get(by) if by is not None else None
        if chosen is not None:
            found = self._tables[chosen].lookup(destination)
            if found is not None and not found.falls_through:
                return found
        return self.table.lookup(destination)

    @cached_property
    def _tables(self) -> Mapping[int, RoutingTable]:
        numbers = {route.table for route in self.routes if route.table} | {*self.selections.values()}
        return {n: RoutingTable.of(each for each in self.routes if each.table == n) for n in numbers}

    @cached_property
    def table(self) -> RoutingTable:
        """The routes, ready to be asked."""
        return RoutingTable.of(each for each in self.routes if not each.table)

    def source_for(self, route: Route) -> IPv4Address | None:
        """Choose the address of a local socket whose packets ``route`` takes, as the kernel does."""
        if route.source is not None:
            return route.source
        devices = [hop.device for hop in route.hops]
        on_device = [a for a, device in self.addresses.items() if device in devices]
        return next(iter(on_device), next(iter(self.addresses), None))

    def arrival(self, device: DeviceName, destination: IPv4Address) -> SourceNat | None:
        """Find what translates ``destination`` when it comes in by ``device``."""
        found = (each for each in self.translations if each.both_ways and each.device == device)
        return next((each for each in found if each.outside == destination), None)

    def tunnels_from(self, device: DeviceName | None) -> tuple[Tunnel, ...]:
        """List the tunnels that what comes in by ``device`` may go into."""
        return tuple(each for each in self.tunnels if each.inner == device)

    def is_peer(self, device: DeviceName | None, address: IPv4Address) -> bool:
        """Return whether a peered network behind ``device`` has ``address``."""
        return any(
            each.device == device and any(address in part for part in each.ranges) for each in self.peers
        )

    def translation(self, device: DeviceName, source: IPv4Address) -> SourceNat | None:
        """Find what translates ``source`` when it leaves by ``device``."""
        found = (each for each in self.translations if each.device == device and source in each.inside)
        return max(found, key=lambda each: each.inside.prefixlen, default=None)


def node_views(whole: Topology) -> Mapping[NetnsName, NodeView]:
    """Index every namespace of a topology."""
    found = {netns.name: NodeView(netns.name, netns.forwards) for netns in whole.of_kind(NetworkNamespace)}
    for element in whole:
        _place(found, element)
    return found


def _place(found: dict[NetnsName, NodeView], element: Element) -> None:
    match element:
        case NetworkNamespace():
            pass
        case Link(left=left, right=right):
            found[left.netns].neighbours[left.device] = right
            found[right.netns].neighbours[right.device] = left
        case Address(port=port, interface=interface):
            found[port.netns].addresses[interface.ip] = port.device
            if port.device == LOOPBACK and interface.network.prefixlen < interface.max_prefixlen:
                found[port.netns].local.append(interface.network)
        case Shaper(port=port):
            found[port.netns].shapers[port.device] = element
        case Route(netns=netns):
            found[netns].routes.append(element)
        case topology.RoutingTable():
            pass
        case RouteSelection(netns=netns, device=device, table=table):
            found[netns].selections[device] = table
        case SourceNat(netns=netns):
            found[netns].translations.append(element)
        case UnservedClient(netns=netns):
            found[netns].unserved.append(element)
        case StatefulFirewall(netns=netns):
            found[netns].filter = element
        case FirewallPolicy(netns=netns, name=name):
            found[netns].policies[name] = element
        case AddressSetMember(netns=netns, address_set=address_set, address=address):
            found[netns].members.setdefault(address_set, set()).add(address)
        case PortSecurity(netns=netns, device=device):
            found[netns].port_security[device] = element
        case PeerNetwork(netns=netns):
            found[netns].peers.append(element)
        case Tunnel(netns=netns):
            found[netns].tunnels.append(element)
        case Listener(netns=netns):
            found[netns].listeners[element.address, element.port, element.protocol] = element
        case Workload(netns=netns):
            found[netns].workloads[element.port] = element
        case Volume() | FlowLog():
            pass
