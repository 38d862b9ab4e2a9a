"""Subnetworks."""

import pytest
from tests.compute_calls import LINK, REGION, Compute, auto_nat, only

from fogbank.errors import ApiError
from fogbank.services.compute.bodies import is_current


@pytest.fixture
def compute():
    made = Compute()
    made.network("net")
    return made


def get(compute, name="s"):
    return compute("subnetworks.get", region=REGION, subnetwork=name)


def test_a_subnetwork_has_googles_defaults(compute):
    compute.subnetwork("s", "10.124.0.0/28")
    shown = get(compute)
    assert shown == {
        "kind": "compute#subnetwork",
        "id": shown["id"],
        "creationTimestamp": shown["creationTimestamp"],
        "name": "s",
        "network": f"{LINK}/global/networks/net",
        "ipCidrRange": "10.124.0.0/28",
        "gatewayAddress": "10.124.0.1",
        "region": f"{LINK}/regions/{REGION}",
        "selfLink": f"{LINK}/regions/{REGION}/subnetworks/s",
        "privateIpGoogleAccess": False,
        "privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS",
        "purpose": "PRIVATE",
        "stackType": "IPV4_ONLY",
        "state": "READY",
        "fingerprint": shown["fingerprint"],
    }


@pytest.mark.parametrize(
    "reference",
    [
        "https://compute.googleapis.com/compute/v1/projects/demo/global/networks/net",
        "https://www.googleapis.com/compute/v1/projects/demo/global/networks/net",
        "projects/demo/global/networks/net",
        "global/networks/net",
        "net",
    ],
)
def test_every_form_of_a_reference_comes_back_as_one_link(compute, reference):
    compute(
        "subnetworks.insert", {"name": "s", "ipCidrRange": "10.0.0.0/24", "network": reference}, region=REGION
    )
    assert get(compute)["network"] == f"{LINK}/global/networks/net"


def test_a_network_that_does_not_exist_is_not_found(compute):
    body = {"name": "s", "ipCidrRange": "10.0.0.0/24", "network": "missing"}
    refusal = compute.refused("subnetworks.insert", body, region=REGION)
    assert (refusal.code, refusal.message) == (
        404,
        "The resource 'projects/demo/global/networks/missing' was not found",
    )


def test_a_region_that_google_does_not_have_is_refused(compute):
    body = {"name": "s", "ipCidrRange": "10.0.0.0/24", "network": "net"}
    assert compute.refused("subnetworks.insert", body, region="moon-north1").message == (
        "Invalid value for field 'region': 'moon-north1'. Unknown region."
    )


@pytest.mark.parametrize(
    "cidr",
    [
        "10.0.0.1/24",
        "10.0.0.0/30",
        "8.0.0.0/3",
        "169.254.0.0/24",
        "127.0.0.0/8",
        "224.0.0.0/24",
        "word",
        "::/64",
    ],
)
def test_a_range_that_google_prohibits_is_refused(compute, cidr):
    body = {"name": "s", "ipCidrRange": cidr, "network": "net"}
    refusal = compute.refused("subnetworks.insert", body, region=REGION)
    assert refusal.message.startswith(f"Invalid value for field 'resource.ipCidrRange': '{cidr}'. ")


def test_ranges_of_one_network_do_not_overlap_in_any_region(compute):
    compute.subnetwork("first", "10.0.0.0/16", region="us-central1")
    body = {"name": "s", "ipCidrRange": "10.0.3.0/24", "network": "net"}
    refusal = compute.refused("subnetworks.insert", body, region=REGION)
    assert refusal.message == (
        "Invalid value for field 'resource.ipCidrRange': '10.0.3.0/24'. Invalid IPCidrRange: 10.0.3.0/24 "
        "conflicts with existing subnetwork 'first' in region 'us-central1'."
    )
    assert (refusal.code, refusal.reason) == (400, "invalid")


def test_networks_may_hold_the_same_range(compute):
    compute.network("other")
    compute.subnetwork("a", "10.0.0.0/24")
    compute.subnetwork("b", "10.0.0.0/24", network="other")
    assert get(compute, "a")["ipCidrRange"] == get(compute, "b")["ipCidrRange"]


