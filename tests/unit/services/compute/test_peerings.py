"""Peerings of networks."""

import pytest
from tests.compute_calls import LINK, NOW, REGION, Compute

MINE, THEIRS = "10.0.0.0/24", "10.1.0.0/24"


@pytest.fixture
def compute():
    made = Compute()
    made.network("net")
    made.network("peer")
    made.subnetwork("mine", MINE)
    made.subnetwork(
        "theirs", THEIRS, "peer", secondaryIpRanges=[{"rangeName": "pods", "ipCidrRange": "10.2.0.0/20"}]
    )
    return made


def add(compute, network="net", peer="peer", **chosen):
    entry = {"name": f"to-{peer}", "network": f"global/networks/{peer}", "exchangeSubnetRoutes": True}
    return compute("networks.addPeering", {"networkPeering": entry | chosen}, network=network)


def both(compute, mine=None, theirs=None):
    add(compute, **(mine or {}))
    return add(compute, "peer", "net", **(theirs or {}))


def peering(compute, network="net"):
    (found,) = compute("networks.get", network=network)["peerings"]
    return found


def exchanged(compute, network="net", name="to-peer", direction="INCOMING"):
    found = compute(
        "networks.listPeeringRoutes", network=network, peeringName=name, region=REGION, direction=direction
    )
    return {(each["destRange"], each["imported"]) for each in found}


def test_a_peering_waits_for_the_other_side(compute):
    assert add(compute).status == "RUNNING"
    found = peering(compute)
    moment = NOW.isoformat(timespec="milliseconds")
    assert found == {
        "name": "to-peer",
        "network": f"{LINK}/global/networks/peer",
        "state": "INACTIVE",
        "stateDetails": f"[{moment}]: Waiting for peer network to connect.",
        "autoCreateRoutes": True,
        "exchangeSubnetRoutes": True,
        "exportCustomRoutes": False,
        "importCustomRoutes": False,
        "exportSubnetRoutesWithPublicIp": True,
        "importSubnetRoutesWithPublicIp": False,
        "stackType": "IPV4_ONLY",
        "updateStrategy": "INDEPENDENT",
        "connectionStatus": {"updateStrategy": "INDEPENDENT"},
    }
    assert exchanged(compute) == set()
    add(compute, "peer", "net")
    for network in ("net", "peer"):
        found = peering(compute, network)
        assert (found["state"], found["stateDetails"]) == ("ACTIVE", f"[{moment}]: Connected.")
        assert found["peerMtu"] == 1460


def test_one_side_ends_it_for_both(compute):
    both(compute)
    compute("networks.removePeering", {"name": "to-net"}, network="peer")
    assert peering(compute)["state"] == "INACTIVE"
    assert "peerings" not in compute("networks.get", network="peer")
    compute("networks.removePeering", {"name": "to-peer"}, network="net")
    assert "peerings" not in compute("networks.get", network="net")


def test_the_older_form_of_the_request_means_the_same(compute):
    older = {"name": "to-peer", "peerNetwork": f"{LINK}/global/networks/peer", "autoCreateRoutes": True}
    compute("networks.addPeering", older, network="net")
    assert peering(compute)["network"] == f"{LINK}/global/networks/peer"


def test_subnet_routes_are_exchanged_with_every_range(compute):
    both(compute)
    assert exchanged(compute) == {(THEIRS, True), ("10.2.0.0/20", True)}
    assert exchanged(compute, direction="OUTGOING") == {(MINE, True)}
    routes = {each["destRange"]: each for each in compute("routes.list") if "nextHopPeering" in each}
    assert {(each["network"], each["nextHopPeering"]) for each in routes.values()} == {
        (f"{LINK}/global/networks/net", "to-peer"),
        (f"{LINK}/global/networks/peer", "to-net"),
    }
    assert set(routes) == {MINE, THEIRS, "10.2.0.0/20"}
    assert compute("routes.get", route=routes[THEIRS]["name"]) == routes[THEIRS]
    assert compute.refused("routes.delete", route=routes[THEIRS]["name"]).code == 400


def test_public_ranges_are_exchanged_when_both_sides_want_it(compute):
    compute.subnetwork("public", "8.8.0.0/24", "peer")
    both(compute)
    assert ("8.8.0.0/24", False) in exchanged(compute)
    update(compute, importSubnetRoutesWithPublicIp=True)
    assert ("8.8.0.0/24", True) in exchanged(compute)


def test_a_peering_shows_which_further_routes_really_cross(compute):
    both(compute, {"importCustomRoutes": True}, {"importCustomRoutes": True, "exportCustomRoutes": True})
    mine = peering(compute)["connectionStatus"]["trafficConfiguration"]
    theirs = peering(compute, "peer")["connectionStatus"]["trafficConfiguration"]
    assert (mine["importCustomRoutesFromPeer"], mine["exportCustomRoutesToPeer"]) == (True, False)
    assert (theirs["importCustomRoutesFromPeer"], theirs["exportCustomRoutesToPeer"]) == (False, True)


def update(compute, network="net", name="to-peer", **chosen):
    return compute("networks.updatePeering", {"networkPeering": {"name": name} | chosen}, network=network)


