"""VPC networks."""

import pytest
from tests.compute_calls import LINK, REGION, Compute, with_default_network


@pytest.fixture
def compute():
    return Compute()


def test_a_custom_network_has_googles_defaults(compute):
    operation = compute.network("net")
    shown = compute("networks.get", network="net")
    assert operation.status == "RUNNING"
    assert operation.type == "insert"
    assert shown == {
        "kind": "compute#network",
        "id": shown["id"],
        "creationTimestamp": "2026-11-21T17:02:03.000-08:00",
        "name": "net",
        "autoCreateSubnetworks": False,
        "routingConfig": {"routingMode": "REGIONAL", "bgpBestPathSelectionMode": "LEGACY"},
        "networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL",
        "selfLink": f"{LINK}/global/networks/net",
        "selfLinkWithId": f"{LINK}/global/networks/{shown['id']}",
    }


def test_an_auto_network_has_a_subnetwork_in_every_region(compute):
    compute.network("net", auto=True)
    links = compute("networks.get", network="net")["subnetworks"]
    seoul = compute("subnetworks.get", region=REGION, subnetwork="net")
    assert len(links) == 42
    assert links == sorted(links)
    assert (seoul["ipCidrRange"], seoul["gatewayAddress"]) == ("10.178.0.0/20", "10.178.0.1")


def test_a_legacy_network_is_refused(compute):
    assert compute.refused("networks.insert", {"name": "old"}).reason == "invalid"


@pytest.mark.parametrize("name", ["", "Net", "1net", "net-", "n" * 64, "a_b"])
def test_a_name_that_compute_does_not_allow_is_refused(compute, name):
    refusal = compute.refused("networks.insert", {"name": name, "autoCreateSubnetworks": False})
    assert refusal.code == 400
    assert "resource.name" in refusal.message


def test_two_networks_cannot_have_one_name(compute):
    compute.network("net")
    refusal = compute.refused("networks.insert", {"name": "net", "autoCreateSubnetworks": True})
    assert (refusal.code, refusal.message) == (
        409,
        "The resource 'projects/demo/global/networks/net' already exists",
    )


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_a_name_in_a_path_that_can_be_neither_name_nor_id_is_refused_with_the_pattern(compute, method):
    refusal = compute.refused(f"networks.{method}", {}, network="Net")
    assert (refusal.code, refusal.message) == (
        400,
        (
            "Invalid value for field 'network': 'Net'. Must be a match of regex "
            "'[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?|[1-9][0-9]{0,19}'"
        ),
    )


@pytest.mark.parametrize("mtu", [1299, 8897])
def test_an_mtu_out_of_bounds_is_refused(compute, mtu):
    body = {"name": "net", "autoCreateSubnetworks": False, "mtu": mtu}
    assert compute.refused("networks.insert", body).message.startswith(
        f"Invalid value for field 'resource.mtu': '{mtu}'."
    )


def test_what_the_network_cannot_do_is_refused_by_name(compute):
    body = {"name": "net", "autoCreateSubnetworks": False, "enableUlaInternalIpv6": True}
    refusal = compute.refused("networks.insert", body)
    assert refusal.status == "UNIMPLEMENTED"
    assert "enableUlaInternalIpv6" in refusal.message


STANDARD = {"routingMode": "GLOBAL", "bgpBestPathSelectionMode": "STANDARD"}


@pytest.mark.parametrize(
    "refined",
    [{"bgpAlwaysCompareMed": True}, {"bgpAlwaysCompareMed": False}, {"bgpInterRegionCost": "DEFAULT"}],
)
def test_the_standard_choice_of_paths_may_be_refined_and_the_legacy_one_not(compute, refined):
    made = {"name": "net", "autoCreateSubnetworks": False, "routingConfig": STANDARD | refined}
    compute("networks.insert", made)
    assert compute("networks.get", network="net")["routingConfig"] == STANDARD | refined
    legacy = {"routingConfig": {"bgpBestPathSelectionMode": "LEGACY"}}
    refusal = compute.refused("networks.patch", legacy, network="net")
    assert "is not supported for LEGACY BGP Best Path Selection algorithm" in refusal.message
    legacy["routingConfig"] |= dict.fromkeys(refined)
    compute("networks.patch", legacy, network="net")
    shown = compute("networks.get", network="net")["routingConfig"]
    assert shown == {"routingMode": "GLOBAL", "bgpBestPathSelectionMode": "LEGACY"}


def test_a_patch_keeps_what_it_does_not_give(compute):
    compute.network("net")
    operation = compute("networks.patch", {"routingConfig": {"routingMode": "GLOBAL"}}, network="net")
    shown = compute("networks.get", network="net")
    assert operation.type == "compute.networks.patch"
    assert shown["routingConfig"] == {"routingMode": "GLOBAL", "bgpBestPathSelectionMode": "LEGACY"}
    assert shown["networkFirewallPolicyEnforcementOrder"] == "AFTER_CLASSIC_FIREWALL"


def test_an_auto_network_becomes_custom_once(compute):
    compute.network("net", auto=True)
    compute("networks.switchToCustomMode", network="net")
    assert compute("networks.get", network="net")["autoCreateSubnetworks"] is False
    assert compute.refused("networks.switchToCustomMode", network="net").code == 400


