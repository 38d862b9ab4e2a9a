"""Cloud Routers and their NAT gateways."""

import pytest
from tests.compute_calls import LINK, REGION, Compute, auto_nat, manual_nat, only

from fogbank.resources.compute import AUTO_NAT_ADDRESSES, Router
from fogbank.resources.names import compute_name

WHERE = {"region": REGION, "router": "router"}


@pytest.fixture
def compute():
    made = Compute()
    made.network("net")
    made.subnetwork("s", "10.124.0.0/28")
    made.address("ip")
    return made


def nats(compute):
    return compute("routers.get", **WHERE).get("nats", [])


def gateways(compute):
    return Router.of(compute.world.get(compute_name("routers", "demo", "regions", REGION, "router"))).nats


def refused_nat(compute, *entries):
    body = {"name": "router", "network": "net", "nats": list(entries)}
    return compute.refused("routers.insert", body, region=REGION)


def test_a_router_without_gateways_needs_nothing_from_the_network(compute):
    assert compute.router().status == "DONE"
    shown = compute("routers.get", **WHERE)
    assert shown == {
        "kind": "compute#router",
        "id": shown["id"],
        "creationTimestamp": shown["creationTimestamp"],
        "name": "router",
        "network": f"{LINK}/global/networks/net",
        "region": f"{LINK}/regions/{REGION}",
        "selfLink": f"{LINK}/regions/{REGION}/routers/router",
        "encryptedInterconnectRouter": False,
    }


def test_a_gateway_comes_with_a_patch_that_echoes_the_whole_router(compute):
    compute.router()
    body = compute("routers.get", **WHERE) | {"nats": [manual_nat("ip", **only("s"))]}
    operation = compute("routers.patch", body, **WHERE)
    assert (operation.status, operation.type) == ("RUNNING", "patch")
    assert nats(compute) == [
        {
            "name": "nat",
            "type": "PUBLIC",
            "natIpAllocateOption": "MANUAL_ONLY",
            "natIps": [f"{LINK}/regions/{REGION}/addresses/ip"],
            "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
            "subnetworks": [
                {
                    "name": f"{LINK}/regions/{REGION}/subnetworks/s",
                    "sourceIpRangesToNat": ["PRIMARY_IP_RANGE"],
                }
            ],
            "autoNetworkTier": "PREMIUM",
            "enableEndpointIndependentMapping": False,
            "endpointTypes": ["ENDPOINT_TYPE_VM"],
            "effectiveTcpTimeWaitTimeoutSec": 120,
        }
    ]


def test_what_is_read_can_be_patched_back(compute):
    compute.router(nats=[manual_nat("ip", minPortsPerVm=128, logConfig={"enable": True})])
    before = compute("routers.get", **WHERE)
    compute("routers.patch", before, **WHERE)
    assert compute("routers.get", **WHERE) == before
    assert nats(compute)[0]["logConfig"] == {"enable": True, "filter": "ALL"}


@pytest.mark.parametrize(
    "form",
    [
        "https://compute.googleapis.com/compute/v1/projects/demo/regions/{}",
        "projects/demo/regions/{}",
        "regions/{}",
    ],
)
def test_every_form_of_an_address_comes_back_as_one_link(compute, form):
    reference = f"{form.format(REGION)}/addresses/ip"
    compute.router(nats=[manual_nat("ip") | {"natIps": [reference]}])
    assert nats(compute)[0]["natIps"] == [f"{LINK}/regions/{REGION}/addresses/ip"]


def test_a_patch_without_gateways_leaves_them(compute):
    compute.router(nats=[manual_nat("ip")])
    compute("routers.patch", {"description": "new"}, **WHERE)
    assert len(nats(compute)) == 1
    assert compute("routers.get", **WHERE)["description"] == "new"


def test_an_update_replaces_the_router(compute):
    compute.router(nats=[manual_nat("ip")])
    compute("routers.update", {"name": "router", "network": "net"}, **WHERE)
    assert nats(compute) == []


