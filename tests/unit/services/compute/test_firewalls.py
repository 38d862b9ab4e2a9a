"""Firewall rules."""

import pytest
from tests.compute_calls import LINK, NOW, Compute, with_default_network

from fogbank.resources.compute import FirewallRule
from fogbank.resources.names import compute_name
from fogbank.resources.vpcaccess import AUTOMATIC
from fogbank.resources.world import Resource

TCP = {"IPProtocol": "tcp", "ports": ["80", "1000-2000"]}


@pytest.fixture
def compute():
    return with_default_network()


def insert(compute, **body):
    return compute("firewalls.insert", {"name": "f", "allowed": [TCP]} | body)


def get(compute):
    return compute("firewalls.get", firewall="f")


def test_a_rule_has_googles_defaults(compute):
    operation = insert(compute)
    shown = get(compute)
    assert operation.status == "RUNNING"
    assert shown == {
        "kind": "compute#firewall",
        "id": shown["id"],
        "creationTimestamp": shown["creationTimestamp"],
        "name": "f",
        "network": f"{LINK}/global/networks/default",
        "priority": 1000,
        "direction": "INGRESS",
        "disabled": False,
        "allowed": [TCP],
        "sourceRanges": ["0.0.0.0/0"],
        "selfLink": f"{LINK}/global/firewalls/f",
    }


def test_a_rule_with_source_tags_only_has_no_source_ranges(compute):
    insert(compute, sourceTags=["web"])
    assert "sourceRanges" not in get(compute)


def test_an_egress_rule_is_for_all_destinations(compute):
    insert(compute, direction="EGRESS")
    assert get(compute)["destinationRanges"] == ["0.0.0.0/0"]
    assert "sourceRanges" not in get(compute)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"allowed": []}, "resource.allowed"),
        ({"denied": [TCP]}, "both allowed and denied"),
        ({"allowed": [{"ports": ["22"]}]}, "resource.allowed[0].IPProtocol"),
        ({"allowed": [{"IPProtocol": "tcpx"}]}, "resource.allowed[0].IPProtocol"),
        ({"allowed": [{"IPProtocol": "256"}]}, "resource.allowed[0].IPProtocol"),
        ({"allowed": [{"IPProtocol": "icmp", "ports": ["1"]}]}, "resource.allowed[0].ports[0]"),
        ({"allowed": [{"IPProtocol": "tcp", "ports": ["80", "9-1"]}]}, "resource.allowed[0].ports[1]"),
        ({"allowed": [{"IPProtocol": "tcp", "ports": ["65536"]}]}, "resource.allowed[0].ports[0]"),
        ({"priority": 65536}, "resource.priority"),
        ({"sourceRanges": ["10.0.0.1/24"]}, "resource.sourceRanges[0]"),
        ({"sourceTags": ["Web"]}, "resource.sourceTags[0]"),
        ({"direction": "EGRESS", "sourceTags": ["web"]}, "resource.sourceTags"),
        ({"direction": "EGRESS", "sourceServiceAccounts": ["a@b.c"]}, "resource.sourceServiceAccounts"),
        ({"targetTags": ["web"], "targetServiceAccounts": ["a@b.c"]}, "both targetTags and targetService"),
        ({"sourceServiceAccounts": ["a@b.c"], "targetTags": ["web"]}, "both targetTags and sourceService"),
        ({"network": "missing"}, "networks/missing' was not found"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(compute, body, words):
    refusal = compute.refused("firewalls.insert", {"name": "f", "allowed": [TCP]} | body)
    assert words in refusal.message


def test_an_egress_rule_may_be_narrowed_to_source_ranges(compute):
    insert(compute, direction="EGRESS", sourceRanges=["10.0.0.0/8"])
    shown = get(compute)
    assert (shown["sourceRanges"], shown["destinationRanges"]) == (["10.0.0.0/8"], ["0.0.0.0/0"])


def test_ipv6_ranges_are_refused_by_name(compute):
    refusal = compute.refused("firewalls.insert", {"name": "f", "allowed": [TCP], "sourceRanges": ["::/0"]})
    assert refusal.status == "UNIMPLEMENTED"


def test_a_patch_keeps_what_it_does_not_give_and_replaces_lists(compute):
    insert(compute, sourceRanges=["10.0.0.0/8"], targetTags=["web"])
    operation = compute(
        "firewalls.patch", {"allowed": [{"IPProtocol": "udp"}], "targetTags": []}, firewall="f"
    )
    assert operation.type == "compute.firewalls.patch"
    assert get(compute)["allowed"] == [{"IPProtocol": "udp"}]
    assert get(compute)["sourceRanges"] == ["10.0.0.0/8"]
    assert "targetTags" not in get(compute)


def test_a_rule_turns_from_allowing_to_denying(compute):
    insert(compute)
    compute("firewalls.patch", {"denied": [{"IPProtocol": "all"}]}, firewall="f")
    assert "allowed" not in get(compute)
    assert get(compute)["denied"] == [{"IPProtocol": "all"}]


def test_an_update_replaces_a_rule(compute):
    insert(compute, targetTags=["web"], priority=7)
    compute("firewalls.update", {"name": "f", "allowed": [TCP]}, firewall="f")
    assert "targetTags" not in get(compute)
    assert get(compute)["priority"] == 1000


def test_a_direction_cannot_be_changed(compute):
    insert(compute)
    assert (
        "resource.direction"
        in compute.refused("firewalls.patch", {"direction": "EGRESS"}, firewall="f").message
    )


def test_a_connectors_own_rule_is_left_alone(compute):
    name = compute_name("firewalls", "demo", "global", None, "aet-x")
    body = {"network": f"{LINK}/global/networks/default", "direction": "INGRESS", "allowed": [TCP]}
    compute.put(Resource(name, 3, NOW, body, {AUTOMATIC: "projects/demo/locations/r/connectors/c"}))
    for method in ("firewalls.delete", "firewalls.patch", "firewalls.update"):
        message = compute.in_use(method, {"disabled": True}, firewall="aet-x")
        assert message.endswith("by 'projects/demo/locations/r/connectors/c'")


def test_every_stored_rule_can_be_read_for_the_network():
    compute = with_default_network()
    rules = {r.name.id: FirewallRule.of(r) for r in compute.world.all("compute.firewalls")}
    internal = rules["default-allow-internal"]
    assert [each.protocol for each in internal.traffic] == [6, 17, 1]
    assert str(internal.sources[0]) == "10.128.0.0/9"
    assert internal.reference == "network:default/firewall:default-allow-internal"


def test_a_rule_goes():
    compute = Compute()
    compute.network("net")
    insert(compute, network="net")
    compute("firewalls.delete", firewall="f")
    assert compute("firewalls.list") == []
