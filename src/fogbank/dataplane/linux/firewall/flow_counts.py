"""What connections carried: the kernel's own counters, less what they were at the last look.

Connection tracking counts the packets and bytes of every connection in both directions. Living ones are read
by a dump; what one had in the end comes in the kernel's report of its end. Nothing is done for a packet. The
kernel could also zero the counters that it dumps, but loses some where one of its buffers is full: it has
zeroed one direction before it finds that the other one has no room, and dumps the connection again.
"""

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from fogbank.dataplane.driver import Counted, CountedFlow
from fogbank.dataplane.linux.firewall.conntrack import (
    GET,
    HEAD,
    TCP,
    TUPLE_ORIG,
    TUPLE_REPLY,
    UDP,
    FlowTuple,
    parse_tuple,
)
from fogbank.dataplane.linux.firewall.reports import Reports
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.dataplane.linux.net.netlink import NETLINK_NETFILTER, Message, Netlink, attributes, messages
from fogbank.network.topology import NetnsName

_ENDS = 0x4
"""The multicast group of ended connections."""
_COUNTED_SENT, _COUNTED_RECEIVED, _ID, _TIMES = 9, 10, 12, 20
_PACKETS, _BYTES = 1, 2
_BEGAN, _ENDED = 1, 2
_NOTHING = Counted(0, 0)
_PORTED = frozenset({TCP, UDP, 132})
_MISSED = 2
"""Looks after which a connection that nothing was heard of is forgotten: the report of its end was lost."""

Both = tuple[Counted, Counted]
"""What was sent and received."""


@dataclass(slots=True)
class Differences:
    """What connections had carried at the last look, by their identity.

    A law: what it returns for a connection adds up to the last totals that it was given.
    """

    _known: dict[bytes, tuple[Both, int]] = field(default_factory=dict)
    _look: int = 0

    def of(self, identity: bytes, flow: CountedFlow) -> CountedFlow:
        """Return what ``flow``, whose counters are totals, carried since it was last seen."""
        (sent, received), _ = self._known.get(identity, ((_NOTHING, _NOTHING), 0))
        if flow.ended is None:
            self._known[identity] = (flow.sent, flow.received), self._look
        else:
            self._known.pop(identity, None)
        return replace(flow, sent=_less(flow.sent, sent), received=_less(flow.received, received))

    def end_look(self) -> None:
        """Forget connections that have not been seen for some looks."""
        self._look += 1
        gone = [key for key, (_, look) in self._known.items() if look + _MISSED <= self._look - 1]
        for key in gone:
            del self._known[key]


def _less(now: Counted, before: Counted) -> Counted:
    return Counted(now.packets - before.packets, now.bytes - before.bytes)


class FlowCounts:
    """Counts the connections of the namespaces that it was asked to watch."""

    def __init__(self, namespaces: NetworkNamespaces) -> None:
        self._namespaces = namespaces
        self._ends = Reports("ended connections")
        self._watched: dict[NetnsName, tuple[Netlink, Differences]] = {}
        self._lock = threading.Lock()

    def watch(self, netns: NetnsName) -> None:
        """Count from now on what ``netns`` forwards; what was carried before does not count."""
        if netns in self._ends:
            return
        with self._namespaces.inside(netns):
            ends, asking = Netlink(NETLINK_NETFILTER, groups=_ENDS), Netlink(NETLINK_NETFILTER)
        self._ends.add(netns, ends)
        with self._lock:
            self._watched[netns] = asking, Differences()
            self._take(netns)

    def take(self, netns: NetnsName) -> tuple[CountedFlow, ...]:
        """Return what was carried since the last call: by living connections, then by those that ended."""
        with self._lock:
            return self._take(netns) if netns in self._watched else ()

    def _take(self, netns: NetnsName) -> tuple[CountedFlow, ...]:
        asking, differences = self._watched[netns]
        found = []
        # Who ends between the two is in both, and in the second with what it carried since the first.
        for payload in (*_living(asking), *self._ended(netns)):
            if payload[0] == socket.AF_INET:
                flow = differences.of(*parse_counts(payload))
                if flow.sent.packets or flow.received.packets:
                    found.append(flow)
        differences.end_look()
        return tuple(found)

    def _ended(self, netns: NetnsName) -> Iterator[bytes]:
        for report in self._ends.take(netns):
            yield from (payload for _, _, _, payload in messages(report) if payload)

    def forget(self, netns: NetnsName) -> None:
        """Let ``netns`` go."""
        self._ends.forget(netns)
        with self._lock:
            watched = self._watched.pop(netns, None)
            if watched is not None:
                watched[0].close()

    def close(self) -> None:
        """Let every namespace go."""
        for netns in tuple(self._watched):
            self.forget(netns)
        self._ends.close()


def _living(asking: Netlink) -> list[bytes]:
    return [payload for _, payload in asking.dump(Message(GET, 0, HEAD))]


def parse_counts(payload: bytes) -> tuple[bytes, CountedFlow]:
    """Read a connection's identity and itself, with its totals, from a dump or the report of its end."""
    found = attributes(payload, 4)
    came, back = parse_tuple(found[TUPLE_ORIG]), parse_tuple(found[TUPLE_REPLY])
    times = attributes(found[_TIMES]) if _TIMES in found else {}
    flow = CountedFlow(
        came.protocol,
        came.source,
        _port(came),
        back.source,
        _port(back),
        _counted(found, _COUNTED_SENT),
        _counted(found, _COUNTED_RECEIVED),
        _time(times, _BEGAN),
        _time(times, _ENDED),
    )
    return found[_ID] + found[TUPLE_ORIG], flow


def _port(side: FlowTuple) -> int:
    return side.source_port if side.protocol in _PORTED else 0


def _counted(found: Mapping[int, bytes], direction: int) -> Counted:
    if direction not in found:
        return _NOTHING
    counters = attributes(found[direction])
    (packets,), (size,) = (struct.unpack(">Q", counters[each]) for each in (_PACKETS, _BYTES))
    return Counted(packets, size)


def _time(times: Mapping[int, bytes], which: int) -> int | None:
    return int(struct.unpack(">Q", times[which])[0]) if which in times else None