def test_an_auto_network_takes_everything_that_it_made_away(compute):
    before = compute.world.collections
    compute.network("net", auto=True)
    compute("networks.delete", network="net")
    assert all(not compute.world.collections[kind] for kind in compute.world.collections)
    assert not before


def test_a_custom_network_with_a_subnetwork_stays(compute):
    compute.network("net")
    compute.subnetwork("s", "10.0.0.0/24")
    assert compute.in_use("networks.delete", network="net") == (
        "The network resource 'projects/demo/global/networks/net' is already being used by "
        f"'projects/demo/regions/{REGION}/subnetworks/s'"
    )


@pytest.mark.parametrize(
    ("method", "parameters", "body", "user"),
    [
        ("firewalls", {}, {"allowed": [{"IPProtocol": "icmp"}]}, "global/firewalls/user"),
        ("routers", {"region": REGION}, {}, f"regions/{REGION}/routers/user"),
        (
            "routes",
            {},
            {"destRange": "8.8.8.0/24", "nextHopGateway": "global/gateways/default-internet-gateway"},
            "global/routes/user",
        ),
        (
            "globalAddresses",
            {},
            {"addressType": "INTERNAL", "purpose": "VPC_PEERING", "prefixLength": 24},
            "global/addresses/user",
        ),
    ],
)
def test_a_network_that_something_uses_stays(compute, method, parameters, body, user):
    compute.network("net")
    compute(f"{method}.insert", body | {"name": "user", "network": "global/networks/net"}, **parameters)
    message = compute.in_use("networks.delete", network="net")
    assert message.endswith(f"is already being used by 'projects/demo/{user}'")


def test_the_effective_firewalls_of_a_network_are_its_own_rules():
    compute = with_default_network()
    compute.network("other")
    assert compute("networks.getEffectiveFirewalls", network="other") == {"firewalls": []}
    assert len(compute("networks.getEffectiveFirewalls", network="default")["firewalls"]) == 4


def test_a_new_project_finds_googles_default_network():
    compute = with_default_network()
    network = compute("networks.get", network="default")
    rules = {rule["name"]: rule for rule in compute("firewalls.list")}
    assert network["description"] == "Default network for the project"
    assert len(network["subnetworks"]) == 42
    assert len(compute("routes.list")) == 43
    assert {rule["priority"] for rule in rules.values()} == {65534}
    assert rules["default-allow-internal"]["sourceRanges"] == ["10.128.0.0/9"]
    assert rules["default-allow-ssh"]["sourceRanges"] == ["0.0.0.0/0"]
    assert set(rules) == {f"default-allow-{what}" for what in ("internal", "ssh", "rdp", "icmp")}


def test_networks_list_with_their_subnetworks():
    compute = with_default_network()
    compute.network("another")
    listed = compute("networks.list")
    assert [each["name"] for each in listed] == ["another", "default"]
    assert "subnetworks" not in listed[0]
    assert listed[1] == compute("networks.get", network="default")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("https://www.googleapis.com/compute/v1/", True),
        ("https://compute.googleapis.com/compute/beta/", True),
        ("https://evil.example/compute/v1/", False),
        ("https://googleapis.com.evil.example/", False),
        ("https://evilgoogleapis.com/", False),
    ],
)
def test_a_reference_is_to_something_at_google(compute, host, known):
    compute.network("net")
    body = {"name": "s", "ipCidrRange": "10.0.0.0/24", "network": f"{host}projects/demo/global/networks/net"}
    if known:
        compute("subnetworks.insert", body, region=REGION)
    else:
        refusal = compute.refused("subnetworks.insert", body, region=REGION)
        assert (refusal.code, refusal.reason) == (400, "invalid")
        assert "The URL is malformed" in refusal.message


@pytest.mark.parametrize("method", ["networks.insert", "addresses.insert"])
def test_a_description_is_of_limited_length(compute, method):
    place = {"region": REGION} if method.startswith("addresses") else {}
    body = {"name": "n", "autoCreateSubnetworks": False, "description": "x" * 2048}
    refusal = compute.refused(method, body | {"description": "x" * 2049}, **place)
    assert (refusal.code, refusal.reason) == (400, "invalid")
    compute(method, body, **place)


def test_what_is_called_by_its_id_is_what_has_it(compute):
    compute.network("net")
    network = compute("networks.get", network="net")
    assert compute("networks.get", network=network["id"]) == network
    body = {"name": "s", "ipCidrRange": "10.0.0.0/24", "network": network["selfLinkWithId"]}
    compute("subnetworks.insert", body, region=REGION)
    subnetwork = compute("subnetworks.get", region=REGION, subnetwork="s")
    assert subnetwork["network"] == network["selfLink"]
    by_id = f"regions/{REGION}/subnetworks/{subnetwork['id']}"
    assert compute.address("a", addressType="INTERNAL", subnetwork=by_id) == "10.0.0.2"
    same = {"network": network["selfLinkWithId"], "fingerprint": subnetwork["fingerprint"]}
    compute("subnetworks.patch", same, region=REGION, subnetwork=subnetwork["id"])
    assert compute.refused("networks.get", network="12").code == 404
    elsewhere = compute.refused("subnetworks.get", region="us-central1", subnetwork=subnetwork["id"])
    assert elsewhere.code == 404
    route = compute("routes.list")[0]
    assert compute("routes.get", route=route["id"]) == route
