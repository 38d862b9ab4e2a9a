"""Filters, policies, guards and source NAT of every namespace, put into the kernel in few transactions.

All that a batch asks of one namespace goes in one transaction (of at most 300 commands: more do not fit a
socket buffer in a user namespace). When the kernel refuses one, its actions are tried one by one, so that
only the guilty one fails.

The kernel numbers every change of a namespace's rules; a number that is not the one of our last change means
that somebody else changed them. Then nothing of that namespace counts as built, and the next change starts
from an empty table.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from fogbank.dataplane.linux.firewall import conntrack, nftables, policy_chains
from fogbank.dataplane.linux.firewall.libnft import Nft, NftError
from fogbank.dataplane.linux.firewall.timewait import TimeWaitKeeper
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces, write_settings
from fogbank.dataplane.linux.net.netlink import NETLINK_NETFILTER, Message, Netlink, attributes
from fogbank.network.topology import (
    AddressSetMember,
    DeviceName,
    FirewallPolicy,
    Key,
    NatTimeouts,
    NetnsName,
    PortSecurity,
    SourceNat,
    StatefulFirewall,
)
from fogbank.planning.plan import Action, Create, Remove, Replace

Ruling = StatefulFirewall | FirewallPolicy | PortSecurity | AddressSetMember | SourceNat
RULINGS = (StatefulFirewall, FirewallPolicy, PortSecurity, AddressSetMember, SourceNat)

_TRANSACTION = 300
_GET_GENERATION = (10 << 8) | 16
_GENERATION_HEAD = b"\0\0\0\0"

# There are no such settings before the first rule that tracks connections, where tracking is a module.
_TRACKING = {
    # A flow that was never seen to open is not taken over halfway (behaviour/cloud-nat.md#timeouts).
    "netfilter/nf_conntrack_tcp_loose": "0",
    "netfilter/nf_conntrack_tcp_be_liberal": "1",
    "netfilter/nf_conntrack_icmp_timeout": "30",
}

Group = list[str]
"""Commands that must stay in one transaction."""


@dataclass(slots=True)
class _TableState:
    """What one namespace's table holds beside the elements themselves."""

    nft: Nft
    flows: Netlink
    generation: int = -1
    stale: bool = False
    devices: set[DeviceName] = field(default_factory=set)
    slices: set[DeviceName] = field(default_factory=set)
    timers: set[NatTimeouts] = field(default_factory=set)
    holds: set[tuple[DeviceName, int]] = field(default_factory=set)
    bodies: dict[str, policy_chains.Body] = field(default_factory=dict)
    abandoned: dict[str, policy_chains.Body] = field(default_factory=dict)
    versions: int = 0
    tracks: bool = False
    reasons: dict[str, str] = field(default_factory=dict)

    def unprepare(self) -> None:
        """Prepare everything again before its next use."""
        self.devices.clear()
        self.slices.clear()
        self.timers.clear()
        self.holds.clear()

    def close(self) -> None:
        self.nft.close()
        self.flows.close()