def test_an_auto_network_keeps_its_block_for_itself(compute):
    compute.network("auto", auto=True)
    body = {"name": "s", "ipCidrRange": "10.255.0.0/24", "network": "auto"}
    assert "conflicts with" in compute.refused("subnetworks.insert", body, region=REGION).message
    compute.subnetwork("s", "10.5.0.0/24", network="auto")


def test_secondary_ranges_are_kept_and_may_not_overlap_anything(compute):
    pods = {"rangeName": "pods", "ipCidrRange": "10.4.0.0/14"}
    compute.subnetwork("s", "10.0.0.0/24", secondaryIpRanges=[pods])
    assert get(compute)["secondaryIpRanges"] == [pods]
    for clash in (
        {"rangeName": "x", "ipCidrRange": "10.5.0.0/24"},
        {"rangeName": "x", "ipCidrRange": "10.1.0.0/24"},
    ):
        body = {"name": "t", "ipCidrRange": "10.1.0.0/16", "network": "net", "secondaryIpRanges": [clash]}
        refusal = compute.refused("subnetworks.insert", body, region=REGION)
        assert "'resource.secondaryIpRanges[0].ipCidrRange'" in refusal.message


def test_flow_logs_get_googles_defaults(compute):
    compute.subnetwork("s", "10.0.0.0/24", logConfig={"enable": True})
    assert get(compute)["logConfig"] == {
        "enable": True,
        "aggregationInterval": "INTERVAL_5_SEC",
        "flowSampling": 0.5,
        "metadata": "EXCLUDE_ALL_METADATA",
    }


def test_flow_logs_that_were_switched_off_are_shown_so(compute):
    compute.subnetwork("s", "10.0.0.0/24", logConfig={"enable": False})
    assert get(compute)["logConfig"] == {"enable": False}


def test_a_patch_needs_the_present_fingerprint(compute):
    compute.subnetwork("s", "10.0.0.0/24")
    stale = get(compute)["fingerprint"]
    assert compute.refused("subnetworks.patch", {}, region=REGION, subnetwork="s").reason == "required"
    change = {"fingerprint": stale, "logConfig": {"enable": True}}
    compute("subnetworks.patch", change, region=REGION, subnetwork="s")
    refusal = compute.refused("subnetworks.patch", change, region=REGION, subnetwork="s")
    assert (refusal.code, refusal.reason) == (412, "conditionNotMet")


def test_a_fingerprint_may_come_back_in_either_kind_of_base64():
    """Clients decode and encode it again, gcloud with hyphens and underscores."""
    assert is_current("7zOvSn_eps-=", "7zOvSn/eps+=")
    assert not is_current("7zOvSn_eps8=", "7zOvSn/eps9=")
    assert not is_current(None, "7zOvSn/eps9=")


def test_a_patch_of_flow_logs_keeps_the_other_settings(compute):
    compute.subnetwork("s", "10.0.0.0/24", logConfig={"enable": True, "flowSampling": 1.0})
    change = {"fingerprint": get(compute)["fingerprint"], "logConfig": {"enable": False}}
    compute("subnetworks.patch", change, region=REGION, subnetwork="s")
    assert get(compute)["logConfig"]["flowSampling"] == 1.0
    assert get(compute)["logConfig"]["enable"] is False


def test_a_patch_with_null_takes_flow_logging_away(compute):
    compute.subnetwork("s", "10.0.0.0/24", logConfig={"enable": True})
    change = {"fingerprint": get(compute)["fingerprint"], "logConfig": None}
    compute("subnetworks.patch", change, region=REGION, subnetwork="s")
    assert get(compute).keys().isdisjoint({"logConfig", "enableFlowLogs"})


def test_a_secondary_range_that_a_gateway_serves_cannot_be_taken_away(compute):
    compute.subnetwork(
        "s", "10.0.0.0/24", secondaryIpRanges=[{"rangeName": "pods", "ipCidrRange": "10.4.0.0/14"}]
    )
    served = {
        "name": f"regions/{REGION}/subnetworks/s",
        "sourceIpRangesToNat": ["LIST_OF_SECONDARY_IP_RANGES"],
        "secondaryIpRangeNames": ["pods"],
    }
    compute.router(nats=[auto_nat(**only(subnetworks=[served]))])
    change = {"fingerprint": get(compute)["fingerprint"], "secondaryIpRanges": []}
    message = compute.in_use("subnetworks.patch", change, region=REGION, subnetwork="s")
    assert message.endswith(f"used by 'projects/demo/regions/{REGION}/routers/router'")


