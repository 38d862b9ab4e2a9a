"""Static addresses."""

import pytest
from tests.compute_calls import LINK, REGION, Compute, auto_nat, manual_nat


@pytest.fixture
def compute():
    made = Compute()
    made.network("net")
    return made


def get(compute, name, region=REGION):
    return compute("addresses.get", region=region, address=name)


def test_an_external_address_comes_from_the_pool_and_is_reserved_at_once(compute):
    operation = compute("addresses.insert", {"name": "ip"}, region=REGION)
    shown = get(compute, "ip")
    assert operation.status == "DONE"
    assert shown == {
        "kind": "compute#address",
        "id": shown["id"],
        "creationTimestamp": shown["creationTimestamp"],
        "name": "ip",
        "description": "",
        "address": "203.0.113.1",
        "addressType": "EXTERNAL",
        "networkTier": "PREMIUM",
        "status": "RESERVED",
        "labelFingerprint": shown["labelFingerprint"],
        "region": f"{LINK}/regions/{REGION}",
        "selfLink": f"{LINK}/regions/{REGION}/addresses/ip",
    }


def test_the_first_free_address_is_taken_over_all_regions_and_projects(compute):
    assert compute.address("a") == "203.0.113.1"
    assert compute.address("b", region="us-central1") == "203.0.113.2"
    compute("globalAddresses.insert", {"name": "g"})
    compute("addresses.insert", {"name": "other"}, region=REGION, project="second")
    assert compute.address("c") == "203.0.113.5"
    compute("addresses.delete", region=REGION, address="a")
    assert compute.address("d") == "203.0.113.1"


def test_a_wanted_address_must_be_in_the_pool_and_free(compute):
    assert compute.address("a", address="203.0.113.77") == "203.0.113.77"
    for wanted, words in (
        ("203.0.113.77", "is already being used by another resource"),
        ("8.8.8.8", "203.0.113.0/24"),
        ("203.0.113.255", "203.0.113.0/24"),
        ("word", "Must be an IPv4 address"),
    ):
        refusal = compute.refused("addresses.insert", {"name": "b", "address": wanted}, region=REGION)
        assert words in refusal.message


def test_an_empty_pool_is_a_quota_error(compute):
    for index in range(254):
        compute("addresses.insert", {"name": f"ip-{index}"}, region=REGION)
    refusal = compute.refused("addresses.insert", {"name": "more"}, region=REGION)
    assert (refusal.code, refusal.reason) == (403, "quotaExceeded")


def test_an_internal_address_is_the_first_usable_one_of_its_subnetwork(compute):
    compute.subnetwork("s", "10.0.0.0/29")
    assert compute.address("a", addressType="INTERNAL", subnetwork="s") == "10.0.0.2"
    assert get(compute, "a")["purpose"] == "GCE_ENDPOINT"
    assert get(compute, "a")["subnetwork"] == f"{LINK}/regions/{REGION}/subnetworks/s"


def test_a_full_subnetwork_says_so_in_googles_words(compute):
    compute.subnetwork("s", "10.0.0.0/29")
    for index in range(4):
        compute.address(f"a{index}", addressType="INTERNAL", subnetwork="s")
    body = {"name": "more", "addressType": "INTERNAL", "subnetwork": "s"}
    assert compute.refused("addresses.insert", body, region=REGION).message.startswith(
        f"IP space of 'projects/demo/regions/{REGION}/subnetworks/s' is exhausted."
    )


@pytest.mark.parametrize(
    "wanted", ["10.0.0.0", "10.0.0.1", "10.0.0.254", "10.0.0.255", "10.0.1.9", "10.0.0.9"]
)
def test_an_internal_address_must_be_inside_usable_and_free(compute, wanted):
    compute.subnetwork("s", "10.0.0.0/24")
    compute.address("taken", addressType="INTERNAL", subnetwork="s", address="10.0.0.9")
    body = {"name": "a", "addressType": "INTERNAL", "subnetwork": "s", "address": wanted}
    assert compute.refused("addresses.insert", body, region=REGION).code == 400


