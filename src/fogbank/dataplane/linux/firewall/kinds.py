"""How each kind of rule is told to the kernel, and what follows once it stands or is gone.

One class for each kind, and one table of them. A builder belongs to one namespace's table and returns groups
of nft commands; :mod:`rulesets` gathers them into transactions.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Generic, TypeVar

from fogbank.dataplane.linux.firewall import nftables, policy_chains
from fogbank.dataplane.linux.firewall.conntrack import ConntrackEntry
from fogbank.dataplane.linux.firewall.table_state import Group, TableState
from fogbank.dataplane.linux.firewall.timewait import TimeWaitKeeper
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces, write_settings
from fogbank.network.topology import (
    AddressSetMember,
    DeviceName,
    FirewallPolicy,
    NatTimeouts,
    PeerNetwork,
    PortSecurity,
    RouteSelection,
    SourceNat,
    StatefulFirewall,
)

E = TypeVar("E")

# There are no such settings before the first rule that tracks connections, where tracking is a module.
_TRACKING = {
    # A flow that was never seen to open is not taken over halfway (behaviour/cloud-nat.md#timeouts).
    "netfilter/nf_conntrack_tcp_loose": "0",
    "netfilter/nf_conntrack_tcp_be_liberal": "1",
    "netfilter/nf_conntrack_icmp_timeout": "30",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the builders of one namespace share."""

    table: TableState
    namespaces: NetworkNamespaces
    keeper: TimeWaitKeeper

    def track(self) -> None:
        """Set how connections are tracked, once there is such a setting."""
        if not self.table.tracks:
            with self.namespaces.inside(self.table.netns):
                write_settings(_TRACKING)
            self.table.tracks = True

    def time(self, timeouts: NatTimeouts) -> None:
        """Do what rules cannot: hold TIME_WAIT, and ICMP's timeout, which is one for the whole namespace."""
        self.keeper.watch(self.table.netns)
        with self.namespaces.inside(self.table.netns):
            write_settings({"netfilter/nf_conntrack_icmp_timeout": str(timeouts.icmp)})


@dataclass(frozen=True, slots=True)
class EndedFlows:
    """The flows from ``inside`` that one of ``outsides`` translates; their ports were held on a device."""

    inside: IPv4Network
    outsides: frozenset[IPv4Address]
    held_on: DeviceName | None

    def include(self, entry: ConntrackEntry) -> bool:
        """Return whether ``entry`` is one of them, in whichever direction it was opened."""
        if entry.reply.destination in self.outsides and entry.original.source in self.inside:
            return True
        return entry.original.destination in self.outsides and entry.reply.source in self.inside


class RuleKind(ABC, Generic[E]):
    """How one kind is built, as groups of commands, and what else is to be done about it."""

    def __init__(self, rules: Rules) -> None:
        self._rules, self._table = rules, rules.table

    @abstractmethod
    def create(self, element: E) -> list[Group]:
        """Build ``element``."""

    @abstractmethod
    def replace(self, old: E, new: E) -> list[Group]:
        """Turn ``old`` into ``new``."""

    @abstractmethod
    def remove(self, element: E) -> list[Group]:
        """Take ``element`` away."""

    def stands(self, element: E) -> None:
        """Do what rules cannot, now that ``element`` is built."""

    def gone(self, element: E) -> None:
        """Do what is left to do after ``element`` was removed."""

    def failed(self, element: E) -> None:
        """Forget what may be half built."""

    def ended_flows(self, old: E, new: E | None) -> EndedFlows | None:
        """Return which flows end when ``old`` becomes ``new`` (None: goes)."""
        del old, new
        return None


class StatefulFirewalls(RuleKind[StatefulFirewall]):
    """The chains that forward only what port security allows."""

    def create(self, element: StatefulFirewall) -> list[Group]:
        return [nftables.render_filter(element)]

    def replace(self, old: StatefulFirewall, new: StatefulFirewall) -> list[Group]:
        del old
        return self.create(new)

    def remove(self, element: StatefulFirewall) -> list[Group]:
        del element
        return [nftables.render_no_filter()]

    def stands(self, element: StatefulFirewall) -> None:
        del element
        self._rules.track()


class AddressSetMembers(RuleKind[AddressSetMember]):
    """Elements of named address sets."""

    def create(self, element: AddressSetMember) -> list[Group]:
        return [nftables.render_address_set_member(element)]

    def replace(self, old: AddressSetMember, new: AddressSetMember) -> list[Group]:
        return [*self.remove(old), *self.create(new)]

    def remove(self, element: AddressSetMember) -> list[Group]:
        return [nftables.render_no_address_set_member(element)]