def test_a_preview_changes_nothing(compute):
    compute.router()
    before = compute.world
    shown = compute("routers.preview", {"nats": [auto_nat()]}, **WHERE)
    assert shown["resource"]["nats"][0]["name"] == "nat"
    assert compute.world == before


def test_an_automatic_gateway_takes_an_address_and_gives_it_back(compute):
    compute.router(nats=[auto_nat()])
    own = next(each for each in compute("addresses.list", region=REGION) if each["name"] != "ip")
    assert own["name"].startswith("nat-auto-ip-")
    assert (own["purpose"], own["status"], own["address"]) == ("NAT_AUTO", "IN_USE", "203.0.113.2")
    compute("routers.patch", {"nats": [auto_nat(minPortsPerVm=128)]}, **WHERE)
    assert own in compute("addresses.list", region=REGION)
    compute("routers.patch", {"nats": [manual_nat("ip")]}, **WHERE)
    assert [each["name"] for each in compute("addresses.list", region=REGION)] == ["ip"]


def test_a_router_takes_its_gateways_and_their_own_addresses_away(compute):
    compute.router(nats=[auto_nat()])
    compute("routers.delete", **WHERE)
    assert [each["name"] for each in compute("addresses.list", region=REGION)] == ["ip"]


def test_two_automatic_gateways_have_different_addresses(compute):
    compute.subnetwork("t", "10.125.0.0/28")
    compute.router(nats=[auto_nat("one", **only("s")), auto_nat("two", **only("t"))])
    router = compute.world.get(compute_name("routers", "demo", "regions", REGION, "router"))
    held = router.private[AUTO_NAT_ADDRESSES]
    found = {each["address"] for each in compute("addresses.list", region=REGION)}
    assert (len(held), len(found)) == (2, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Nat"}, "resource.nats[0].name"),
        ({"natIpAllocateOption": None}, "resource.nats[0].natIpAllocateOption"),
        ({"natIpAllocateOption": "AUTO_ONLY"}, "AUTO_ONLY chooses the addresses itself"),
        ({"natIps": []}, "resource.nats[0].natIps"),
        ({"natIps": ["missing"]}, "addresses/missing' was not found"),
        ({"natIps": ["ip", "ip"]}, "given twice"),
        ({"drainNatIps": ["ip"]}, "resource.nats[0].drainNatIps[0]"),
        ({"sourceSubnetworkIpRangesToNat": None}, "resource.nats[0].sourceSubnetworkIpRangesToNat"),
        ({"sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS"}, "resource.nats[0].subnetworks"),
        (only("missing"), "subnetworks/missing' was not found"),
        (only("s", "s"), "already configured for NAT"),
        ({"subnetworks": [{"name": "s"}]}, "resource.nats[0].subnetworks"),
        ({"minPortsPerVm": 1}, "resource.nats[0].minPortsPerVm"),
        ({"udpIdleTimeoutSec": 0}, "resource.nats[0].udpIdleTimeoutSec"),
        ({"logConfig": {"enable": True, "filter": "SOME"}}, "resource.nats[0].logConfig.filter"),
        (
            only(subnetworks=[{"name": "s", "sourceIpRangesToNat": ["ALL_IP_RANGES", "PRIMARY_IP_RANGE"]}]),
            "sourceIpRangesToNat",
        ),
        (
            only(subnetworks=[{"name": "s", "sourceIpRangesToNat": ["LIST_OF_SECONDARY_IP_RANGES"]}]),
            "secondaryIpRangeNames",
        ),
    ],
)
def test_a_gateway_that_makes_no_sense_is_refused(compute, change, words):
    refusal = refused_nat(compute, manual_nat("ip") | change)
    assert refusal.code in {400, 404}
    assert words in refusal.message


