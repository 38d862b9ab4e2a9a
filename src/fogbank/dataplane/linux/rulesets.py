"""Filters, policies, guards and source NAT of every space, put into the kernel in few transactions.

All that a batch asks of one space goes in one transaction (of at most 300 commands: more do not fit a socket
buffer in a user namespace). When the kernel refuses one, its actions are tried one by one, so that only the
guilty one fails.

The kernel numbers every change of a space's rules; a number that is not the one of our last change means that
somebody else changed them. Then nothing of that space counts as built, and the next change starts from an
empty table.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from fogbank.dataplane.linux import conntrack, nftables, policies
from fogbank.dataplane.linux.libnft import Nft, NftError
from fogbank.dataplane.linux.netlink import NETLINK_NETFILTER, Message, Netlink, attributes
from fogbank.dataplane.linux.spaces import Spaces, write_settings
from fogbank.dataplane.linux.timewait import TimeWaitKeeper
from fogbank.network.topology import (
    DeviceName,
    Filter,
    GroupMember,
    Guard,
    Key,
    NatTimeouts,
    Policy,
    SourceNat,
    SpaceName,
)
from fogbank.planning.plan import Action, Create, Remove, Replace

Ruling = Filter | Policy | Guard | GroupMember | SourceNat
RULINGS = (Filter, Policy, Guard, GroupMember, SourceNat)

_TRANSACTION = 300
_GET_GENERATION = (10 << 8) | 16
_GENERATION_HEAD = b"\0\0\0\0"

# There are no such settings before the first rule that tracks connections, where tracking is a module.
_TRACKING = {
    # A flow that was never seen to open is not taken over halfway (SEMANTICS 3.6).
    "netfilter/nf_conntrack_tcp_loose": "0",
    "netfilter/nf_conntrack_tcp_be_liberal": "1",
    "netfilter/nf_conntrack_icmp_timeout": "30",
}

Group = list[str]
"""Commands that must stay in one transaction."""


@dataclass(slots=True)
class _Room:
    """What one space's table holds beside the elements themselves."""

    nft: Nft
    flows: Netlink
    generation: int = -1
    stale: bool = False
    devices: set[DeviceName] = field(default_factory=set)
    slices: set[DeviceName] = field(default_factory=set)
    timers: set[NatTimeouts] = field(default_factory=set)
    holds: set[tuple[DeviceName, int]] = field(default_factory=set)
    bodies: dict[str, policies.Body] = field(default_factory=dict)
    abandoned: dict[str, policies.Body] = field(default_factory=dict)
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
    """The rules of every space of one world."""

    def __init__(self, spaces: Spaces, keeper: TimeWaitKeeper) -> None:
        self._spaces = spaces
        self._keeper = keeper
        self._rooms: dict[SpaceName, _Room] = {}
        self._built: dict[SpaceName, dict[Key, Ruling]] = {}

    def apply(self, space: SpaceName, actions: Sequence[Action]) -> list[Exception | None]:
        """Do ``actions``, all of ``space``, in order; errors keep their place."""
        try:
            room = self._room(space)
        except OSError as error:
            return [error] * len(actions)
        if room.stale:
            self._start_over(room)
        errors: list[Exception | None] = [None] * len(actions)
        tasks = [
            (place, group) for place, action in enumerate(actions) for group in self._groups(room, action)
        ]
        for batch in _batches(tasks):
            self._run(room, batch, errors)
        if any(errors):
            room.unprepare()
        for place, action in enumerate(actions):
            if errors[place] is None:
                self._note(space, room, action)
            else:
                self._give_up(room, action)
        self._clear_abandoned(room)
        self._end_flows(room, [a for place, a in enumerate(actions) if errors[place] is None])
        room.generation = _generation(room.flows)
        return errors

    def _run(self, room: _Room, batch: Sequence[tuple[int, Group]], errors: list[Exception | None]) -> None:
        try:
            room.nft.run([command for _, group in batch for command in group])
        except NftError as error:
            if len({place for place, _ in batch}) == 1:
                errors[batch[0][0]] = error
                return
            for place, group in batch:
                if errors[place] is None:
                    self._run(room, [(place, group)], errors)

    def _room(self, space: SpaceName) -> _Room:
        known = self._rooms.get(space)
        if known is None:
            with self._spaces.inside(space):
                known = self._rooms[space] = _Room(Nft(), Netlink(NETLINK_NETFILTER))
            known.nft.run(nftables.render_table())
        return known

    def _start_over(self, room: _Room) -> None:
        room.nft.run([*nftables.render_table(), f"delete table {nftables.TABLE}", *nftables.render_table()])
        room.stale = False
        room.unprepare()
        room.bodies.clear()
        room.abandoned.clear()

    def _groups(self, room: _Room, action: Action) -> list[Group]:
        match action:
            case Create(element=Filter() as new) | Replace(new=Filter() as new):
                return [nftables.render_filter(new)]
            case Remove(element=Filter()):
                return [nftables.render_no_filter()]
            case Create(element=GroupMember() as new):
                return [nftables.render_group_member(new)]
            case Remove(element=GroupMember() as old):
                return [nftables.render_no_group_member(old)]
            case Create(element=Policy() as new) | Replace(new=Policy() as new):
                return self._policy(room, new)
            case Create(element=Guard() as new):
                return [nftables.render_guard(new)]
            case Replace(old=Guard() as old, new=Guard() as new):
                return [nftables.render_no_guard(old) + nftables.render_guard(new)]
            case Remove(element=Guard() as old):
                return [nftables.render_no_guard(old)]
            case Create(element=SourceNat() as new):
                return [*self._prepare(room, new), nftables.render_source_nat(new)]
            case Replace(old=SourceNat() as old, new=SourceNat() as new):
                swap = nftables.render_no_source_nat(old) + nftables.render_source_nat(new)
                return [*self._prepare(room, new), swap]
            case Remove(element=SourceNat() as old):
                return [nftables.render_no_source_nat(old)]
            case _:
                return []

    def _policy(self, room: _Room, policy: Policy) -> list[Group]:
        room.versions += 1
        body = policies.render_body(policy, room.versions)
        room.reasons.update({nftables.drop_counter(r): r for r in policies.reasons(policy)})
        previous = room.bodies.get(policy.name) or room.abandoned.pop(policy.name, None)
        room.bodies[policy.name] = body
        return [
            *([command] for command in body.commands),
            policies.render_swing(policy, body),
            *([command] for command in (policies.render_no_body(previous) if previous else ())),
        ]

    def _prepare(self, room: _Room, element: SourceNat) -> list[Group]:
        groups: list[Group] = []
        if element.device not in room.devices:
            room.devices.add(element.device)
            groups.append(nftables.render_nat_device(element.device))
        sliced = element.ports is not None or element.timeouts is not None
        if sliced and element.device not in room.slices:
            room.slices.add(element.device)
            groups.append(nftables.render_nat_slices(element.device))
        if element.timeouts is not None and element.timeouts not in room.timers:
            room.timers.add(element.timeouts)
            groups.append(nftables.render_timers(element.timeouts))
        if element.timeouts is not None:
            seconds = element.timeouts.tcp_time_wait
            if (element.device, seconds) not in room.holds:
                room.holds.add((element.device, seconds))
                groups.append(nftables.render_hold(element.device, seconds))
        return groups

    def _note(self, space: SpaceName, room: _Room, action: Action) -> None:
        built = self._built.setdefault(space, {})
        match action:
            case Create(element=new) | Replace(new=new):
                if isinstance(new, RULINGS):
                    built[new.key] = new
                if isinstance(new, Filter | SourceNat) and not room.tracks:
                    with self._spaces.inside(space):
                        write_settings(_TRACKING)
                    room.tracks = True
                if isinstance(new, SourceNat) and new.timeouts is not None:
                    self._time(space, new.timeouts)
            case Remove(element=old):
                built.pop(old.key, None)
                if isinstance(old, Policy) and old.name in room.bodies:
                    room.abandoned[old.name] = room.bodies.pop(old.name)

    def _time(self, space: SpaceName, timeouts: NatTimeouts) -> None:
        """Do what rules cannot: hold TIME_WAIT, and ICMP's timeout, which is one for the whole space."""
        self._keeper.watch(space)
        with self._spaces.inside(space):
            write_settings({"netfilter/nf_conntrack_icmp_timeout": str(timeouts.icmp)})

    def _give_up(self, room: _Room, action: Action) -> None:
        """Forget a body that may be half built: the next try makes another one beside it."""
        match action:
            case Create(element=Policy(name=name)) | Replace(new=Policy(name=name)):
                room.bodies.pop(name, None)
            case _:
                pass

    def _clear_abandoned(self, room: _Room) -> None:
        """Delete removed policies, but not yet those that a guard names which the plan replaces later."""
        for name, body in tuple(room.abandoned.items()):
            with contextlib.suppress(NftError):
                room.nft.run(policies.render_no_policy(name))
                del room.abandoned[name]
                for batch in _batches([(0, [command]) for command in policies.render_no_body(body)]):
                    room.nft.run([command for _, group in batch for command in group])

    def _end_flows(self, room: _Room, actions: Sequence[Action]) -> None:
        ended = [(nat, lost) for action in actions for nat, lost in _losses(action) if lost]
        if not ended:
            return

        def carried(entry: conntrack.Entry) -> bool:
            came, back = entry.original.source, entry.reply.destination
            return any(back in lost and came in nat.inside for nat, lost in ended)

        conntrack.end_flows(room.flows, carried)
        for device in {nat.device for nat, _ in ended if nat.ports is not None}:
            room.nft.run(nftables.render_no_hold(device))

    def built(self) -> Mapping[Key, Ruling]:
        """Find what stands; a space whose rules somebody else changed has nothing."""
        standing: dict[Key, Ruling] = {}
        for space, room in self._rooms.items():
            if not room.stale and _generation(room.flows) != room.generation:
                room.stale = True
                self._built.pop(space, None)
            standing.update(self._built.get(space, {}))
        return standing

    def suspicion(self) -> str | None:
        """Say in which space somebody else changed the rules."""
        for space, room in self._rooms.items():
            if not room.stale and _generation(room.flows) != room.generation:
                return f"somebody changed the rules of {space}"
        return None

    def flows(self, space: SpaceName) -> list[conntrack.Entry]:
        """List the connections that ``space`` tracks."""
        with self._spaces.inside(space):
            link = Netlink(NETLINK_NETFILTER)
        try:
            return conntrack.entries(link)
        finally:
            link.close()

    def drops(self, space: SpaceName) -> dict[str, int]:
        """Count dropped packets by reason; only reasons that occurred."""
        room = self._rooms.get(space)
        if room is None:
            return {}
        objects = room.nft.read(f"list counters table {nftables.TABLE}")
        counters = {str(c["name"]): _number(c["packets"]) for o in objects if (c := o.get("counter"))}
        reasons = {nftables.drop_counter(r): r for r in nftables.REASONS} | room.reasons
        counted = {reason: counters.get(name, 0) for name, reason in reasons.items()}
        held = counters.get(nftables.drop_counter(nftables.PORTS_EXHAUSTED), 0)
        counted[nftables.PORTS_EXHAUSTED] = held + conntrack.collisions(room.flows)
        return {reason: packets for reason, packets in sorted(counted.items()) if packets > 0}

    def age(self, seconds: int) -> None:
        """Have ``seconds`` pass for the flows of every gateway, and for the ports that ended ones keep.

        Those in TIME_WAIT end at once, and the set of kept sockets alone holds their ports for what is left:
        a new flow that meets one has to send its request twice.
        """
        for space, room in self._rooms.items():
            gateways = [
                nat
                for nat in self._built.get(space, {}).values()
                if isinstance(nat, SourceNat) and nat.timeouts is not None
            ]
            if gateways:
                conntrack.age(room.flows, seconds)
                for device in {nat.device for nat in gateways}:
                    self._age_held(room, device, seconds)
                room.generation = _generation(room.flows)

    def _age_held(self, room: _Room, device: DeviceName, seconds: int) -> None:
        shown = room.nft.read(f"list set {nftables.TABLE} held_{nftables.slug(device)}")
        lines = nftables.render_older(device, nftables.parse_held(device, shown), seconds)
        for start in range(0, len(lines), _TRANSACTION):
            room.nft.run(lines[start : start + _TRANSACTION])

    def forget(self, space: SpaceName) -> None:
        """Let ``space`` go."""
        self._built.pop(space, None)
        self._keeper.forget(space)
        room = self._rooms.pop(space, None)
        if room is not None:
            room.close()

    def close(self) -> None:
        """Let every space go."""
        for space in tuple(self._rooms):
            self.forget(space)


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