_PODS = {"rangeName": "pods", "ipCidrRange": "10.4.0.0/24"}
_JOBS = {"rangeName": "jobs", "ipCidrRange": "10.5.0.0/24"}


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            [_PODS, {"rangeName": "new", "ipCidrRange": "10.6.0.0/24"}],
            (
                "Invalid value for field 'resource.secondaryIpRanges': ''. Cannot add and remove secondary "
                "IP ranges in the same request. Added ranges: [10.6.0.0/24]. Removed ranges: [10.5.0.0/24]."
            ),
        ),
        (
            [_PODS, {"rangeName": "jobs", "ipCidrRange": "10.6.0.0/24"}],
            (
                "Invalid value for field 'resource.secondaryIpRanges[1].ipCidrRange': '10.6.0.0/24'. "
                "Existing secondary range cannot be modified."
            ),
        ),
        (
            [_PODS | {"rangeName": "jobs"}, _JOBS | {"rangeName": "pods"}],
            (
                "Invalid value for field 'resource.secondaryIpRanges[0].ipCidrRange': '10.4.0.0/24'. "
                "Existing secondary range cannot be modified."
            ),
        ),
        (
            [_PODS, _JOBS | {"rangeName": "new"}],
            (
                "Invalid value for field 'resource.secondaryIpRanges[1].ipCidrRange': '10.5.0.0/24'. "
                f"Invalid IPCidrRange: 10.5.0.0/24 conflicts with existing subnetwork 's' in "
                f"region '{REGION}'."
            ),
        ),
    ],
)
def test_a_patch_alters_no_secondary_range_and_does_not_add_one_while_it_takes_another(
    compute, wanted, words
):
    compute.subnetwork("s", "10.0.0.0/24", secondaryIpRanges=[_PODS, _JOBS])
    change = {"fingerprint": get(compute)["fingerprint"], "secondaryIpRanges": wanted}
    assert compute.refused("subnetworks.patch", change, region=REGION, subnetwork="s").message == words


@pytest.mark.parametrize("wanted", [[_JOBS, _PODS], [_JOBS], []])
def test_a_patch_orders_or_takes_away_secondary_ranges(compute, wanted):
    compute.subnetwork("s", "10.0.0.0/24", secondaryIpRanges=[_PODS, _JOBS])
    change = {"fingerprint": get(compute)["fingerprint"], "secondaryIpRanges": wanted}
    compute("subnetworks.patch", change, region=REGION, subnetwork="s")
    assert get(compute).get("secondaryIpRanges", []) == wanted


def _patch(compute, **change):
    change["fingerprint"] = get(compute)["fingerprint"]
    return compute("subnetworks.patch", change, region=REGION, subnetwork="s")


def test_a_subnetwork_for_the_migration_of_a_peer_becomes_private(compute):
    compute.subnetwork("s", "10.0.0.0/24", purpose="PEER_MIGRATION")
    _patch(compute, purpose="PRIVATE")
    assert get(compute)["purpose"] == "PRIVATE"


def test_the_purpose_of_a_subnetwork_in_use_stays(compute):
    compute.subnetwork("s", "10.0.0.0/24")
    compute.address("ip", addressType="INTERNAL", subnetwork="s")
    with pytest.raises(ApiError, match=r"resource\.purpose"):
        _patch(compute, purpose="PEER_MIGRATION")


def test_a_private_subnetwork_does_not_become_one_for_proxies(compute):
    compute.subnetwork("s", "10.0.0.0/24")
    with pytest.raises(ApiError, match=r"resource\.purpose"):
        _patch(compute, purpose="REGIONAL_MANAGED_PROXY")