def test_what_belongs_to_another_project_cannot_be_used(compute):
    other = compute_name("addresses", "other", "regions", REGION, "ip")
    network = compute_name("networks", "other", "global", None, "default")
    of_another = {"name": "r", "network": network.self_link}
    for refusal, field, name in (
        (refused_nat(compute, manual_nat() | {"natIps": [other.self_link]}), "nats[0].natIps[0]", other),
        (compute.refused("routers.insert", of_another, region=REGION), "network", network),
    ):
        assert refusal.code == 400
        assert refusal.message == (
            f"Invalid value for field 'resource.{field}': '{name.path}'. "
            "Cross project referencing is not allowed for this resource."
        )


def rule(number=1, match="destination.ip == '192.0.2.1'", active=("second",), **action):
    links = [f"regions/{REGION}/addresses/{each}" for each in active]
    return {"ruleNumber": number, "match": match, "action": {"sourceNatActiveIps": links} | action}


def test_a_gateway_with_rules_uses_their_addresses_and_shows_them(compute):
    compute.address("second")
    match = "inIpRange(destination.ip, '192.0.2.0/25') || destination.ip == '192.0.2.200'"
    compute.router(nats=[manual_nat("ip", rules=[rule(7, match)])])
    (shown,) = nats(compute)[0]["rules"]
    second = f"{LINK}/regions/{REGION}/addresses/second"
    assert shown == {"ruleNumber": 7, "match": match, "action": {"sourceNatActiveIps": [second]}}
    assert compute("addresses.get", address="second", region=REGION)["status"] == "IN_USE"
    (gateway,) = Router.of(
        compute.world.get(compute_name("routers", "demo", "regions", REGION, "router"))
    ).nats
    assert [str(each) for each in gateway.rules[0].destinations] == ["192.0.2.0/25", "192.0.2.200/32"]


def test_an_address_of_a_rule_can_be_drained_once_it_was_used(compute):
    compute.address("second")
    compute.address("third")
    drained = rule(active=("third",), sourceNatDrainIps=[f"regions/{REGION}/addresses/second"])
    assert "can be drained" in refused_nat(compute, manual_nat("ip", rules=[drained])).message
    compute.router(nats=[manual_nat("ip", rules=[rule()])])
    compute("routers.patch", {"nats": [manual_nat("ip", rules=[drained])]}, **WHERE)
    action = nats(compute)[0]["rules"][0]["action"]
    assert [link.rpartition("/")[2] for link in action["sourceNatDrainIps"]] == ["second"]


