"""DNS inside the world."""

import asyncio
import socket
from ipaddress import IPv4Address

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.network.topology import Listener, NetnsName
from fogbank.resources.world import World
from fogbank.servers.dns import METADATA_ADDRESS, DnsServer, world_answers

CLIENT = IPv4Address("169.254.16.1")
RESOLVER = DnsServer(world_answers(World, lambda _client: None))


def ask(name: str, kind: str = "A") -> dns.message.Message:
    wire = RESOLVER.reply(dns.message.make_query(name, kind).to_wire(), CLIENT)
    assert isinstance(wire, bytes)
    return dns.message.from_wire(wire)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("ifconfig.me", "192.0.2.2"),
        ("IFCONFIG.me.", "192.0.2.2"),
        ("metadata.google.internal", "169.254.169.254"),
        ("metadata", "169.254.169.254"),
        ("web-abcdefghij-du.a.run.app", "192.0.2.1"),
        ("compute.googleapis.com", "192.0.2.1"),
        ("accounts.google.com", "192.0.2.1"),
        ("blue---web-123.asia-northeast3.run.app", "192.0.2.1"),
    ],
)
def test_the_worlds_names_resolve(name, address):
    answer = ask(name)
    assert answer.rcode() == dns.rcode.NOERROR
    assert [record.address for record in answer.answer[0]] == [address]


@pytest.mark.parametrize("kind", ["AAAA", "MX", "TXT"])
def test_another_type_of_a_known_name_is_empty(kind):
    answer = ask("ifconfig.me", kind)
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize(
    "name", ["example.com", "me", "run.app", "x.ifconfig.me", ".", "googleapis.com.example"]
)
def test_nothing_else_exists(name):
    assert ask(name).rcode() == dns.rcode.NXDOMAIN


def test_the_client_and_the_type_reach_the_answering_function():
    asked = []
    resolver = DnsServer(lambda *question: asked.append(question))
    resolver.reply(dns.message.make_query("A.Example", "TXT").to_wire(), CLIENT)
    assert asked == [(CLIENT, "a.example.", "TXT")]


@given(st.binary(max_size=600))
def test_no_packet_breaks_it(packet):
    answer = RESOLVER.reply(packet, CLIENT)
    assert answer is None or (isinstance(answer, bytes) and answer[:2] == packet[:2])


def test_a_broken_query_is_told_so_and_an_answer_is_never_answered():
    broken = RESOLVER.reply(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xff", CLIENT)
    assert isinstance(broken, bytes)
    assert dns.message.from_wire(broken).rcode() == dns.rcode.FORMERR
    answer = dns.message.make_response(dns.message.make_query("ifconfig.me", "A"))
    assert RESOLVER.reply(answer.to_wire(), CLIENT) is None


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_it_serves_sockets_until_it_is_cancelled(protocol):
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    opened = socket.socket(socket.AF_INET, kind)
    opened.bind(("127.0.0.1", 0))
    port = opened.getsockname()[1]
    if protocol == "tcp":
        opened.listen()
    listener = Listener(NetnsName("fabric"), METADATA_ADDRESS, 53, protocol, "resolver")
    serving = asyncio.ensure_future(RESOLVER.serve(listener, opened))
    await asyncio.sleep(0)
    send = getattr(dns.asyncquery, protocol)
    query = dns.message.make_query("ifconfig.me", "A")
    answer = await send(query, "127.0.0.1", port=port, timeout=5)
    assert answer.answer[0][0].address == "192.0.2.2"
    assert answer.flags & dns.flags.AA
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
