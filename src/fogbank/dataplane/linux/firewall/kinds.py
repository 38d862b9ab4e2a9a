"""How each kind of rule is told to the kernel, and what follows once it stands or is gone.

One class for each kind, and one table of them. A builder belongs to one namespace's table and returns groups
of nft commands; :mod:`rulesets` gathers them into transactions.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Generic, TypeVar

from fogbank.dataplane.linux.firewall import first_packet_rules, nftables, policy_chains
from fogbank.dataplane.linux.firewall.conntrack import TCP, UDP, ConntrackEntry, FlowTuple
from fogbank.dataplane.linux.firewall.first_packets import FirstPackets
from fogbank.dataplane.linux.firewall.flow_counts import FlowCounts
from fogbank.dataplane.linux.firewall.rule_reports import RuleReports
from fogbank.dataplane.linux.firewall.table_state import Group, TableState
from fogbank.dataplane.linux.firewall.timewait import TimeWaitKeeper
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces, write_settings
from fogbank.network.topology import (
    AddressSetMember,
    DeviceName,
    FirewallPolicy,
    FlowLog,
    NatTimeouts,
    PeerNetwork,
    PortBlock,
    PortSecurity,
    RouteSelection,
    SourceNat,
    StatefulFirewall,
    UnservedClient,
)

E = TypeVar("E")

# There are no such settings before the first rule that tracks connections, where tracking is a module.
_TRACKING = {
    # A flow that was never seen to open is not taken over halfway (behaviour/cloud-nat.md#timeouts).
    "netfilter/nf_conntrack_tcp_loose": "0",
    "netfilter/nf_conntrack_tcp_be_liberal": "1",
    "netfilter/nf_conntrack_icmp_timeout": "30",
    # A connection that was made before its subnetwork's flow logs were switched on is in them, too.
    "netfilter/nf_conntrack_acct": "1",
}
_TIMESTAMPS = {"netfilter/nf_conntrack_timestamp": "1"}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the builders of one namespace share."""

    table: TableState
    namespaces: NetworkNamespaces
    keeper: TimeWaitKeeper
    flow_counts: FlowCounts
    rule_reports: RuleReports
    first_packets: FirstPackets

    def track(self) -> None:
        """Set how connections are tracked, once there is such a setting."""
        if not self.table.tracks:
            with self.namespaces.inside(self.table.netns):
                write_settings(_TRACKING)
            self.table.tracks = True

    def count_flows(self) -> None:
        """Report what connections carry from now on."""
        self.track()
        with self.namespaces.inside(self.table.netns):
            write_settings(_TIMESTAMPS)
        self.flow_counts.watch(self.table.netns)

    def time(self, timeouts: NatTimeouts) -> None:
        """Do what rules cannot: hold TIME_WAIT, and ICMP's timeout, which is one for the whole namespace."""
        self.keeper.watch(self.table.netns)
        with self.namespaces.inside(self.table.netns):
            write_settings({"netfilter/nf_conntrack_icmp_timeout": str(timeouts.icmp)})


@dataclass(frozen=True, slots=True)
class EndedFlows:
    """The flows from ``inside`` that one of ``outsides`` translates; their ports were held on a device.

    Those whose port is in one of ``kept`` go on.
    """

    inside: IPv4Network
    outsides: frozenset[IPv4Address]
    held_on: DeviceName | None
    kept: tuple[PortBlock, ...] = ()

    def include(self, entry: ConntrackEntry) -> bool:
        """Return whether ``entry`` is one of them, in whichever direction it was opened."""
        reply = entry.reply
        if reply.destination in self.outsides and entry.original.source in self.inside:
            return not any(_carries(reply, block) for block in self.kept)
        return entry.original.destination in self.outsides and reply.source in self.inside


def _carries(reply: FlowTuple, block: PortBlock) -> bool:
    """Return whether a reply comes to an address, and if it has one to a port, of ``block``."""
    return reply.destination == block.outside and (
        reply.protocol not in {TCP, UDP} or reply.destination_port in block.ports
    )


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