def test_a_rule_may_have_no_address_for_new_flows(compute):
    compute.address("second")
    compute.router(nats=[manual_nat("ip", rules=[rule()])])
    drained = rule(active=(), sourceNatDrainIps=[f"regions/{REGION}/addresses/second"])
    compute("routers.patch", {"nats": [manual_nat("ip", rules=[drained])]}, **WHERE)
    assert list(nats(compute)[0]["rules"][0]["action"]) == ["sourceNatDrainIps"]
    silent = {"ruleNumber": 3, "match": "destination.ip == '192.0.2.9'"}
    compute("routers.patch", {"nats": [manual_nat("ip", rules=[silent])]}, **WHERE)
    assert nats(compute)[0]["rules"] == [silent]
    (gateway,) = Router.of(
        compute.world.get(compute_name("routers", "demo", "regions", REGION, "router"))
    ).nats
    assert gateway.rules[0].addresses == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rules": [rule(65001)]}, "rules[0].ruleNumber"),
        ({"rules": [rule(), rule()]}, "rules[1].ruleNumber"),
        ({"rules": [rule(match="source.ip == '10.0.0.1'")]}, "rules[0].match"),
        ({"rules": [rule(match="destination.ip == '10.0.0.1/8'")]}, "rules[0].match"),
        ({"rules": [rule(match="nexthop.is_hybrid")]}, "rules[0].match"),
        ({"rules": [rule(match="")]}, "rules[0].match"),
        ({"rules": [rule(active=("ip",))]}, "used twice"),
        ({"rules": [rule(), rule(2)]}, "overlaps"),
        ({"rules": [rule(), rule(2, "inIpRange(destination.ip, '192.0.2.0/24')")]}, "overlaps"),
        ({"rules": [rule()], "enableEndpointIndependentMapping": True}, "enableEndpointIndependentMapping"),
        ({"rules": [rule()], "natIpAllocateOption": "AUTO_ONLY", "natIps": []}, "nats[0].rules"),
        ({"enableDynamicPortAllocation": True, "minPortsPerVm": 16}, "nats[0].minPortsPerVm"),
        ({"enableDynamicPortAllocation": True, "minPortsPerVm": 100}, "nats[0].minPortsPerVm"),
        ({"enableDynamicPortAllocation": True, "maxPortsPerVm": 32}, "nats[0].maxPortsPerVm"),
        ({"enableDynamicPortAllocation": True, "maxPortsPerVm": 100}, "nats[0].maxPortsPerVm"),
        (
            {"enableDynamicPortAllocation": True, "minPortsPerVm": 64, "maxPortsPerVm": 64},
            "nats[0].maxPortsPerVm",
        ),
        (
            {"enableDynamicPortAllocation": True, "enableEndpointIndependentMapping": True},
            "nats[0].enableEndpointIndependentMapping",
        ),
    ],
)
def test_what_rules_ports_and_mappings_cannot_be_is_refused(compute, change, words):
    compute.address("second")
    refusal = refused_nat(compute, manual_nat("ip") | change)
    assert refusal.code == 400
    assert words in refusal.message


def test_a_dynamic_gateway_shows_its_limits_and_a_fixed_mapping_shows_itself(compute):
    compute.subnetwork("t", "10.125.0.0/28")
    compute.address("second")
    dynamic = {"enableDynamicPortAllocation": True, "minPortsPerVm": 32, "maxPortsPerVm": 128}
    compute.router(
        nats=[
            manual_nat("ip", name="one", **only("s"), **dynamic),
            manual_nat("second", name="two", **only("t"), enableEndpointIndependentMapping=True),
        ]
    )
    one, two = nats(compute)
    assert one.items() >= dynamic.items()
    assert (two["enableEndpointIndependentMapping"], one["enableEndpointIndependentMapping"]) == (True, False)
    (gateway, _) = Router.of(
        compute.world.get(compute_name("routers", "demo", "regions", REGION, "router"))
    ).nats
    assert (gateway.ports, gateway.most_ports, gateway.dynamic) == (32, 128, True)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "PRIVATE"},
        {"endpointTypes": ["ENDPOINT_TYPE_SWG"]},
        {"sourceSubnetworkIpRangesToNat64": "ALL_IPV6_SUBNETWORKS"},
    ],
)
def test_what_the_network_cannot_do_yet_is_refused_by_name(compute, change):
    refusal = refused_nat(compute, manual_nat("ip") | change)
    assert refusal.status == "UNIMPLEMENTED"
    assert next(iter(change)) in refusal.message


def test_fields_that_equal_their_defaults_are_welcome(compute):
    defaults = {
        "type": "PUBLIC",
        "enableDynamicPortAllocation": False,
        "enableEndpointIndependentMapping": False,
        "rules": [],
        "endpointTypes": ["ENDPOINT_TYPE_VM"],
        "drainNatIps": [],
        "subnetworks": [],
    }
    compute.router(nats=[manual_nat("ip") | defaults])


def test_an_internal_address_is_no_nat_address(compute):
    compute.address("inside", addressType="INTERNAL", subnetwork="s")
    assert "external" in refused_nat(compute, manual_nat("inside")).message


def test_a_router_names_its_authentication_keys_and_never_shows_them(compute):
    key = {"name": "one", "key": "secret"}
    body = {"name": "r", "network": "global/networks/net", "md5AuthenticationKeys": [key]}
    compute("routers.insert", body, region=REGION)
    shown = compute("routers.get", region=REGION, router="r")
    assert shown["md5AuthenticationKeys"] == [{"name": "one"}]
    assert "secret" not in str(compute.world.all("compute.routers"))


