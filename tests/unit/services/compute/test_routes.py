"""Routes."""

import pytest
from tests.compute_calls import LINK, REGION, Compute

GATEWAY = "global/gateways/default-internet-gateway"


@pytest.fixture
def compute():
    made = Compute()
    made.network("net")
    made.subnetwork(
        "s", "10.0.0.0/24", secondaryIpRanges=[{"rangeName": "pods", "ipCidrRange": "10.4.0.0/14"}]
    )
    return made


def insert(compute, **body):
    return compute("routes.insert", {"name": "r", "network": "net", "destRange": "8.8.8.0/24"} | body)


def refused(compute, **body):
    whole = {"name": "r", "network": "net", "destRange": "8.8.8.0/24"} | body
    return compute.refused("routes.insert", whole)


def test_a_new_network_leads_to_the_internet(compute):
    default = compute("routes.list")[0]
    assert default["name"].startswith("default-route-r-")
    assert default["description"] == "Default route to the Internet."
    assert (default["destRange"], default["priority"]) == ("0.0.0.0/0", 1000)
    assert default["nextHopGateway"] == f"{LINK}/{GATEWAY}"
    compute("routes.delete", route=default["name"])
    assert all(each["destRange"] != "0.0.0.0/0" for each in compute("routes.list"))


def test_every_range_of_a_subnetwork_has_a_route_as_long_as_it_lives(compute):
    routes = [each for each in compute("routes.list") if "nextHopNetwork" in each]
    assert [(each["destRange"], each["priority"]) for each in routes] == [
        ("10.0.0.0/24", 0),
        ("10.4.0.0/14", 0),
    ]
    assert routes[0] == compute("routes.get", route=routes[0]["name"])
    assert compute.refused("routes.delete", route=routes[0]["name"]).code == 400
    compute("subnetworks.delete", region=REGION, subnetwork="s")
    assert compute.refused("routes.get", route=routes[0]["name"]).code == 404


def test_a_static_route_has_googles_defaults(compute):
    assert insert(compute, nextHopGateway=GATEWAY).status == "RUNNING"
    shown = compute("routes.get", route="r")
    assert shown == {
        "kind": "compute#route",
        "id": shown["id"],
        "creationTimestamp": shown["creationTimestamp"],
        "name": "r",
        "network": f"{LINK}/global/networks/net",
        "destRange": "8.8.8.0/24",
        "priority": 1000,
        "nextHopGateway": f"{LINK}/{GATEWAY}",
        "selfLink": f"{LINK}/global/routes/r",
    }


def test_a_route_to_an_address_that_nobody_has_comes_with_googles_warning(compute):
    insert(compute, nextHopIp="10.0.0.9")
    (warning,) = compute("routes.get", route="r")["warnings"]
    assert warning["code"] == "NEXT_HOP_ADDRESS_NOT_ASSIGNED"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "Exactly one"),
        ({"nextHopGateway": GATEWAY, "nextHopIp": "10.0.0.9"}, "Exactly one"),
        ({"nextHopGateway": "global/gateways/mine"}, "resource.nextHopGateway"),
        ({"nextHopIp": "10.9.0.1"}, "resource.nextHopIp"),
        ({"nextHopIp": "word"}, "resource.nextHopIp"),
        ({"nextHopGateway": GATEWAY, "destRange": "10.0.0.128/25"}, "resource.destRange"),
        ({"nextHopGateway": GATEWAY, "destRange": "10.0.0.0/24"}, "resource.destRange"),
        ({"nextHopGateway": GATEWAY, "destRange": "8.8.8.8/24"}, "resource.destRange"),
        ({"nextHopGateway": GATEWAY, "destRange": None}, "resource.destRange"),
        ({"nextHopGateway": GATEWAY, "priority": -1}, "resource.priority"),
        ({"nextHopGateway": GATEWAY, "tags": ["A"]}, "resource.tags[0]"),
    ],
)
def test_a_route_that_makes_no_sense_is_refused(compute, body, words):
    refusal = refused(compute, **body)
    assert refusal.code == 400
    assert words in refusal.message


def test_the_gateway_of_a_route_is_at_google(compute):
    hop = "https://evil.example/projects/demo/global/gateways/default-internet-gateway"
    body = {"name": "r", "network": "net", "destRange": "1.0.0.0/8", "nextHopGateway": hop}
    assert "The URL is malformed" in compute.refused("routes.insert", body).message


@pytest.mark.parametrize("hop", ["nextHopIlb", "nextHopVpnTunnel"])
def test_next_hops_that_are_not_built_are_refused_by_name(compute, hop):
    refusal = refused(compute, **{hop: "x"})
    assert refusal.status == "UNIMPLEMENTED"
    assert hop in refusal.message


def test_a_route_to_an_instance_wants_one_of_its_network_and_warns_of_one_that_does_not_forward(compute):
    zone = f"{REGION}-a"
    nic = {"subnetwork": f"regions/{REGION}/subnetworks/s"}
    disks = [{"boot": True, "initializeParams": {"sourceImage": "debian-cloud/debian-12"}}]
    for name, forwards in (("plain", False), ("gateway", True)):
        body = {"name": name, "machineType": "e2-micro", "disks": disks, "networkInterfaces": [nic]}
        compute("instances.insert", body | {"canIpForward": forwards}, zone=zone)
    hop = {"nextHopInstance": f"zones/{zone}/instances/plain"}
    insert(compute, name="wrong", **hop)
    (warning,) = compute("routes.get", route="wrong")["warnings"]
    assert warning["code"] == "NEXT_HOP_CANNOT_IP_FORWARD"
    compute.network("other")
    hop = {"nextHopInstance": f"zones/{zone}/instances/gateway"}
    assert "is not on network" in refused(compute, **hop, network="other").message
    assert refused(compute, nextHopInstance=f"zones/{zone}/instances/nobody").code == 404
    insert(compute, **hop)
    shown = compute("routes.get", route="r")
    assert shown["nextHopInstance"] == f"{LINK}/zones/{zone}/instances/gateway"
    assert [each["code"] for each in shown["warnings"]] == ["NEXT_HOP_NOT_RUNNING"]