def test_an_internal_address_is_of_a_subnetwork_in_its_own_region(compute):
    compute.subnetwork("far", "10.9.0.0/24", region="us-central1")
    far = "regions/us-central1/subnetworks/far"
    body = {"name": "a", "addressType": "INTERNAL", "subnetwork": f"{LINK}/{far}"}
    error = compute.refused("addresses.insert", body, region=REGION)
    assert (error.code, error.reason) == (400, "invalid")
    assert error.message.startswith(f"Invalid value for field 'resource.subnetwork': 'projects/demo/{far}'.")
    assert compute.address("b", region="us-central1", addressType="INTERNAL", subnetwork="far") == "10.9.0.2"


def test_a_range_for_peering_is_clear_of_the_network(compute):
    compute.subnetwork("s", "10.0.0.0/16")
    body = {
        "name": "psa",
        "addressType": "INTERNAL",
        "purpose": "VPC_PEERING",
        "prefixLength": 16,
        "network": "net",
    }
    compute("globalAddresses.insert", body)
    shown = compute("globalAddresses.get", address="psa")
    assert (shown["address"], shown["prefixLength"]) == ("10.1.0.0", 16)
    clash = {"name": "t", "ipCidrRange": "10.1.2.0/24", "network": "net"}
    assert (
        "conflicts with reserved range 'psa'"
        in compute.refused("subnetworks.insert", clash, region=REGION).message
    )


def test_an_address_that_a_gateway_uses_shows_its_router_and_stays(compute):
    compute.address("ip")
    compute.router(nats=[manual_nat("ip")])
    shown = get(compute, "ip")
    assert shown["status"] == "IN_USE"
    assert shown["users"] == [f"{LINK}/regions/{REGION}/routers/router"]
    assert compute("addresses.list", region=REGION) == [shown]
    assert compute("addresses.aggregatedList") == [shown]
    assert compute.in_use("addresses.delete", region=REGION, address="ip") == (
        f"The address resource 'projects/demo/regions/{REGION}/addresses/ip' is already being used by "
        f"'projects/demo/regions/{REGION}/routers/router'"
    )


def test_an_address_is_free_again_when_its_gateway_is_gone(compute):
    compute.address("ip")
    compute.router(nats=[manual_nat("ip")])
    compute("routers.patch", {"nats": []}, region=REGION, router="router")
    assert get(compute, "ip")["status"] == "RESERVED"
    compute("addresses.delete", region=REGION, address="ip")


def test_a_gateways_own_address_cannot_be_deleted(compute):
    compute.router(nats=[auto_nat()])
    (own,) = compute("addresses.list", region=REGION)
    assert own["purpose"] == "NAT_AUTO"
    message = compute.in_use("addresses.delete", region=REGION, address=own["name"])
    assert message.endswith(f"by 'projects/demo/regions/{REGION}/routers/router'")


def test_labels_change_only_with_the_present_fingerprint(compute):
    compute.address("ip", labels={"team": "a"})
    old = get(compute, "ip")["labelFingerprint"]
    body = {"labels": {"team": "b"}, "labelFingerprint": old}
    assert compute("addresses.setLabels", body, region=REGION, resource="ip").status == "DONE"
    assert get(compute, "ip")["labels"] == {"team": "b"}
    refusal = compute.refused("addresses.setLabels", body, region=REGION, resource="ip")
    assert (refusal.code, refusal.message) == (
        412,
        "Labels fingerprint either invalid or resource labels have changed",
    )


def test_ipv6_is_refused_by_name(compute):
    refusal = compute.refused("globalAddresses.insert", {"name": "six", "ipVersion": "IPV6"})
    assert refusal.status == "UNIMPLEMENTED"
    assert "ipVersion" in refusal.message


def test_the_global_list_holds_global_addresses_only(compute):
    compute.address("a")
    compute("globalAddresses.insert", {"name": "g"})
    assert [each["name"] for each in compute("globalAddresses.list")] == ["g"]
    assert [each["name"] for each in compute("addresses.aggregatedList")] == ["g", "a"]
