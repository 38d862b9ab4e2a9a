"""Messages to the kernel: packed as it wants them, and read back."""

import struct
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from fogbank.dataplane.linux.firewall import conntrack
from fogbank.dataplane.linux.net import rtnetlink
from fogbank.dataplane.linux.net.netlink import Message, attribute, attributes, messages, nested, pack
from fogbank.network.topology import NetnsName

addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
networks = st.builds(lambda a, prefix: IPv4Network((a, prefix), strict=False), addresses, st.integers(0, 32))
ways = st.builds(rtnetlink.Way, st.integers(1, 2**31 - 1), st.none() | addresses)


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=50)))
def test_attributes_round_trip(values: dict[int, bytes]) -> None:
    packed = b"".join(attribute(kind, value) for kind, value in values.items())
    assert attributes(packed) == values
    assert attributes(attributes(nested(7, packed))[7]) == values
    assert len(packed) % 4 == 0


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=50)), max_size=5))
def test_messages_are_found_in_a_datagram(sent: list[tuple[int, bytes]]) -> None:
    datagram = b"".join(pack(Message(kind, 0, payload), n) for n, (kind, payload) in enumerate(sent))
    found = [(sequence, kind, payload) for kind, _, sequence, payload in messages(datagram)]
    assert found == [(n, kind, payload) for n, (kind, payload) in enumerate(sent)]


@given(networks, st.lists(ways, max_size=4), st.none() | addresses)
def test_routes_round_trip(destination: IPv4Network, hops: list, source: IPv4Address | None) -> None:
    message = rtnetlink.put_route(destination, tuple(hops), source)
    assert rtnetlink.parse_route(message.payload) == rtnetlink.RouteSeen(destination, tuple(hops), source)


@given(addresses, st.integers(0, 32), st.integers(1, 2**31 - 1))
def test_addresses_round_trip(address: IPv4Address, prefix: int, index: int) -> None:
    interface = IPv4Interface((address, prefix))
    assert rtnetlink.parse_address(rtnetlink.add_address(index, interface).payload) == (index, interface)


@given(st.integers(8_000, 100_000_000_000).map(lambda rate: rate // 8 * 8))
def test_buckets_round_trip(rate: int) -> None:
    assert rtnetlink.parse_bucket(rtnetlink.put_bucket(7, rate).payload) == (7, rate)


def test_a_tracked_flow_is_read_as_the_kernel_writes_it() -> None:
    def one_way(source: str, source_port: int, destination: str, destination_port: int) -> bytes:
        sides = attribute(1, IPv4Address(source).packed) + attribute(2, IPv4Address(destination).packed)
        numbers = struct.pack(">H", source_port), struct.pack(">H", destination_port)
        protocol = attribute(1, b"\x06") + attribute(2, numbers[0]) + attribute(3, numbers[1])
        return nested(1, sides) + nested(2, protocol)

    payload = (
        conntrack.HEAD
        + nested(conntrack.TUPLE_ORIG, one_way("10.8.0.2", 39430, "192.0.2.1", 80))
        + nested(conntrack.TUPLE_REPLY, one_way("192.0.2.1", 80, "203.0.113.7", 1068))
        + attribute(conntrack.STATUS, struct.pack(">I", 1438))
        + attribute(conntrack.TIMEOUT, struct.pack(">I", 119))
        + nested(conntrack.PROTOINFO, nested(1, attribute(1, b"\x07")))
    )
    flow = conntrack.describe(conntrack.parse_entry(payload), NetnsName("vpc"))
    assert (flow.source, flow.source_port) == (IPv4Address("10.8.0.2"), 39430)
    assert (flow.destination, flow.destination_port) == (IPv4Address("192.0.2.1"), 80)
    assert (flow.translated_source, flow.translated_port) == (IPv4Address("203.0.113.7"), 1068)
    assert flow.state == "TIME_WAIT"
