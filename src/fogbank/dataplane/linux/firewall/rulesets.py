"""The rules of every namespace, put into the kernel in few transactions.

All that a batch asks of one namespace goes in one transaction (of at most 300 commands: more do not fit a
socket buffer in a user namespace). When the kernel refuses one, its actions are tried one by one, so that
only the guilty one fails.

The kernel numbers every change of a namespace's rules; a number that is not the one of our last change means
that somebody else changed them. Then nothing of that namespace counts as built, and the next change starts
from an empty table.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from fogbank.dataplane.linux.firewall import conntrack, nftables, policy_chains
from fogbank.dataplane.linux.firewall.first_packets import FirstPackets
from fogbank.dataplane.linux.firewall.flow_counts import FlowCounts
from fogbank.dataplane.linux.firewall.kinds import RULE_KINDS, EndedFlows, RuleKind, Rules
from fogbank.dataplane.linux.firewall.libnft import Nft, NftError
from fogbank.dataplane.linux.firewall.rule_reports import RuleReports
from fogbank.dataplane.linux.firewall.table_state import Group, TableState
from fogbank.dataplane.linux.firewall.timewait import TimeWaitKeeper
from fogbank.dataplane.linux.groups import Errors, build
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.dataplane.linux.net.netlink import NETLINK_NETFILTER, Message, Netlink, attributes
from fogbank.errors import DriverError
from fogbank.network.topology import (
    DeviceName,
    Element,
    Key,
    NetnsName,
    SourceNat,
    StatefulFirewall,
    namespaces_of,
)
from fogbank.planning.plan import Action, Create, Remove, Replace, element_of

_TRANSACTION = 300
_GET_GENERATION = (10 << 8) | 16
_GENERATION_HEAD = b"\0\0\0\0"


@dataclass(frozen=True, slots=True)
class _Ruleset:
    """One namespace's table, and the builders of the kinds in it."""

    table: TableState
    kinds: Mapping[type, RuleKind[Any]]

    def kind_of(self, element: Element) -> RuleKind[Any]:
        return self.kinds[type(element)]