class FirewallPolicies(RuleKind[FirewallPolicy]):
    """Policies: a new body is built beside the old one, then exchanged."""

    def create(self, element: FirewallPolicy) -> list[Group]:
        table = self._table
        table.versions += 1
        body = policy_chains.render_body(element, table.versions)
        table.reasons.update({nftables.drop_counter(r): r for r in policy_chains.reasons(element)})
        previous = table.bodies.get(element.name) or table.abandoned.pop(element.name, None)
        table.bodies[element.name] = body
        return [
            *([command] for command in body.commands),
            policy_chains.render_swing(element, body),
            *([command] for command in (policy_chains.render_no_body(previous) if previous else ())),
        ]

    def replace(self, old: FirewallPolicy, new: FirewallPolicy) -> list[Group]:
        del old
        return self.create(new)

    def remove(self, element: FirewallPolicy) -> list[Group]:
        """Do nothing yet: port security that the plan replaces later may still name the policy."""
        del element
        return []

    def gone(self, element: FirewallPolicy) -> None:
        if element.name in self._table.bodies:
            self._table.abandoned[element.name] = self._table.bodies.pop(element.name)

    def failed(self, element: FirewallPolicy) -> None:
        """Forget the body: the next try makes another one beside it."""
        self._table.bodies.pop(element.name, None)


class PortSecurities(RuleKind[PortSecurity]):
    """Endpoints: their device, address and policies."""

    def create(self, element: PortSecurity) -> list[Group]:
        return [nftables.render_port_security(element)]

    def replace(self, old: PortSecurity, new: PortSecurity) -> list[Group]:
        return [nftables.render_no_port_security(old) + nftables.render_port_security(new)]

    def remove(self, element: PortSecurity) -> list[Group]:
        return [nftables.render_no_port_security(element)]


class RouteSelections(RuleKind[RouteSelection]):
    """Devices whose packets are marked for a routing table."""

    def create(self, element: RouteSelection) -> list[Group]:
        return [nftables.render_route_selection(element)]

    def replace(self, old: RouteSelection, new: RouteSelection) -> list[Group]:
        return [nftables.render_no_route_selection(old) + nftables.render_route_selection(new)]

    def remove(self, element: RouteSelection) -> list[Group]:
        return [nftables.render_no_route_selection(element)]


class PeerNetworks(RuleKind[PeerNetwork]):
    """Ranges of peered networks, by the device that leads there."""

    def create(self, element: PeerNetwork) -> list[Group]:
        return [commands] if (commands := nftables.render_peer(element)) else []

    def replace(self, old: PeerNetwork, new: PeerNetwork) -> list[Group]:
        swap = nftables.render_no_peer(old) + nftables.render_peer(new)
        return [swap] if swap else []

    def remove(self, element: PeerNetwork) -> list[Group]:
        return [commands] if (commands := nftables.render_no_peer(element)) else []


class SourceNats(RuleKind[SourceNat]):
    """Translations, and what must be prepared for the first one of a device."""

    def create(self, element: SourceNat) -> list[Group]:
        return [*self._prepare(element), nftables.render_source_nat(element)]

    def replace(self, old: SourceNat, new: SourceNat) -> list[Group]:
        swap = nftables.render_no_source_nat(old) + nftables.render_source_nat(new)
        return [*self._prepare(new), swap]

    def remove(self, element: SourceNat) -> list[Group]:
        return [nftables.render_no_source_nat(element)]

    def stands(self, element: SourceNat) -> None:
        self._rules.track()
        if element.timeouts is not None:
            self._rules.time(element.timeouts)

    def ended_flows(self, old: SourceNat, new: SourceNat | None) -> EndedFlows | None:
        """Return those of the addresses that go; more ports on the same address end none."""
        ended = {old.outside, *old.draining}
        if new is not None:
            fits = old.outside != new.outside or new.ports is None or _covers(new, old)
            ended -= {*new.draining, new.outside} if fits else {*new.draining}
        held_on = old.device if old.ports is not None else None
        return EndedFlows(old.inside, frozenset(ended), held_on) if ended else None

    def _prepare(self, element: SourceNat) -> list[Group]:
        table = self._table
        groups: list[Group] = []
        if element.device not in table.devices:
            table.devices.add(element.device)
            groups.append(nftables.render_nat_device(element.device))
        if element.both_ways and element.device not in table.arrivals:
            table.arrivals.add(element.device)
            groups.append(nftables.render_nat_arrivals(element.device))
        sliced = element.ports is not None or element.timeouts is not None
        if sliced and element.device not in table.slices:
            table.slices.add(element.device)
            groups.append(nftables.render_nat_slices(element.device))
        if element.timeouts is not None and element.timeouts not in table.timers:
            table.timers.add(element.timeouts)
            groups.append(nftables.render_timers(element.timeouts))
        if element.timeouts is not None:
            seconds = element.timeouts.tcp_time_wait
            if (element.device, seconds) not in table.holds:
                table.holds.add((element.device, seconds))
                groups.append(nftables.render_hold(element.device, seconds))
        return groups


def _covers(new: SourceNat, old: SourceNat) -> bool:
    return (
        new.ports is not None
        and old.ports is not None
        and new.ports.first <= old.ports.first
        and old.ports.last <= new.ports.last
    )


RULE_KINDS: Mapping[type, Callable[[Rules], RuleKind[Any]]] = {
    StatefulFirewall: StatefulFirewalls,
    AddressSetMember: AddressSetMembers,
    FirewallPolicy: FirewallPolicies,
    PortSecurity: PortSecurities,
    RouteSelection: RouteSelections,
    PeerNetwork: PeerNetworks,
    SourceNat: SourceNats,
}
"""Every kind that :class:`Rulesets` builds."""