class FlowLogs(RuleKind[FlowLog]):
    """Ranges whose connections are reported."""

    def create(self, element: FlowLog) -> list[Group]:
        return [nftables.render_flow_log(element)]

    def replace(self, old: FlowLog, new: FlowLog) -> list[Group]:
        return [nftables.render_no_flow_log(old) + nftables.render_flow_log(new)]

    def remove(self, element: FlowLog) -> list[Group]:
        return [nftables.render_no_flow_log(element)]

    def stands(self, element: FlowLog) -> None:
        del element
        self._rules.count_flows()

    def gone(self, element: FlowLog) -> None:
        del element
        if not any(isinstance(each, FlowLog) for each in self._table.built.values()):
            self._rules.flow_counts.forget(self._table.netns)


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

    def stands(self, element: FirewallPolicy) -> None:
        if any(rule.logged for rule in element.rules):
            self._rules.rule_reports.listen(self._table.netns)

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
        parts = self._number(element)
        return [
            *self._prepare(element),
            *_chunks(first_packet_rules.render_parts(element.device, parts)),
            nftables.render_source_nat(element),
        ]

    def replace(self, old: SourceNat, new: SourceNat) -> list[Group]:
        before, after = _parts(old), _parts(new)
        come = self._number(new, known=before)
        numbers = self._table.numbers[old.key]
        gone = [(numbers[part], part) for part in before if part not in set(after)]
        swap = nftables.render_no_source_nat(old) + nftables.render_source_nat(new)
        return [
            *self._prepare(new),
            *_chunks(first_packet_rules.render_parts(new.device, come)),
            swap,
            *_chunks(first_packet_rules.render_no_parts(old.device, gone)),
        ]

    def remove(self, element: SourceNat) -> list[Group]:
        numbers = self._table.numbers[element.key]
        parts = [(numbers[part], part) for part in _parts(element)]
        return [
            nftables.render_no_source_nat(element),
            *_chunks(first_packet_rules.render_no_parts(element.device, parts)),
        ]

    def stands(self, element: SourceNat) -> None:
        self._rules.track()
        if element.timeouts is not None:
            self._rules.time(element.timeouts)
        first_packets = self._rules.first_packets
        if element.hands_over:
            first_packets.listen(element.netns, element.device)
            numbers = self._table.numbers[element.key]
            first_packets.serve(
                element,
                {
                    block: tuple((numbers[part], part) for part in first_packet_rules.parts_of(block))
                    for block in element.all_blocks
                },
            )
        else:
            first_packets.leave(element)

    def gone(self, element: SourceNat) -> None:
        self._rules.first_packets.leave(element)
        self._table.numbers.pop(element.key, None)

    def ended_flows(self, old: SourceNat, new: SourceNat | None) -> EndedFlows | None:
        """Return those whose port or address goes; more ports end none."""
        ended = {*old.outsides, *old.draining}
        kept: tuple[PortBlock, ...] = ()
        if new is not None:
            kept = new.all_blocks
            if _holds_all(new, old):
                ended -= {*old.outsides} - {*old.draining}
            ended -= {*new.draining}
        held_on = old.device if old.ports is not None else None
        return EndedFlows(old.inside, frozenset(ended), held_on, kept) if ended else None

    def _number(self, element: SourceNat, known: tuple[PortBlock, ...] = ()) -> list[tuple[int, PortBlock]]:
        """Give the ranges of ``element`` that are not ``known`` numbers that are not used again soon.

        They are the element's own: one that comes may have the range of one that goes later in the same plan.
        """
        table, numbered = self._table, []
        numbers = table.numbers[element.key]
        for part in _parts(element):
            if part not in known:
                table.numbered = table.numbered % first_packet_rules.RANGES + 1
                numbers[part] = first_packet_rules.FIRST_NUMBER | table.numbered
                numbered.append((numbers[part], part))
        return numbered

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
        if element.hands_over and element.device not in table.handovers:
            table.handovers.add(element.device)
            groups.append(first_packet_rules.render_handover(element.device))
        if element.timeouts is not None and element.timeouts not in table.timers:
            table.timers.add(element.timeouts)
            groups.append(nftables.render_timers(element.timeouts))
        if element.timeouts is not None:
            seconds = element.timeouts.tcp_time_wait
            if (element.device, seconds) not in table.holds:
                table.holds.add((element.device, seconds))
                groups.append(nftables.render_hold(element.device, seconds))
        return groups


def _parts(element: SourceNat) -> tuple[PortBlock, ...]:
    """List the ranges that first packets of ``element`` are sent by."""
    if not element.hands_over:
        return ()
    return tuple(part for block in element.all_blocks for part in first_packet_rules.parts_of(block))


def _chunks(commands: list[str]) -> list[Group]:
    """Divide commands that need not take effect at once: a group must fit a transaction."""
    return [commands[start : start + 200] for start in range(0, len(commands), 200)]


def _holds_all(new: SourceNat, old: SourceNat) -> bool:
    """Return whether every flow of ``old`` has what ``new`` could have given it."""
    if new.ports is None:
        return old.outsides == new.outsides
    return old.ports is not None and all(any(_covers(n, o) for n in new.all_blocks) for o in old.all_blocks)


def _covers(new: PortBlock, old: PortBlock) -> bool:
    return (
        new.outside == old.outside and new.ports.first <= old.ports.first and old.ports.last <= new.ports.last
    )


class UnservedClients(RuleKind[UnservedClient]):
    """Clients that have no ports."""

    def create(self, element: UnservedClient) -> list[Group]:
        return [nftables.render_unserved_client(element)]

    def replace(self, old: UnservedClient, new: UnservedClient) -> list[Group]:
        return [*self.remove(old), *self.create(new)]

    def remove(self, element: UnservedClient) -> list[Group]:
        return [nftables.render_no_unserved_client(element)]


RULE_KINDS: Mapping[type, Callable[[Rules], RuleKind[Any]]] = {
    StatefulFirewall: StatefulFirewalls,
    FlowLog: FlowLogs,
    AddressSetMember: AddressSetMembers,
    FirewallPolicy: FirewallPolicies,
    PortSecurity: PortSecurities,
    RouteSelection: RouteSelections,
    PeerNetwork: PeerNetworks,
    SourceNat: SourceNats,
    UnservedClient: UnservedClients,
}
"""Every kind that :class:`Rulesets` builds."""