class Rulesets:
    """The rules of every namespace of one world."""

    kinds = tuple(RULE_KINDS)

    def __init__(self, namespaces: NetworkNamespaces) -> None:
        self._namespaces = namespaces
        self._keeper = TimeWaitKeeper(namespaces)
        self.flow_counts = FlowCounts(namespaces)
        self.rule_reports = RuleReports(namespaces)
        self.first_packets = FirstPackets(namespaces)
        self._rulesets: dict[NetnsName, _Ruleset] = {}

    def apply(self, actions: Sequence[Action]) -> Errors:
        """Do ``actions``, those of each namespace together and in order; errors keep their place."""
        by_netns: dict[NetnsName, list[int]] = {}
        for place, action in enumerate(actions):
            by_netns.setdefault(namespaces_of(element_of(action))[0], []).append(place)
        errors: Errors = [None] * len(actions)
        for netns, places in by_netns.items():
            try:
                found = self._apply(self._ruleset(netns), [actions[place] for place in places])
            except (DriverError, NftError, OSError) as refusal:
                found = [refusal] * len(places)
            for place, error in zip(places, found, strict=True):
                errors[place] = error
        return errors

    def _apply(self, ruleset: _Ruleset, actions: Sequence[Action]) -> Errors:
        table = ruleset.table
        if table.stale:
            self._start_over(table)
        errors: Errors = [None] * len(actions)
        tasks = [
            (place, group) for place, action in enumerate(actions) for group in build(ruleset.kinds, action)
        ]
        for batch in _batches(tasks):
            self._run(table, batch, errors)
        if any(errors):
            table.unprepare()
        for place, action in enumerate(actions):
            if errors[place] is None:
                _note(ruleset, action)
            elif not isinstance(action, Remove):
                ruleset.kind_of(element_of(action)).failed(element_of(action))
        self._clear_abandoned(table)
        self._end_flows(ruleset, [a for place, a in enumerate(actions) if errors[place] is None])
        table.generation = _generation(table.flows)
        return errors

    def _run(self, table: TableState, batch: Sequence[tuple[int, Group]], errors: Errors) -> None:
        try:
            table.nft.run([command for _, group in batch for command in group])
        except NftError as error:
            if len({place for place, _ in batch}) == 1:
                errors[batch[0][0]] = error
                return
            for place, group in batch:
                if errors[place] is None:
                    self._run(table, [(place, group)], errors)

    def _ruleset(self, netns: NetnsName) -> _Ruleset:
        known = self._rulesets.get(netns)
        if known is None:
            with self._namespaces.inside(netns):
                table = TableState(netns, Nft(), Netlink(NETLINK_NETFILTER))
            rules = Rules(
                table,
                self._namespaces,
                self._keeper,
                self.flow_counts,
                self.rule_reports,
                self.first_packets,
            )
            known = _Ruleset(table, {kind: make(rules) for kind, make in RULE_KINDS.items()})
            self._rulesets[netns] = known
            table.nft.run(nftables.render_table())
        return known

    def _start_over(self, table: TableState) -> None:
        table.nft.run([*nftables.render_table(), f"delete table {nftables.TABLE}", *nftables.render_table()])
        table.stale = False
        table.unprepare()
        table.bodies.clear()
        table.abandoned.clear()
        table.numbers.clear()

    def _clear_abandoned(self, table: TableState) -> None:
        """Delete removed policies, except those that port security names until the plan replaces it."""
        for name, body in tuple(table.abandoned.items()):
            with contextlib.suppress(NftError):
                table.nft.run(policy_chains.render_no_policy(name))
                del table.abandoned[name]
                for batch in _batches([(0, [command]) for command in policy_chains.render_no_body(body)]):
                    table.nft.run([command for _, group in batch for command in group])

    def _end_flows(self, ruleset: _Ruleset, actions: Sequence[Action]) -> None:
        ended = [flows for action in actions if (flows := _ended_flows(ruleset, action))]
        if not ended:
            return
        conntrack.end_flows(ruleset.table.flows, lambda entry: any(each.include(entry) for each in ended))
        for device in {flows.held_on for flows in ended if flows.held_on is not None}:
            ruleset.table.nft.run(nftables.render_no_hold(device))

    def observe(self) -> Mapping[Key, Element]:
        """Find what stands; a namespace whose rules somebody else changed has nothing."""
        standing: dict[Key, Element] = {}
        for table in self._tables():
            if not table.stale and _generation(table.flows) != table.generation:
                table.stale = True
                table.built.clear()
            standing.update(table.built)
        return standing

    def _tables(self) -> list[TableState]:
        return [ruleset.table for ruleset in self._rulesets.values()]

    def detect_drift(self) -> str | None:
        """Say in which namespace somebody else changed the rules."""
        for table in self._tables():
            if not table.stale and _generation(table.flows) != table.generation:
                return f"somebody changed the rules of {table.netns}"
        return None

    def flows(self, netns: NetnsName) -> list[conntrack.ConntrackEntry]:
        """List the connections that ``netns`` tracks."""
        with self._namespaces.inside(netns):
            link = Netlink(NETLINK_NETFILTER)
        try:
            return conntrack.entries(link)
        finally:
            link.close()

    def drops(self, netns: NetnsName) -> dict[str, int]:
        """Count dropped packets by reason; only reasons that occurred."""
        ruleset = self._rulesets.get(netns)
        if ruleset is None:
            return {}
        table = ruleset.table
        objects = table.nft.read(f"list counters table {nftables.TABLE}")
        counters = {str(c["name"]): _number(c["packets"]) for o in objects if (c := o.get("counter"))}
        reasons = {nftables.drop_counter(r): r for r in nftables.REASONS} | table.reasons
        counted = {reason: counters.get(name, 0) for name, reason in reasons.items()}
        held = counters.get(nftables.drop_counter(nftables.PORTS_EXHAUSTED), 0)
        # What the kernel refused of a flow that another range took was no drop.
        tried, refused = self.first_packets.tries_and_refusals(netns)
        counted[nftables.PORTS_EXHAUSTED] = held + conntrack.collisions(table.flows) - tried + refused
        return {reason: packets for reason, packets in sorted(counted.items()) if packets > 0}

    def refused_packets(self, netns: NetnsName) -> dict[IPv4Address, int]:
        """Count what counted policies dropped, by destination."""
        ruleset = self._rulesets.get(netns)
        if ruleset is None or not any(
            isinstance(each, StatefulFirewall) for each in ruleset.table.built.values()
        ):
            return {}
        return nftables.parse_refused(ruleset.table.nft.read(f"list set {nftables.TABLE} {nftables.REFUSED}"))

    def advance_conntrack_timeouts(self, seconds: int) -> None:
        """Have ``seconds`` pass for the flows of every gateway, and for the ports that ended ones keep.

        Those in TIME_WAIT end at once, and the set of kept sockets alone holds their ports for what is left:
        a new flow that meets one has to send its request twice.
        """
        for table in self._tables():
            gateways = [
                nat for nat in table.built.values() if isinstance(nat, SourceNat) and nat.timeouts is not None
            ]
            if gateways:
                conntrack.advance_conntrack_timeouts(table.flows, seconds)
                for device in {nat.device for nat in gateways}:
                    self._age_held(table, device, seconds)
                table.generation = _generation(table.flows)

    def _age_held(self, table: TableState, device: DeviceName, seconds: int) -> None:
        shown = table.nft.read(f"list set {nftables.TABLE} held_{nftables.slug(device)}")
        lines = nftables.render_older(device, nftables.parse_held(device, shown), seconds)
        for start in range(0, len(lines), _TRANSACTION):
            table.nft.run(lines[start : start + _TRANSACTION])

    def forget(self, netns: NetnsName) -> None:
        """Let ``netns`` go."""
        self._keeper.forget(netns)
        self.flow_counts.forget(netns)
        self.rule_reports.forget(netns)
        self.first_packets.forget(netns)
        ruleset = self._rulesets.pop(netns, None)
        if ruleset is not None:
            ruleset.table.close()

    def close(self) -> None:
        """Let every namespace go."""
        self._keeper.close()
        self.flow_counts.close()
        self.rule_reports.close()
        self.first_packets.close()
        for netns in tuple(self._rulesets):
            self.forget(netns)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _batches(tasks: Sequence[tuple[int, Group]]) -> list[list[tuple[int, Group]]]:
    """Gather groups into transactions; a group is never divided."""
    batches: list[list[tuple[int, Group]]] = []
    size = _TRANSACTION
    for place, group in tasks:
        if size + len(group) > _TRANSACTION:
            batches.append([])
            size = 0
        batches[-1].append((place, group))
        size += len(group)
    return batches


def _note(ruleset: _Ruleset, action: Action) -> None:
    built = ruleset.table.built
    match action:
        case Create(element=new) | Replace(new=new):
            built[new.key] = new
            ruleset.kind_of(new).stands(new)
        case Remove(element=old):
            built.pop(old.key, None)
            ruleset.kind_of(old).gone(old)


def _ended_flows(ruleset: _Ruleset, action: Action) -> EndedFlows | None:
    match action:
        case Create():
            return None
        case Remove(element=old):
            return ruleset.kind_of(old).ended_flows(old, None)
        case Replace(old=old, new=new):
            return ruleset.kind_of(old).ended_flows(old, new)


def _generation(link: Netlink) -> int:
    _, payload = link.query(Message(_GET_GENERATION, 0, _GENERATION_HEAD))
    return int.from_bytes(attributes(payload, 4)[1], "big")
