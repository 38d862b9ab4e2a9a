"""The kernel's log groups: packets that rules hand to whoever listens to a group of their namespace."""

import socket
import struct

from fogbank.dataplane.linux.net.netlink import Message, Netlink, attribute

LOG_PACKET, _CONFIGURE = 4 << 8, (4 << 8) | 1
_COMMAND, _MODE = 1, 2
LOG_TIMEOUT, LOG_THRESHOLD = 4, 5
"""Options: how long packets are gathered, in hundredths of a second, and how many at most."""
LOG_MARK, LOG_PAYLOAD, LOG_PREFIX = 2, 9, 10
"""Attributes of a packet."""
_BIND, _COPY_PACKETS = 1, 2


def bind_log_group(link: Netlink, group: int, length: int, *options: bytes) -> None:
    """Have the packets of ``group`` come on ``link``, their first ``length`` bytes."""
    head = struct.pack(">BBH", socket.AF_UNSPEC, 0, group)
    for option in (
        attribute(_COMMAND, bytes([_BIND])),
        attribute(_MODE, struct.pack(">IBx", length, _COPY_PACKETS)),
        *options,
    ):
        link.ask(Message(_CONFIGURE, 0, head + option))
