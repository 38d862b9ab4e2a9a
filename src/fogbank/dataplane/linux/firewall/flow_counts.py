"""What connections carried: the kernel's own counters, taken and set to zero in one step.

Connection tracking counts the packets and bytes of every connection in both directions. Those of living ones
are read by a dump that zeroes what it reads, so nothing is counted twice or lost between two looks; what was
left of one that ended comes in the kernel's report of its end. Nothing is done for a packet.
"""

import socket
import struct
import threading
from collections.abc import Mapping

from fogbank.dataplane.driver import Counted, CountedFlow
from fogbank.dataplane.linux.firewall.conntrack import (
    HEAD,
    TAKE_COUNTERS,
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
_COUNTED_SENT, _COUNTED_RECEIVED, _TIMES = 9, 10, 20
_PACKETS, _BYTES = 1, 2
_BEGAN, _ENDED = 1, 2
_NOTHING = Counted(0, 0)
_PORTED = frozenset({TCP, UDP, 132})


class FlowCounts:
    """Counts the connections of the namespaces that it was asked to watch."""

    def __init__(self, namespaces: NetworkNamespaces) -> None:
        self._namespaces = namespaces
        self._ends = Reports("ended connections")
        self._asking: dict[NetnsName, Netlink] = {}
        self._lock = threading.Lock()

    def watch(self, netns: NetnsName) -> None:
        """Count from now on what ``netns`` forwards; what was carried before does not count."""
        if netns in self._ends:
            return
        with self._namespaces.inside(netns):
            ends, asking = Netlink(NETLINK_NETFILTER, groups=_ENDS), Netlink(NETLINK_NETFILTER)
        self._ends.add(netns, ends)
        with self._lock:
            self._asking[netns] = asking
            _living(asking)

    def take(self, netns: NetnsName) -> tuple[CountedFlow, ...]:
        """Return what was carried since the last call: by living connections, then by those that ended."""
        with self._lock:
            asking = self._asking.get(netns)
            living = _living(asking) if asking is not None else []
        ended = [
            payload for report in self._ends.take(netns) for _, _, _, payload in messages(report) if payload
        ]
        found = (parse_counts(payload) for payload in (*living, *ended) if payload[0] == socket.AF_INET)
        return tuple(flow for flow in found if flow.sent.packets or flow.received.packets)

    def forget(self, netns: NetnsName) -> None:
        """Let ``netns`` go."""
        self._ends.forget(netns)
        with self._lock:
            asking = self._asking.pop(netns, None)
            if asking is not None:
                asking.close()

    def close(self) -> None:
        """Let every namespace go."""
        for netns in tuple(self._asking):
            self.forget(netns)
        self._ends.close()


def _living(asking: Netlink) -> list[bytes]:
    return [payload for _, payload in asking.dump(Message(TAKE_COUNTERS, 0, HEAD))]


def parse_counts(payload: bytes) -> CountedFlow:
    """Read a connection with its counters from a dump or a report."""
    found = attributes(payload, 4)
    came, back = parse_tuple(found[TUPLE_ORIG]), parse_tuple(found[TUPLE_REPLY])
    times = attributes(found[_TIMES]) if _TIMES in found else {}
    return CountedFlow(
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
