"""What is read of a first packet, and how its checksum is completed."""

import struct
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from fogbank.dataplane.linux.firewall.conntrack import FlowTuple
from fogbank.dataplane.linux.firewall.first_packet_rules import parts_of
from fogbank.dataplane.linux.firewall.first_packets import flow_of, with_checksum
from fogbank.network.topology import SEARCHED_PORTS, PortBlock, PortRange

SOURCE, DESTINATION = IPv4Address("10.8.0.2"), IPv4Address("192.0.2.1")


def packet(protocol: int, segment: bytes, options: bytes = b"") -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 0, 0, 0, 64, protocol, 0)
    return head + SOURCE.packed + DESTINATION.packed + options + segment


def sum_of(data: bytes) -> int:
    """Add 16-bit words with end-around carry (RFC 1071), word by word."""
    total = 0
    for (word,) in struct.iter_unpack(">H", data + b"\0" * (len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_ports_and_the_identifier_of_an_echo_request_are_read_behind_options() -> None:
    options = b"\x01" * 8
    udp = packet(17, struct.pack(">HHHH", 5000, 53, 8, 0), options)
    assert flow_of(udp) == FlowTuple(17, SOURCE, 5000, DESTINATION, 53)
    echo = packet(1, struct.pack(">BBHHH", 8, 0, 0, 0x1234, 1))
    assert flow_of(echo) == FlowTuple(1, SOURCE, 0x1234, DESTINATION, 0)
    assert flow_of(packet(47, b"....")) == FlowTuple(47, SOURCE, 0, DESTINATION, 0)


@given(st.binary(max_size=1200), st.integers(0, 0xFFFF))
def test_a_completed_checksum_is_right(payload: bytes, partial: int) -> None:
    segment = struct.pack(">HHHH", 5000, 53, 8 + len(payload), partial) + payload
    done = with_checksum(packet(17, segment))
    body = done[20:]
    assert body[8:] == payload
    pseudo = done[12:20] + struct.pack(">HH", 17, len(body))
    assert sum_of(pseudo + body) == 0xFFFF
    assert struct.unpack_from(">H", body, 6) != (0,), "0 would mean that there is none"


@given(st.integers(1024, 65000), st.integers(1, 5000))
def test_a_block_is_divided_into_ranges_that_are_searched_to_the_end(first: int, size: int) -> None:
    block = PortBlock(DESTINATION, PortRange(first, min(first + size - 1, 65535)))
    parts = parts_of(block)
    assert sum(len(each.ports) for each in parts) == len(block.ports)
    assert all(len(each.ports) <= SEARCHED_PORTS for each in parts)
    assert (parts[0].ports.first, parts[-1].ports.last) == (block.ports.first, block.ports.last)
