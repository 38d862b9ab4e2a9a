"""What logged rules decide is reported, once for a connection, and is what the model of filtering says."""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Network

import pytest
from tests.dataplane.vpc import ALICE, ALICE_IP, BOB, BOB_IP, OPEN, ROUTER, allow, deny, port_security, vpc
from tests.private_world import Lab
from tests.waiting import wait_until

from fogbank.dataplane.driver import RuleReport
from fogbank.network.filtering import Packet, decide
from fogbank.network.topology import FirewallPolicy, Rule, Traffic

pytestmark = pytest.mark.netns

INGRESS = FirewallPolicy(
    ROUTER,
    "ingress-web",
    (
        allow(80, label="web", logged=True),
        deny(81, label="closed", logged=True),
        allow(82, label="silent"),
        Rule("allow", (Traffic(1),), label="ping", logged=True),
    ),
    "deny",
)


def stand(lab: Lab, ingress: FirewallPolicy, egress: FirewallPolicy = OPEN) -> None:
    policies = {ingress.name: ingress, egress.name: egress, OPEN.name: OPEN}
    others = [each for each in vpc() if not isinstance(each, FirewallPolicy)]
    secured = [
        port_security(ALICE_IP, ingress=OPEN.name, egress=egress.name),
        port_security(BOB_IP, ingress=ingress.name),
    ]
    lab.build(*others, *policies.values(), *secured)


class Taken:
    """All reports so far."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self.reports = lab, list[RuleReport]()

    def until(self, count: int) -> list[RuleReport]:
        wait_until(lambda: self._look() >= count, 60)
        return self.reports

    def _look(self) -> int:
        self.reports += self._lab.driver.rule_reports(ROUTER)
        return len(self.reports)


def shown(reports: Iterable[RuleReport]) -> list[tuple[str, str, int]]:
    return [(each.label, each.action, each.destination_port) for each in reports]


def test_a_connection_is_reported_once_and_repeated_denials_are_not(lab: Lab) -> None:
    stand(lab, INGRESS)
    taken = Taken(lab)
    with lab.listen(BOB, BOB_IP, 80), lab.listen(BOB, BOB_IP, 82), lab.connect(ALICE, BOB_IP, 80) as client:
        port = client.getsockname()[1]
        for _ in range(20):
            client.sendall(b"hello")
            assert client.recv(10)
        assert lab.reaches(ALICE, BOB_IP, 82)
        with lab.driver.open_socket(ALICE, socket.SOCK_STREAM) as refused:
            refused.setblocking(False)
            refused.connect_ex((str(BOB_IP), 81))  # the kernel sends its request again after one second
            denied = refused.getsockname()[1]
            wait_until(lambda: lab.driver.drops(ROUTER).get("closed", 0) >= 2, 60)
            assert lab.reaches(ALICE, BOB_IP, 80)
            reports = taken.until(3)
    assert shown(reports) == [("web", "allow", 80), ("closed", "deny", 81), ("web", "allow", 80)]
    first, second, _ = reports
    assert (first.policy, first.source, first.source_port) == ("ingress-web", ALICE_IP, port)
    assert (second.source_port, second.destination) == (denied, BOB_IP)


def test_datagrams_that_nobody_answers_are_one_connection(lab: Lab) -> None:
    policy = FirewallPolicy(ROUTER, "egress-all", (allow(53, protocol=17, label="dns", logged=True),), "deny")
    open_for_udp = FirewallPolicy(ROUTER, "ingress-all", (), "allow")
    stand(lab, open_for_udp, policy)
    taken = Taken(lab)
    with (
        lab.driver.open_socket(ALICE, socket.SOCK_DGRAM) as client,
        lab.driver.open_socket(ALICE, socket.SOCK_DGRAM) as other,
        lab.driver.open_socket(BOB, socket.SOCK_DGRAM) as server,
    ):
        server.bind((str(BOB_IP), 53))
        server.settimeout(60)
        for sender in (client, client, client, other):
            sender.sendto(b"?", (str(BOB_IP), 53))
            server.recv(10)
        reports = taken.until(2)
        ports = [each.source_port for each in reports]
        assert ports == [client.getsockname()[1], other.getsockname()[1]]


RULES = (
    *(allow(port, protocol=17, label=f"odd-{port}", logged=True) for port in range(1001, 1040, 2)),
    *(deny(port, protocol=17, label=f"third-{port}", logged=True) for port in range(1002, 1040, 3)),
    Rule("next", (Traffic(17),), (IPv4Network("10.8.0.0/30"),), label="go-on"),
    deny(*range(1000, 1040), protocol=17, label="never"),
    Rule("allow", (Traffic(17),), (IPv4Network("10.8.0.0/24"),), label="rest", stage=1, logged=True),
)


def test_the_rule_in_a_report_is_the_one_that_the_prediction_names(lab: Lab) -> None:
    policy = FirewallPolicy(ROUTER, "ingress-many", RULES, "deny")
    stand(lab, policy)
    ports = range(1000, 1045)
    packets = {port: Packet(ALICE_IP, BOB_IP, 17, port) for port in ports}
    expected = {}
    for port, packet in packets.items():
        ruling = decide(policy, packet, {})
        if ruling.rule is not None and ruling.rule.logged:
            expected[port] = (ruling.rule.stage, ruling.rule.label, ruling.action)
    assert len({label for _, label, _ in expected.values()}) > 25
    taken = Taken(lab)
    with lab.driver.open_socket(ALICE, socket.SOCK_DGRAM) as client:
        for port in ports:
            client.sendto(b"?", (str(BOB_IP), port))
        reports = taken.until(len(expected))
    assert {each.destination_port: (each.stage, each.label, each.action) for each in reports} == expected
    assert len(reports) == len(expected)