def test_how_a_subnetwork_resolves_its_mask_is_kept(compute):
    compute.subnetwork("s", "10.0.0.0/24", resolveSubnetMask="ARP_PRIMARY_RANGE")
    assert get(compute)["resolveSubnetMask"] == "ARP_PRIMARY_RANGE"


def test_a_subnetwork_grows_and_keeps_its_gateway(compute):
    compute.subnetwork("s", "10.8.1.0/24")
    operation = compute(
        "subnetworks.expandIpCidrRange", {"ipCidrRange": "10.8.0.0/23"}, region=REGION, subnetwork="s"
    )
    assert operation.type == "expandIpCidrRange"
    assert (get(compute)["ipCidrRange"], get(compute)["gatewayAddress"]) == ("10.8.0.0/23", "10.8.1.1")


@pytest.mark.parametrize("cidr", ["10.8.1.0/25", "10.8.1.0/24", "10.9.0.0/16", "10.8.0.0/15"])
def test_a_subnetwork_does_not_shrink_move_or_grow_over_another(compute, cidr):
    compute.subnetwork("s", "10.8.1.0/24")
    compute.subnetwork("other", "10.9.0.0/24")
    refusal = compute.refused(
        "subnetworks.expandIpCidrRange", {"ipCidrRange": cidr}, region=REGION, subnetwork="s"
    )
    assert refusal.code == 400


def test_the_subnetwork_of_an_auto_network_grows_to_16_bits_at_most(compute):
    compute.network("auto", auto=True)
    where = {"region": REGION, "subnetwork": "auto"}
    assert (
        compute.refused("subnetworks.expandIpCidrRange", {"ipCidrRange": "10.178.0.0/15"}, **where).code
        == 400
    )
    compute("subnetworks.expandIpCidrRange", {"ipCidrRange": "10.178.0.0/16"}, **where)


def test_private_google_access_is_switched_by_its_own_method(compute):
    compute.subnetwork("s", "10.8.1.0/24")
    before = get(compute)["fingerprint"]
    body = {"privateIpGoogleAccess": True}
    operation = compute("subnetworks.setPrivateIpGoogleAccess", body, region=REGION, subnetwork="s")
    assert operation.type == "setPrivateIpGoogleAccess"
    assert get(compute)["privateIpGoogleAccess"] is True
    assert get(compute)["fingerprint"] != before


def test_the_subnetwork_of_an_auto_network_cannot_be_deleted(compute):
    compute.network("auto", auto=True)
    assert compute.refused("subnetworks.delete", region=REGION, subnetwork="auto").reason == "invalidUsage"


def test_a_subnetwork_with_an_address_stays(compute):
    compute.subnetwork("s", "10.8.1.0/24")
    compute.address("ip", addressType="INTERNAL", subnetwork="s")
    assert compute.in_use("subnetworks.delete", region=REGION, subnetwork="s") == (
        f"The subnetwork resource 'projects/demo/regions/{REGION}/subnetworks/s' is already being used by "
        f"'projects/demo/regions/{REGION}/addresses/ip'"
    )


def test_a_subnetwork_that_nothing_uses_goes(compute):
    compute.subnetwork("s", "10.8.1.0/24")
    compute("subnetworks.delete", region=REGION, subnetwork="s")
    assert compute.refused("subnetworks.get", region=REGION, subnetwork="s").code == 404


def test_lists_hold_a_region_or_all_of_them(compute):
    compute.subnetwork("a", "10.0.0.0/24")
    compute.subnetwork("b", "10.0.1.0/24", region="us-central1")
    assert [each["name"] for each in compute("subnetworks.list", region=REGION)] == ["a"]
    assert [each["name"] for each in compute("subnetworks.aggregatedList")] == ["a", "b"]
    assert [each["ipCidrRange"] for each in compute("subnetworks.listUsable")] == [
        "10.0.0.0/24",
        "10.0.1.0/24",
    ]


def test_a_null_says_the_same_as_an_absent_field_at_any_depth(compute):
    log = {"enable": None, "flowSampling": None}
    compute.subnetwork("s", "10.0.0.0/24", logConfig=log, secondaryIpRanges=None, description=None)
    assert get(compute)["logConfig"] == {"enable": False}
    assert "secondaryIpRanges" not in get(compute)