class Rulesets:
    """The rules of every namespace of one world."""

    def __init__(self, namespaces: NetworkNamespaces, keeper: TimeWaitKeeper) -> None:
        self._namespaces = namespaces
        self._keeper = keeper
        self._table_states: dict[NetnsName, _TableState] = {}
        self._built: dict[NetnsName, dict[Key, Ruling]] = {}

    def apply(self, netns: NetnsName, actions: Sequence[Action]) -> list[Exception | None]:
        """Do ``actions``, all of ``netns``, in order; errors keep their place."""
        try:
            table = self._table_state(netns)
        except OSError as error:
            return [error] * len(actions)
        if table.stale:
            self._start_over(table)
        errors: list[Exception | None] = [None] * len(actions)
        tasks = [
            (place, group) for place, action in enumerate(actions) for group in self._groups(table, action)
        ]
        for batch in _batches(tasks):
            self._run(table, batch, errors)
        if any(errors):
            table.unprepare()
        for place, action in enumerate(actions):
            if errors[place] is None:
                self._note(netns, table, action)
            else:
                self._give_up(table, action)
        self._clear_abandoned(table)
        self._end_flows(table, [a for place, a in enumerate(actions) if errors[place] is None])
        table.generation = _generation(table.flows)
        return errors

    def _run(
        self, table: _TableState, batch: Sequence[tuple[int, Group]], errors: list[Exception | None]
    ) -> None:
        try:
            table.nft.run([command for _, group in batch for command in group])
        except NftError as error:
            if len({place for place, _ in batch}) == 1:
                errors[batch[0][0]] = error
                return
            for place, group in batch:
                if errors[place] is None:
                    self._run(table, [(place, group)], errors)

    def _table_state(self, netns: NetnsName) -> _TableState:
        known = self._table_states.get(netns)
        if known is None:
            with self._namespaces.inside(netns):
                known = self._table_states[netns] = _TableState(Nft(), Netlink(NETLINK_NETFILTER))
            known.nft.run(nftables.render_table())
        return known

    def _start_over(self, table: _TableState) -> None:
        table.nft.run([*nftables.render_table(), f"delete table {nftables.TABLE}", *nftables.render_table()])
        table.stale = False
        table.unprepare()
        table.bodies.clear()
        table.abandoned.clear()

    def _groups(self, table: _TableState, action: Action) -> list[Group]:
        match action:
            case Create(element=StatefulFirewall() as new) | Replace(new=StatefulFirewall() as new):
                return [nftables.render_filter(new)]
            case Remove(element=StatefulFirewall()):
                return [nftables.render_no_filter()]
            case Create(element=AddressSetMember() as new):
                return [nftables.render_address_set_member(new)]
            case Remove(element=AddressSetMember() as old):
                return [nftables.render_no_address_set_member(old)]
            case Create(element=FirewallPolicy() as new) | Replace(new=FirewallPolicy() as new):
                return self._policy(table, new)
            case Create(element=PortSecurity() as new):
                return [nftables.render_port_security(new)]
            case Replace(old=PortSecurity() as old, new=PortSecurity() as new):
                return [nftables.render_no_port_security(old) + nftables.render_port_security(new)]
            case Remove(element=PortSecurity() as old):
                return [nftables.render_no_port_security(old)]
            case Create(element=SourceNat() as new):
                return [*self._prepare(table, new), nftables.render_source_nat(new)]
            case Replace(old=SourceNat() as old, new=SourceNat() as new):
                swap = nftables.render_no_source_nat(old) + nftables.render_source_nat(new)
                return [*self._prepare(table, new), swap]
            case Remove(element=SourceNat() as old):
                return [nftables.render_no_source_nat(old)]
            case _:
                return []

    def _policy(self, table: _TableState, policy: FirewallPolicy) -> list[Group]:
        table.versions += 1
        body = policy_chains.render_body(policy, table.versions)
        table.reasons.update({nftables.drop_counter(r): r for r in policy_chains.reasons(policy)})
        previous = table.bodies.get(policy.name) or table.abandoned.pop(policy.name, None)
        table.bodies[policy.name] = body
        return [
            *([command] for command in body.commands),
            policy_chains.render_swing(policy, body),
            *([command] for command in (policy_chains.render_no_body(previous) if previous else ())),
        ]

    def _prepare(self, table: _TableState, element: SourceNat) -> list[Group]:
        groups: list[Group] = []
        if element.device not in table.devices:
            table.devices.add(element.device)
            groups.append(nftables.render_nat_device(element.device))
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

    def _note(self, netns: NetnsName, table: _TableState, action: Action) -> None:
        built = self._built.setdefault(netns, {})
        match action:
            case Create(element=new) | Replace(new=new):
                if isinstance(new, RULINGS):
                    built[new.key] = new
                if isinstance(new, StatefulFirewall | SourceNat) and not table.tracks:
                    with self._namespaces.inside(netns):
                        write_settings(_TRACKING)
                    table.tracks = True
                if isinstance(new, SourceNat) and new.timeouts is not None:
                    self._time(netns, new.timeouts)
            case Remove(element=old):
                built.pop(old.key, None)
                if isinstance(old, FirewallPolicy) and old.name in table.bodies:
                    table.abandoned[old.name] = table.bodies.pop(old.name)

    def _time(self, netns: NetnsName, timeouts: NatTimeouts) -> None:
        """Do what rules cannot: hold TIME_WAIT, and ICMP's timeout, which is one for the whole namespace."""
        self._keeper.watch(netns)
        with self._namespaces.inside(netns):
            write_settings({"netfilter/nf_conntrack_icmp_timeout": str(timeouts.icmp)})

    def _give_up(self, table: _TableState, action: Action) -> None:
        """Forget a body that may be half built: the next try makes another one beside it."""
        match action:
            case Create(element=FirewallPolicy(name=name)) | Replace(new=FirewallPolicy(name=name)):
                table.bodies.pop(name, None)
            case _:
                pass

    def _clear_abandoned(self, table: _TableState) -> None:
        """Delete removed policies, but not yet those that a guard names which the plan replaces later."""
        for name, body in tuple(table.abandoned.items()):
            with contextlib.suppress(NftError):
                table.nft.run(policy_chains.render_no_policy(name))
                del table.abandoned[name]
                for batch in _batches([(0, [command]) for command in policy_chains.render_no_body(body)]):
                    table.nft.run([command for _, group in batch for command in group])

    def _end_flows(self, table: _TableState, actions: Sequence[Action]) -> None:
        ended = [(nat, lost) for action in actions for nat, lost in _losses(action) if lost]
        if not ended:
            return

        def interface_counters(entry: conntrack.ConntrackEntry) -> bool:
            came, back = entry.original.source, entry.reply.destination
            return any(back in lost and came in nat.inside for nat, lost in ended)

        conntrack.end_flows(table.flows, interface_counters)
        for device in {nat.device for nat, _ in ended if nat.ports is not None}:
            table.nft.run(nftables.render_no_hold(device))

    def built(self) -> Mapping[Key, Ruling]:
        """Find what stands; a namespace whose rules somebody else changed has nothing."""
        standing: dict[Key, Ruling] = {}
        for netns, table in self._table_states.items():
            if not table.stale and _generation(table.flows) != table.generation:
                table.stale = True
                self._built.pop(netns, None)
            standing.update(self._built.get(netns, {}))
        return standing

    def detect_drift(self) -> str | None:
        """Say in which namespace somebody else changed the rules."""
        for netns, table in self._table_states.items():
            if not table.stale and _generation(table.flows) != table.generation:
                return f"somebody changed the rules of {netns}"
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
        table = self._table_states.get(netns)
        if table is None:
            return {}
        objects = table.nft.read(f"list counters table {nftables.TABLE}")
        counters = {str(c["name"]): _number(c["packets"]) for o in objects if (c := o.get("counter"))}
        reasons = {nftables.drop_counter(r): r for r in nftables.REASONS} | table.reasons
        counted = {reason: counters.get(name, 0) for name, reason in reasons.items()}
        held = counters.get(nftables.drop_counter(nftables.PORTS_EXHAUSTED), 0)
        counted[nftables.PORTS_EXHAUSTED] = held + conntrack.collisions(table.flows)
        return {reason: packets for reason, packets in sorted(counted.items()) if packets > 0}

    def advance_conntrack_timeouts(self, seconds: int) -> None:
        """Have ``seconds`` pass for the flows of every gateway, and for the ports that ended ones keep.

        Those in TIME_WAIT end at once, and the set of kept sockets alone holds their ports for what is left:
        a new flow that meets one has to send its request twice.
        """
        for netns, table in self._table_states.items():
            gateways = [
                nat
                for nat in self._built.get(netns, {}).values()
                if isinstance(nat, SourceNat) and nat.timeouts is not None
            ]
            if gateways:
                conntrack.advance_conntrack_timeouts(table.flows, seconds)
                for device in {nat.device for nat in gateways}:
                    self._age_held(table, device, seconds)
                table.generation = _generation(table.flows)

    def _age_held(self, table: _TableState, device: DeviceName, seconds: int) -> None:
        shown = table.nft.read(f"list set {nftables.TABLE} held_{nftables.slug(device)}")
        lines = nftables.render_older(device, nftables.parse_held(device, shown), seconds)
        for start in range(0, len(lines), _TRANSACTION):
            table.nft.run(lines[start : start + _TRANSACTION])

    def forget(self, netns: NetnsName) -> None:
        """Let ``netns`` go."""
        self._built.pop(netns, None)
        self._keeper.forget(netns)
        table = self._table_states.pop(netns, None)
        if table is not None:
            table.close()

    def close(self) -> None:
        """Let every namespace go."""
        for netns in tuple(self._table_states):
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


def _losses(action: Action) -> Iterator[tuple[SourceNat, frozenset[IPv4Address]]]:
    """Find the addresses on which flows end with ``action``: more ports on the same address end none."""
    match action:
        case Remove(element=SourceNat() as old):
            yield old, frozenset((old.outside, *old.draining))
        case Replace(old=SourceNat() as old, new=SourceNat() as new):
            fits = old.outside != new.outside or new.ports is None or _covers(new, old)
            kept = {*new.draining, new.outside} if fits else {*new.draining}
            yield old, frozenset({old.outside, *old.draining} - kept)
        case _:
            pass


def _covers(new: SourceNat, old: SourceNat) -> bool:
    return (
        new.ports is not None
        and old.ports is not None
        and new.ports.first <= old.ports.first
        and old.ports.last <= new.ports.last
    )


def _generation(link: Netlink) -> int:
    _, payload = link.query(Message(_GET_GENERATION, 0, _GENERATION_HEAD))
    return int.from_bytes(attributes(payload, 4)[1], "big")