def test_static_routes_are_exchanged_when_one_exports_and_the_other_imports(compute):
    compute(
        "routes.insert",
        {"name": "r", "network": "peer", "destRange": "10.50.0.0/16", "nextHopIp": "10.1.0.9"},
    )
    tagged = {
        "name": "t",
        "network": "peer",
        "destRange": "10.51.0.0/16",
        "nextHopIp": "10.1.0.9",
        "tags": ["x"],
    }
    compute("routes.insert", tagged)
    both(compute)
    custom = {(f"10.{n}.0.0/16", taken) for n in (50, 51) for taken in (True, False)} | {("0.0.0.0/0", True)}
    assert not exchanged(compute) & custom
    update(compute, "peer", "to-net", exportCustomRoutes=True)
    assert exchanged(compute) & custom == {("10.50.0.0/16", False)}
    update(compute, importCustomRoutes=True)
    assert exchanged(compute) & custom == {("10.50.0.0/16", True)}


def test_overlapping_ranges_keep_networks_apart(compute):
    compute.network("clash")
    compute.subnetwork("same", "10.0.0.128/25", "clash")
    add(compute, "clash", "net")
    operation = add(compute, "net", "clash")
    assert operation.status == "DONE"
    assert operation.error.message == (
        "An IP range in the peer network (10.0.0.128/25) overlaps with an IP range in the local network "
        f"({MINE}) allocated by resource (projects/demo/regions/{REGION}/subnetworks/mine)."
    )
    assert "peerings" not in compute("networks.get", network="net")


def test_peers_of_one_network_may_not_overlap_either(compute):
    both(compute)
    compute.network("third")
    compute.subnetwork("same", "10.1.0.0/26", "third")
    add(compute, "third", "net")
    operation = add(compute, "net", "third")
    assert operation.error.message == (
        f"An IP range in the peer network (10.1.0.0/26) allocated by resource "
        f"(projects/demo/regions/{REGION}/subnetworks/same) overlaps with an IP range ({THEIRS}) in an "
        "active peer (to-peer) of the local network."
    )


def test_a_new_range_may_not_overlap_one_of_a_peer(compute):
    both(compute)
    body = {"name": "s", "ipCidrRange": "10.2.1.0/24", "network": "net"}
    refusal = compute.refused("subnetworks.insert", body, region=REGION)
    assert "conflicts with IP range 10.2.0.0/20 that was allocated by resource" in refusal.message
    inside = {"name": "r", "network": "net", "destRange": "10.1.0.0/25", "nextHopIp": "10.0.0.9"}
    assert compute.refused("routes.insert", inside).code == 400
    compute("networks.removePeering", {"name": "to-net"}, network="peer")
    assert compute.subnetwork("s", "10.2.1.0/24").status == "RUNNING"


@pytest.mark.parametrize(
    "chosen",
    [
        {"exchangeSubnetRoutes": False},
        {"name": "No"},
        {"network": "global/networks/net"},
        {"stackType": "IPV6"},
        {"name": ""},
    ],
)
def test_what_makes_no_sense_is_refused(compute, chosen):
    entry = {"name": "to-peer", "network": "global/networks/peer", "exchangeSubnetRoutes": True} | chosen
    assert compute.refused("networks.addPeering", {"networkPeering": entry}, network="net").code == 400


def test_there_is_one_peering_of_a_name_and_one_with_a_network(compute):
    add(compute)
    again = {"networkPeering": {"name": "to-peer", "network": "global/networks/other"}}
    assert compute.refused("networks.addPeering", again, network="net").reason == "alreadyExists"
    again = {"networkPeering": {"name": "other", "network": "global/networks/peer"}}
    assert compute.refused("networks.addPeering", again, network="net").reason == "alreadyExists"
    assert compute.refused("networks.removePeering", {"name": "other"}, network="net").code == 404


def test_a_network_has_25_peerings(compute):
    for number in range(25):
        add(compute, peer=f"p{number}")
    more = {"networkPeering": {"name": "more", "network": "global/networks/more"}}
    refusal = compute.refused("networks.addPeering", more, network="net")
    assert refusal.message == "Quota 'PEERINGS_PER_NETWORK' exceeded.  Limit: 25.0 globally."


def test_a_network_with_a_peering_stays(compute):
    both(compute)
    assert "/global/routes/peering-route-" in compute.in_use("networks.delete", network="net").split("by")[-1]


def test_by_consensus_both_sides_ask_for_the_deletion_first(compute):
    both(compute, {"updateStrategy": "CONSENSUS"}, {"updateStrategy": "CONSENSUS"})
    assert peering(compute)["connectionStatus"]["updateStrategy"] == "CONSENSUS"
    assert compute("networks.removePeering", {"name": "to-peer"}, network="net").error is not None
    compute("networks.requestRemovePeering", {"name": "to-peer"}, network="net")
    assert peering(compute)["connectionStatus"]["consensusState"]["deleteStatus"] == "LOCAL_DELETE_REQUESTED"
    assert (
        peering(compute, "peer")["connectionStatus"]["consensusState"]["deleteStatus"]
        == "PEER_DELETE_REQUESTED"
    )
    compute("networks.cancelRequestRemovePeering", {"name": "to-peer"}, network="net")
    assert "deleteStatus" not in peering(compute)["connectionStatus"]["consensusState"]
    for network, name in (("net", "to-peer"), ("peer", "to-net")):
        compute("networks.requestRemovePeering", {"name": name}, network=network)
    assert compute("networks.removePeering", {"name": "to-peer"}, network="net").error is None


def test_peerings_survive_a_change_of_the_network(compute):
    both(compute)
    compute("networks.patch", {"mtu": 1500}, network="net")
    assert peering(compute, "peer")["peerMtu"] == 1500
    assert peering(compute)["state"] == "ACTIVE"