@pytest.mark.parametrize("asn", [12, 64511, 65535, 4199999999, 4294967295])
def test_a_public_asn_is_refused(compute, asn):
    body = {"name": "r", "network": "global/networks/net", "bgp": {"asn": asn}}
    refusal = compute.refused("routers.insert", body, region=REGION)
    assert refusal.message.startswith(f"Invalid value for field 'resource.bgp.asn': '{asn}'. Must be")


@pytest.mark.parametrize("asn", [64512, 65534, 4200000000, 4294967294, 16550])
def test_a_private_asn_is_kept(compute, asn):
    body = {"name": "r", "network": "global/networks/net", "bgp": {"asn": asn}}
    compute("routers.insert", body, region=REGION)
    assert compute("routers.get", region=REGION, router="r")["bgp"]["asn"] == asn


def test_an_address_serves_one_gateway(compute):
    compute.subnetwork("t", "10.125.0.0/28")
    compute.router("first", nats=[manual_nat("ip", **only("s"))])
    refusal = refused_nat(compute, manual_nat("ip", **only("t")))
    assert refusal.message == (
        f"The address resource 'projects/demo/regions/{REGION}/addresses/ip' is already being used by "
        f"'projects/demo/regions/{REGION}/routers/first'"
    )


def test_a_range_is_served_by_one_gateway(compute):
    compute.router("first", nats=[auto_nat(**only("s"))])
    assert "already configured for NAT 'nat'" in refused_nat(compute, auto_nat(**only("s"))).message


def test_a_gateway_for_all_subnetworks_bears_no_other(compute):
    compute.router("first", nats=[auto_nat(**only("s"))])
    assert refused_nat(compute, auto_nat()).reason == "invalid"


def test_gateways_of_other_regions_and_networks_do_not_mind_one_another(compute):
    compute.network("other")
    compute.router("here", nats=[auto_nat()])
    compute.router("there", nats=[auto_nat()], region="us-central1")
    compute.router("elsewhere", network="other", nats=[auto_nat()])


def test_a_subnetwork_of_another_network_is_refused(compute):
    compute.network("other")
    compute.subnetwork("t", "10.0.0.0/24", network="other")
    assert "another network" in refused_nat(compute, auto_nat(**only("t"))).message


def test_an_address_is_drained_in_one_patch(compute):
    compute.address("second")
    compute.router(nats=[manual_nat("ip", "second")])
    compute("routers.patch", {"nats": [manual_nat("second", drainNatIps=["ip"])]}, **WHERE)
    assert nats(compute)[0]["drainNatIps"] == [f"{LINK}/regions/{REGION}/addresses/ip"]
    assert compute("addresses.get", region=REGION, address="ip")["status"] == "IN_USE"
    compute("routers.patch", {"nats": [manual_nat("second", "ip")]}, **WHERE)
    assert "drainNatIps" not in nats(compute)[0]


def test_bgp_settings_are_kept_and_peers_refused(compute):
    compute("routers.insert", {"name": "router", "network": "net", "bgp": {"asn": 64514}}, region=REGION)
    assert compute("routers.get", **WHERE)["bgp"] == {
        "asn": 64514,
        "advertiseMode": "DEFAULT",
        "keepaliveInterval": 20,
    }
    assert compute.refused("routers.patch", {"bgpPeers": [{"name": "x"}]}, **WHERE).status == "UNIMPLEMENTED"
    compute("routers.patch", {"bgp": None}, **WHERE)
    assert "bgp" not in compute("routers.get", **WHERE)


def test_a_router_does_not_move_to_another_network(compute):
    compute.network("other")
    compute.router()
    assert "resource.network" in compute.refused("routers.patch", {"network": "other"}, **WHERE).message
