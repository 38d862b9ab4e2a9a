"""Routes over several next hops, made so that a hop more moves no flow that lives.

An ordinary multipath route divides the hash namespace evenly, so a third hop takes flows away from both
others; behind a connector they would continue with another address and break. A resilient group of next hops
has a table of buckets instead: when hops change, only buckets that were silent for a while move. Kernels
before 5.13 have no such groups and get the ordinary route.

Nothing here deletes a group: the kernel does when its last device goes, and what a route left is used again.
"""

import os
import re
import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from fogbank.dataplane.linux.net.netlink import CREATE, REPLACE, Message, attribute, nested, u32
from fogbank.dataplane.linux.net.rtnetlink import ONLINK, Place, Way, put_group_route, put_route
from fogbank.network.topology import Key, NetnsName

NEWNEXTHOP = 104
BUCKETS = 4096
SILENT_SECONDS = 300
"""A bucket whose flows were silent for so long may move. Many buckets: a new hop has work soon."""

_FIRST_KERNEL = (5, 13)
_FAMILY_INET, _RESILIENT, _HERTZ = 2, 1, 100
_ID, _GROUP, _GROUP_TYPE, _OIF, _GATEWAY, _RES_GROUP = 1, 2, 3, 5, 6, 12
_BUCKETS, _IDLE_TIMER = 1, 2
_NEXTHOP = struct.Struct("=BBBxI")
_MEMBER = struct.Struct("=IBxH")


@dataclass(slots=True)
class _Group:
    netns: NetnsName
    number: int
    members: dict[Way, int] = field(default_factory=dict)


class NexthopGroups:
    """The messages that put routes, and the groups behind those with several hops."""

    def __init__(self) -> None:
        self._groups: dict[Key, _Group] = {}
        self._next = 1
        self._resilient = _kernel() >= _FIRST_KERNEL

    def put(
        self,
        key: Key,
        netns: NetnsName,
        place: Place | IPv4Network,
        ways: tuple[Way, ...],
        source: IPv4Address | None,
    ) -> list[Message]:
        """Create or replace the route called ``key``, in order."""
        if len(ways) < 2 or not self._resilient:
            return [put_route(place, ways, source)]
        group = self._groups.setdefault(key, _Group(netns, self._number()))
        group.members = {way: group.members.get(way) or self._number() for way in ways}
        return [
            *(_put_hop(number, way) for way, number in group.members.items()),
            _put_group(group.number, tuple(group.members.values())),
            put_group_route(place, group.number, source, routed=any(way.via for way in ways)),
        ]

    def forget(self, netns: NetnsName) -> None:
        """Forget the groups of a namespace, which is about to be let go."""
        self._groups = {key: group for key, group in self._groups.items() if group.netns != netns}

    def _number(self) -> int:
        self._next += 1
        return self._next


def _put_hop(number: int, way: Way) -> Message:
    head = _NEXTHOP.pack(_FAMILY_INET, 0, 0, ONLINK if way.via else 0)
    gateway = attribute(_GATEWAY, way.via.packed) if way.via else b""
    return Message(NEWNEXTHOP, CREATE | REPLACE, head + u32(_ID, number) + u32(_OIF, way.index) + gateway)


def _put_group(number: int, members: tuple[int, ...]) -> Message:
    timing = nested(
        _RES_GROUP,
        attribute(_BUCKETS, struct.pack("=H", BUCKETS)),
        u32(_IDLE_TIMER, SILENT_SECONDS * _HERTZ),
    )
    return Message(
        NEWNEXTHOP,
        CREATE | REPLACE,
        _NEXTHOP.pack(0, 0, 0, 0)
        + u32(_ID, number)
        + attribute(_GROUP, b"".join(_MEMBER.pack(member, 0, 0) for member in members))
        + attribute(_GROUP_TYPE, struct.pack("=H", _RESILIENT))
        + timing,
    )


def _kernel() -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(found[1]), int(found[2])) if found else (0, 0)
