"""Guards and policies, as packets meet them."""

import contextlib
import socket
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

import pytest
from tests.dataplane.vpc import (
    ALICE,
    ALICE_IP,
    ANY,
    BOB,
    BOB_IP,
    CLOSED,
    ETH0,
    EVERYTHING,
    GATEWAY,
    ROUTER,
    allow,
    deny,
    host,
    port_security,
    vpc,
)
from tests.private_world import Lab

from fogbank.network.topology import Address, AddressSetMember, FirewallPolicy, Port, Traffic
from fogbank.planning.plan import Create, element_of

pytestmark = pytest.mark.netns

STRANGER_IP = IPv4Address("10.8.0.77")


def policy(*rules, default="deny", name="inbound"):
    return FirewallPolicy(ROUTER, name, rules, default)


def guarded(*rules, egress="open", default="deny"):
    """The VPC with an ingress policy of ``rules`` at Bob."""
    return [
        *vpc(),
        policy(*rules, default=default),
        port_security(ALICE_IP),
        port_security(BOB_IP, "inbound", egress),
    ]


def test_only_allowed_ports_are_reached_and_the_rest_is_counted(lab: Lab) -> None:
    lab.build(*guarded(allow(80, 443), deny(22, label="no-ssh")))
    with lab.listen(BOB, BOB_IP, 80), lab.listen(BOB, BOB_IP, 22), lab.listen(BOB, BOB_IP, 8080):
        assert lab.reaches(ALICE, BOB_IP, 80)
        assert not lab.reaches(ALICE, BOB_IP, 22)
        assert not lab.reaches(ALICE, BOB_IP, 8080)
    drops = lab.driver.drops(ROUTER)
    assert (drops["no-ssh"], drops["default-deny"]) == (1, 1)


def test_the_first_rule_that_matches_decides(lab: Lab) -> None:
    lab.build(*guarded(deny(80, sources=(host(ALICE_IP),)), allow(80), allow(81), deny(81)))
    with lab.listen(BOB, BOB_IP, 80), lab.listen(BOB, BOB_IP, 81):
        assert not lab.reaches(ALICE, BOB_IP, 80)
        assert lab.reaches(ALICE, BOB_IP, 81)


@pytest.mark.parametrize("rest", [(), tuple(range(9000, 9020))])
def test_a_rule_that_goes_on_leaves_its_stage_and_no_other(lab: Lab, rest: tuple[int, ...]) -> None:
    """In short stages, which are lists, and in long ones, which are trees."""
    padding = tuple(deny(port, label="padding") for port in rest)
    skip = replace(deny(80, 81, 82), action="next")
    first = (skip, deny(80), allow(83), deny(84), *padding)
    second = tuple(
        replace(each, stage=1) for each in (allow(80), replace(allow(81), action="next"), allow(81), *padding)
    )
    third = tuple(replace(each, stage=2) for each in (deny(80), deny(81), allow(82), allow(84), *padding))
    lab.build(*guarded(*first, *second, *third))
    ports = (80, 81, 82, 83, 84, 85)
    with contextlib.ExitStack() as listening:
        for port in ports:
            listening.enter_context(lab.listen(BOB, BOB_IP, port))
        assert {port for port in ports if lab.reaches(ALICE, BOB_IP, port, timeout=0.3)} == {80, 82, 83}


def test_replies_pass_although_nothing_may_leave(lab: Lab) -> None:
    lab.build(*guarded(allow(80), egress="closed"))
    with lab.listen(BOB, BOB_IP, 80), lab.listen(ALICE, ALICE_IP, 80):
        connection = lab.connect(ALICE, BOB_IP, 80)
        connection.sendall(b"hello")
        assert connection.recv(100) == b"hello"
        assert not lab.reaches(BOB, ALICE_IP, 80)


def test_a_group_is_those_who_are_in_it_now(lab: Lab) -> None:
    tagged = allow(80, address_sets=("web", "batch"))
    lab.build(*guarded(tagged))
    with lab.listen(BOB, BOB_IP, 80):
        assert not lab.reaches(ALICE, BOB_IP, 80, timeout=0.2)
        lab.build(*guarded(tagged), AddressSetMember(ROUTER, "batch", ALICE_IP))
        assert lab.reaches(ALICE, BOB_IP, 80)
        lab.build(*guarded(tagged))
        assert not lab.reaches(ALICE, BOB_IP, 80, timeout=0.2)


def test_a_changed_policy_meets_new_connections_and_leaves_old_ones_alone(lab: Lab) -> None:
    lab.build(*guarded(allow(80)))
    with lab.listen(BOB, BOB_IP, 80):
        old = lab.connect(ALICE, BOB_IP, 80)
        lab.build(*guarded(deny(80)))
        assert not lab.reaches(ALICE, BOB_IP, 80, timeout=0.2)
        old.sendall(b"still here")
        assert old.recv(100) == b"still here"


