"""What is true of each kind of element: one table, from which everything generic about elements follows.

The invariants, the plan's order, what a plan rebuilds when a device goes, and what the simulated driver
refuses are derived from it. How a kind is told to the kernel is in the data plane's tables, how it reads in
`planning/words.py`. A new kind is a class in `elements.py`, a member of its union ``Element`` and a row here;
``tests/architecture/test_kinds.py`` and the type checker name everything else that it needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from fogbank.network.basics import (
    DeviceName,
    IpAddress,
    NetnsName,
    Port,
)
from fogbank.network.elements import (
    Address,
    AddressSetMember,
    Element,
    FirewallPolicy,
    FlowLog,
    Key,
    Link,
    Listener,
    NetworkNamespace,
    PeerNetwork,
    PortSecurity,
    Route,
    RouteSelection,
    RoutingTable,
    Shaper,
    StatefulFirewall,
    Tunnel,
    Volume,
    Workload,
)
from fogbank.network.translation import (
    SourceNat,
    UnservedClient,
)

E = TypeVar("E")


def _none(_: object) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True)
class Kind(Generic[E]):
    """One kind of element; ``name`` is the first word of its key.

    ``namespaces``: where it lives; it goes with any of them.
    ``makes``: the devices that exist because of it.
    ``configured_on``: devices that take it along when they go.
    ``matches``: devices that it only names (a rule outlives its device, and means the next one of that name).
    ``refers_to``: keys of elements that must exist.
    ``local``: addresses that its namespace must have.
    """

    element: type[E]
    name: str
    namespaces: Callable[[E], tuple[NetnsName, ...]]
    makes: Callable[[E], tuple[Port, ...]] = _none
    configured_on: Callable[[E], tuple[Port, ...]] = _none
    matches: Callable[[E], tuple[Port, ...]] = _none
    refers_to: Callable[[E], tuple[Key, ...]] = _none
    local: Callable[[E], tuple[IpAddress, ...]] = _none


class _InNetns(Protocol):
    @property
    def netns(self) -> NetnsName: ...


class _OnPort(Protocol):
    @property
    def port(self) -> Port: ...


class _OnDevice(_InNetns, Protocol):
    @property
    def device(self) -> DeviceName: ...


def _netns(element: _InNetns) -> tuple[NetnsName, ...]:
    return (element.netns,)


def _netns_of_port(element: _OnPort) -> tuple[NetnsName, ...]:
    return (element.port.netns,)


def _port(element: _OnPort) -> tuple[Port, ...]:
    return (element.port,)


def _device(element: _OnDevice) -> tuple[Port, ...]:
    return (Port(element.netns, element.device),)


def _ends(link: Link) -> tuple[Port, ...]:
    return (link.left, link.right)


def _hops(route: Route) -> tuple[Port, ...]:
    return tuple(Port(route.netns, hop.device) for hop in route.hops)


def _uplink(firewall: StatefulFirewall) -> tuple[Port, ...]:
    return (Port(firewall.netns, firewall.uplink),) if firewall.uplink else ()


def _firewall_and_policies(element: PortSecurity) -> tuple[Key, ...]:
    policies = (FirewallPolicy.key_of(element.netns, name) for name in (element.ingress, element.egress))
    return (StatefulFirewall(element.netns).key, *policies)


def _table_device(table: RoutingTable) -> tuple[Port, ...]:
    return (Port(table.netns, table.device),) if table.device else ()


def _table_of_route(route: Route) -> tuple[Key, ...]:
    return (RoutingTable.key_of(route.netns, route.table),) if route.table else ()


def _firewall_and_table(element: RouteSelection) -> tuple[Key, ...]:
    return (StatefulFirewall(element.netns).key, RoutingTable.key_of(element.netns, element.table))


def _inner(tunnel: Tunnel) -> tuple[Port, ...]:
    return (Port(tunnel.netns, tunnel.inner),)


def _firewall(element: _InNetns) -> tuple[Key, ...]:
    return (StatefulFirewall(element.netns).key,)


def _volumes(workload: Workload) -> tuple[Key, ...]:
    return tuple(Volume.key_of(each.volume) for each in workload.mounts)


def _ports(kind: Kind[Any]) -> Callable[[Any], tuple[Port, ...]]:
    """Join what a kind makes and what it is configured on; plans ask for every element."""
    if kind.makes is _none:
        return kind.configured_on
    if kind.configured_on is _none:
        return kind.makes
    return lambda element: (*kind.makes(element), *kind.configured_on(element))


# Without a type of its own, so that every function is checked against the class of its row.
_TABLE = (
    Kind(NetworkNamespace, "netns", lambda netns: (netns.name,)),
    Kind(Link, "link", lambda link: (link.left.netns, link.right.netns), makes=_ends),
    Kind(Address, "address", _netns_of_port, configured_on=_port),
    Kind(RoutingTable, "routing-table", _netns, matches=_table_device),
    Kind(
        Route,
        "route",
        _netns,
        refers_to=_table_of_route,
        configured_on=_hops,
        local=lambda route: (route.source,) if route.source is not None else (),
    ),
    Kind(Shaper, "shaper", _netns_of_port, configured_on=_port),
    Kind(StatefulFirewall, "stateful-firewall", _netns, matches=_uplink),
    Kind(FlowLog, "flow-log", _netns, refers_to=_firewall),
    Kind(AddressSetMember, "address-set-member", _netns),
    Kind(FirewallPolicy, "firewall-policy", _netns),
    Kind(PortSecurity, "port-security", _netns, matches=_device, refers_to=_firewall_and_policies),
    Kind(RouteSelection, "route-selection", _netns, matches=_device, refers_to=_firewall_and_table),
    Kind(PeerNetwork, "peer-network", _netns, matches=_device, refers_to=_firewall),
    Kind(Tunnel, "tunnel", _netns, matches=_inner, local=lambda tunnel: (tunnel.local,)),
    Kind(SourceNat, "source-nat", _netns, matches=_device),
    Kind(UnservedClient, "unserved-client", _netns, matches=_device),
    Kind(Listener, "listener", _netns, local=lambda listener: (listener.address,)),
    Kind(Volume, "volume", _netns),
    Kind(Workload, "workload", _netns, refers_to=_volumes),
)

KINDS: tuple[Kind[Any], ...] = _TABLE
"""Every kind, in the order of building: each stands only on kinds before it, and what is taken down goes in
the opposite order.
"""

BUILD_ORDER: tuple[type, ...] = tuple(kind.element for kind in KINDS)

_KIND_OF: Mapping[type, Kind[Any]] = {kind.element: kind for kind in KINDS}
_NAMESPACES = {kind.element: kind.namespaces for kind in KINDS}
_PORTS = {kind.element: _ports(kind) for kind in KINDS}

MAKERS = frozenset(kind.element for kind in KINDS if kind.makes is not _none)
"""The kinds that make devices."""


def kind_of(element: Element) -> Kind[Any]:
    """Return the row of an element's kind."""
    return _KIND_OF[type(element)]


def namespaces_of(element: Element) -> tuple[NetnsName, ...]:
    """Name the namespaces that ``element`` lives in: two for a link, else one."""
    return _NAMESPACES[type(element)](element)


def made_by(element: Element) -> tuple[Port, ...]:
    """Name the devices that exist because of ``element``: a link's two ends."""
    return _KIND_OF[type(element)].makes(element)


def ports_of(element: Element) -> tuple[Port, ...]:
    """Name the devices that ``element`` is lost with: those it makes, is configured on, or leads over."""
    return _PORTS[type(element)](element)
