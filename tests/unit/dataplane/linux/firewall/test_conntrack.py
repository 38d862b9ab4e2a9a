"""Time that passes for tracked flows, also for one whose time is fixed meanwhile."""

import errno
import os
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from fogbank.dataplane.linux.firewall import conntrack
from fogbank.dataplane.linux.net.netlink import Message, attribute, nested


def flow(port: int, seconds: int) -> bytes:
    addresses = nested(1, attribute(1, bytes((10, 0, 0, 2))) + attribute(2, bytes((192, 0, 2, 1))))
    ports = (
        attribute(1, b"\x06") + attribute(2, struct.pack(">H", port)) + attribute(3, struct.pack(">H", 80))
    )
    one_way = addresses + nested(2, ports)
    return (
        conntrack.HEAD
        + nested(conntrack.TUPLE_ORIG, one_way)
        + nested(conntrack.TUPLE_REPLY, one_way)
        + attribute(conntrack.STATUS, struct.pack(">I", 0))
        + attribute(conntrack.TIMEOUT, struct.pack(">I", seconds))
    )


class Kernel:
    """Has two flows, and refuses a timeout for whatever was pinned since it listed them."""

    def __init__(self, refusal: int) -> None:
        self.refusal = refusal
        self.asked: list[list[int]] = []

    def dump(self, _: Message) -> list[tuple[int, bytes]]:
        return [(0, flow(1000, 5)), (0, flow(1001, 500))]

    def ask_all(self, messages: Sequence[Message]) -> list[OSError | None]:
        self.asked.append([message.kind for message in messages])
        pinned = OSError(self.refusal, os.strerror(self.refusal))
        return [pinned if message.kind == conntrack.NEW else None for message in messages]


def test_a_flow_that_was_pinned_while_it_was_looked_at_ends() -> None:
    kernel: Any = Kernel(errno.EPERM)
    conntrack.advance_conntrack_timeouts(kernel, 60)
    assert kernel.asked == [[conntrack.NEW], [conntrack.DELETE, conntrack.DELETE]]


def test_a_flow_that_ended_by_itself_is_no_error() -> None:
    kernel: Any = Kernel(errno.ENOENT)
    conntrack.advance_conntrack_timeouts(kernel, 60)
    assert kernel.asked == [[conntrack.NEW], [conntrack.DELETE]]


def test_any_other_refusal_is_told() -> None:
    kernel: Any = Kernel(errno.ENOMEM)
    with pytest.raises(OSError, match="memory"):
        conntrack.advance_conntrack_timeouts(kernel, 60)