def test_a_port_security_moves_to_another_policy_while_its_old_one_goes(lab: Lab) -> None:
    lab.build(*guarded(allow(80)))
    with lab.listen(BOB, BOB_IP, 80):
        lab.build(*vpc(), port_security(ALICE_IP), port_security(BOB_IP, "closed"))
        assert not lab.reaches(ALICE, BOB_IP, 80, timeout=0.2)
        lab.build(*guarded(allow(80)))
        assert lab.reaches(ALICE, BOB_IP, 80)


def test_a_machine_cannot_borrow_an_address(lab: Lab) -> None:
    borrowed = Address(Port(ALICE, ETH0), IPv4Interface(STRANGER_IP))
    lab.build(*guarded(allow(80)), borrowed)
    with lab.listen(BOB, BOB_IP, 80):
        assert not lab.reaches(ALICE, BOB_IP, 80, source=STRANGER_IP, timeout=0.2)
        assert not lab.reaches(ALICE, GATEWAY, 80, source=STRANGER_IP, timeout=0.2)
        assert lab.reaches(ALICE, BOB_IP, 80)
    assert lab.driver.drops(ROUTER)["spoofed"] >= 2


def test_without_a_port_security_nothing_enters_and_nothing_leaves(lab: Lab) -> None:
    lab.build(*vpc(), port_security(ALICE_IP))
    with lab.listen(BOB, BOB_IP, 80), lab.listen(ALICE, ALICE_IP, 80):
        assert not lab.reaches(ALICE, BOB_IP, 80, timeout=0.2)
        assert not lab.reaches(BOB, ALICE_IP, 80, timeout=0.2)
    drops = lab.driver.drops(ROUTER)
    assert drops["unguarded"] >= 1
    assert drops["spoofed"] >= 1


def test_egress_rules_choose_destinations(lab: Lab) -> None:
    rules = (deny(80, destinations=(host(BOB_IP),), label="not-bob"),)
    out = policy(*rules, default="allow", name="outbound")
    lab.build(*vpc(), out, port_security(ALICE_IP, egress="outbound"), port_security(BOB_IP))
    with lab.listen(BOB, BOB_IP, 80), lab.listen(BOB, BOB_IP, 81):
        assert not lab.reaches(ALICE, BOB_IP, 80, timeout=0.2)
        assert lab.reaches(ALICE, BOB_IP, 81)
    assert lab.driver.drops(ROUTER)["not-bob"] == 1


@pytest.mark.parametrize("protocol", [6, 17])
def test_a_thousand_rules_are_one_policy(lab: Lab, protocol: int) -> None:
    many = [deny(1000 + n, protocol=protocol, sources=(host(ALICE_IP),)) for n in range(999)]
    lab.build(*guarded(*many, replace(allow(80), traffic=EVERYTHING)))
    with lab.listen(BOB, BOB_IP, 1500), lab.listen(BOB, BOB_IP, 3000):
        assert lab.reaches(ALICE, BOB_IP, 1500, timeout=0.2) is (protocol == 17)
        assert lab.reaches(ALICE, BOB_IP, 3000)
        assert udp_arrives(lab, 1500) is (protocol == 6)
        lab.build(*guarded(*many[:500], replace(allow(80), traffic=EVERYTHING)))
        assert lab.reaches(ALICE, BOB_IP, 1500)


def test_icmp_is_a_protocol_of_its_own(lab: Lab) -> None:
    lab.build(*guarded(allow(80)))
    assert not pings(lab)
    lab.build(*guarded(replace(allow(), traffic=(Traffic(1),), sources=(ANY,))))
    assert pings(lab)


def test_a_policy_stays_when_its_neighbour_is_refused(lab: Lab) -> None:
    """A rule set that the kernel refuses costs only its own element."""
    lab.build(*vpc())
    missing = port_security(BOB_IP, ingress="never made")
    outcomes = lab.driver.apply([Create(port_security(ALICE_IP)), Create(missing), Create(policy(allow(80)))])
    assert [element_of(outcome.action) for outcome in outcomes if outcome.error] == [missing]
    assert CLOSED in lab.driver.observe()
    assert port_security(ALICE_IP) in lab.driver.observe()


def udp_arrives(lab: Lab, port: int) -> bool:
    with contextlib.closing(lab.driver.open_socket(BOB, socket.SOCK_DGRAM)) as server:
        server.bind((str(BOB_IP), port))
        server.settimeout(0.3)
        with contextlib.closing(lab.driver.open_socket(ALICE, socket.SOCK_DGRAM)) as client:
            client.sendto(b"hello", (str(BOB_IP), port))
        try:
            return server.recv(100) == b"hello"
        except TimeoutError:
            return False


def pings(lab: Lab) -> bool:
    with lab.driver.namespaces.inside(ALICE):
        ping = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with contextlib.closing(ping):
        ping.settimeout(0.3)
        ping.sendto(b"\x08\x00\xe5\xca\x12\x34\x00\x01", (str(BOB_IP), 0))
        try:
            return ping.recv(100)[20] == 0
        except TimeoutError:
            return False
