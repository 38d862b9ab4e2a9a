"""BGP peers of Cloud Routers: what is accepted, advertised, learned and told."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from tests.compute_calls import LINK, REGION, Compute
from tests.lowered import lower
from tests.worlds import fleet

from fogbank.network.topology import NetnsName, Route, Topology
from fogbank.paths.predict import predict
from fogbank.paths.trace import Cause, Dropped, Flow
from fogbank.resources.bgp import INTER_REGION_COST, SESSIONS, LearnedRoute, Session, advertisement
from fogbank.resources.compute import read_range
from fogbank.resources.names import ResourceName
from fogbank.resources.vpn import TUNNELS
from fogbank.services.compute.vpn.router_bgp import sessions_seen
from fogbank.services.compute.vpn.tunnels import tunnel_seen

WHERE = {"region": REGION, "router": "rt"}
OFFICE = read_range("192.168.0.0/24")


class Routed(Compute):
    """A network with an HA gateway, and a router with an interface on each of two tunnels."""

    def build(self):
        self.network("net")
        self.subnetwork("s", "10.0.0.0/24")
        self("vpnGateways.insert", {"name": "ha", "network": "global/networks/net"}, region=REGION)
        office = {"name": "office", "interfaces": [{"id": 0, "ipAddress": "192.0.2.40"}]}
        self("externalVpnGateways.insert", office)
        body = {"name": "rt", "network": "global/networks/net", "bgp": {"asn": 64512}}
        self("routers.insert", body, region=REGION)
        interfaces = []
        for number in range(2):
            ends = {"vpnGateway": "ha", "vpnGatewayInterface": number, "peerExternalGateway": "office"}
            tunnel = {"name": f"t{number}", "router": "rt", "sharedSecret": "hush"}
            self("vpnTunnels.insert", tunnel | ends, region=REGION)
            interfaces.append(
                {"name": f"if{number}", "linkedVpnTunnel": f"regions/{REGION}/vpnTunnels/t{number}"}
            )
        self("routers.patch", {"interfaces": interfaces}, **WHERE)
        return self

    def peers(self, *peers, **more):
        bodies = [
            {"name": f"p{i}", "interfaceName": f"if{i}", "peerAsn": 65001} | each
            for i, each in enumerate(peers)
        ]
        return self("routers.patch", {"bgpPeers": bodies} | more, **WHERE)

    @property
    def shown(self):
        return self("routers.get", **WHERE)

    @property
    def status(self):
        return self("routers.getRouterStatus", **WHERE)["result"]

    def resource(self):
        return self.world.get(ResourceName("compute.routers", f"projects/demo/regions/{REGION}/routers/rt"))

    def learn(self, *sessions, up=(0, 1)):
        for number in up:
            path = f"projects/demo/regions/{REGION}/vpnTunnels/t{number}"
            tunnel = self.world.get(ResourceName(TUNNELS, path))
            self.world = self.world.after(tunnel_seen(self.world, tunnel, "ESTABLISHED", ""))
        kept = {f"p{i}": each.kept for i, each in enumerate(sessions)}
        self.put(sessions_seen(self.resource(), kept) or self.resource())

    def cause(self, machine, zone):
        """Say why a machine does not reach the office."""
        number = int(self("instances.get", zone=zone, instance=machine)["id"])
        topology = lower(self.world, fleet(), Topology()).topology
        flow = Flow(NetnsName(f"instance/vm-{number}"), OFFICE[10], 80)
        (branch,) = predict(topology, flow).branches
        return branch.disposition.cause if isinstance(branch.disposition, Dropped) else None

    def routes(self):
        """List the routes to the office in the network's router, main and others'."""
        topology = lower(self.world, fleet(), Topology()).topology
        routes = topology.of_kind(Route)
        return [each for each in routes if each.netns == "vpc/demo/net" and each.destination == OFFICE]


def told(med, *path):
    return Session("Established", 100, (LearnedRoute(OFFICE, med, path or (65001,)),))


@pytest.fixture
def compute():
    return Routed().build()


def test_interfaces_on_tunnels_get_addresses_of_their_own(compute):
    ranges = [each["ipRange"] for each in compute.shown["interfaces"]]
    assert ranges == ["169.254.0.1/30", "169.254.0.5/30"]


@pytest.mark.parametrize("value", ["0", "10.0.0.1/30", "169.254.0.9/32"])
def test_an_interface_on_a_tunnel_has_a_link_local_address_with_room_for_the_peer(compute, value):
    body = compute.shown["interfaces"][0] | {"ipRange": value}
    refused = compute.refused("routers.patch", {"interfaces": [body]}, **WHERE)
    assert "resource.interfaces[0].ipRange" in refused.message


def test_a_peer_takes_what_it_is_not_given_from_its_interface(compute):
    compute.peers({}, {"peerIpAddress": "169.254.0.6", "advertisedRoutePriority": 50})
    one, two = compute.shown["bgpPeers"]
    assert (one["ipAddress"], one["peerIpAddress"]) == ("169.254.0.1", "169.254.0.2")
    assert (one["enable"], one["advertiseMode"], one["advertisedRoutePriority"]) == ("TRUE", "DEFAULT", 100)
    assert two["advertisedRoutePriority"] == 50


@pytest.mark.parametrize(
    ("peer", "why"),
    [
        ({"peerAsn": None}, "peerAsn"),
        ({"peerIpAddress": "169.254.0.9"}, "peerIpAddress"),
        ({"interfaceName": "other"}, "interfaceName"),
        ({"bfd": {"sessionInitializationMode": "ACTIVE"}}, "bfd"),
        ({"enableIpv6": True}, "enableIpv6"),
        ({"customLearnedIpRanges": [{"range": "10.0.0.0/8"}]}, "customLearnedIpRanges"),
        ({"advertisedGroups": ["ALL_SUBNETS"]}, "CUSTOM"),
        ({"md5AuthenticationKeyName": "none"}, "md5AuthenticationKeyName"),
    ],
)
def test_what_is_not_built_or_makes_no_sense_is_refused_by_name(compute, peer, why):
    body = {"name": "p", "interfaceName": "if0", "peerAsn": 65001} | peer
    assert why in compute.refused("routers.patch", {"bgpPeers": [body]}, **WHERE).message


def test_a_key_is_kept_for_sessions_and_never_shown(compute):
    compute.peers({"md5AuthenticationKeyName": "k"}, md5AuthenticationKeys=[{"name": "k", "key": "geheim"}])
    compute("routers.patch", {"bgp": {"asn": 64513}}, **WHERE)
    assert compute.shown["md5AuthenticationKeys"] == [{"name": "k"}]
    assert compute.resource().private["md5Keys"] == {"k": "geheim"}
    assert compute.status["bgpPeerStatus"][0]["md5AuthEnabled"] is True


def test_what_holds_a_tunnel_or_a_router_keeps_it(compute):
    assert "routers/rt" in compute.in_use("vpnTunnels.delete", region=REGION, vpnTunnel="t0")
    assert "vpnTunnels/t0" in compute.in_use("routers.delete", **WHERE)


def test_subnetworks_are_advertised_as_far_as_the_network_routes(compute):
    compute.subnetwork("far", "10.9.0.0/24", region="us-central1")
    compute.peers({"advertisedRoutePriority": 50})

    def advertised():
        peer = compute.resource().body["bgpPeers"][0]
        return {str(to): med for to, med in advertisement(compute.world, compute.resource(), peer).items()}

    assert advertised() == {"10.0.0.0/24": 50}
    compute("networks.patch", {"routingConfig": {"routingMode": "GLOBAL"}}, network="net")
    assert advertised() == {"10.0.0.0/24": 50, "10.9.0.0/24": 50 + INTER_REGION_COST}
    custom = {"advertiseMode": "CUSTOM", "advertisedIpRanges": [{"range": "10.64.0.0/10"}]}
    compute.peers(custom)
    assert advertised() == {"10.64.0.0/10": 100}


def test_a_router_says_who_is_up_what_it_has_learned_and_what_it_tells(compute):
    compute.peers({}, {})
    assert [each["status"] for each in compute.status["bgpPeerStatus"]] == ["DOWN", "DOWN"]
    compute.learn(told(100), told(200))
    one, two = compute.status["bgpPeerStatus"]
    assert (one["status"], one["numLearnedRoutes"]) == ("UP", 1)
    assert [each["destRange"] for each in two["advertisedRoutes"]] == ["10.0.0.0/24"]
    (best,) = compute.status["bestRoutesForRouter"]
    assert (best["priority"], best["nextHopVpnTunnel"]) == (100, f"{LINK}/regions/{REGION}/vpnTunnels/t0")
    assert best["asPaths"] == [{"pathSegmentType": "AS_SEQUENCE", "asLists": [65001]}]


def test_equal_routes_share_flows_and_the_better_one_takes_all(compute):
    compute.peers({}, {})
    compute("networks.patch", {"routingConfig": {"routingMode": "GLOBAL"}}, network="net")
    compute.learn(told(100), told(100))
    (both,) = compute.routes()
    assert len(both.hops) == 2
    compute.learn(told(100), told(200))
    (better,) = compute.routes()
    assert [hop.via for hop in better.hops] == [IPv4Address("203.0.113.1")]


def test_a_tunnel_that_dies_takes_its_routes_along(compute):
    compute.peers({}, {})
    compute.learn(told(100), told(200))
    path = f"projects/demo/regions/{REGION}/vpnTunnels/t0"
    tunnel = compute.world.get(ResourceName(TUNNELS, path))
    compute.world = compute.world.after(tunnel_seen(compute.world, tunnel, "NO_INCOMING_PACKETS", ""))
    (left,) = compute.routes()
    assert [hop.via for hop in left.hops] == [IPv4Address("203.0.113.2")]
    compute.learn(Session("Active"), Session("Active"), up=())
    assert compute.routes() == []


def test_with_regional_routing_only_the_routers_region_has_what_it_learned(compute):
    compute.subnetwork("far", "10.9.0.0/24", region="us-central1")
    compute.peers({})
    compute.learn(told(100), up=(0,))
    for name, zone, subnetwork in (("near", f"{REGION}-a", "s"), ("far", "us-central1-a", "far")):
        image = "projects/debian-cloud/global/images/family/debian-12"
        disk = [{"boot": True, "initializeParams": {"sourceImage": image}}]
        nic = [{"subnetwork": f"regions/{zone[:-2]}/subnetworks/{subnetwork}"}]
        machine = {"name": name, "machineType": "e2-small", "disks": disk, "networkInterfaces": nic}
        compute("instances.insert", machine, zone=zone)
    assert compute.cause("near", f"{REGION}-a") is Cause.ROUTE_NEXT_HOP_VPN_TUNNEL_NOT_ESTABLISHED
    assert compute.cause("far", "us-central1-a") is Cause.NO_EXTERNAL_ADDRESS
    compute("networks.patch", {"routingConfig": {"routingMode": "GLOBAL"}}, network="net")
    # The route leads into the tunnel, at whose other end nobody is here.
    assert compute.cause("far", "us-central1-a") is Cause.ROUTE_NEXT_HOP_VPN_TUNNEL_NOT_ESTABLISHED


def test_sessions_of_peers_that_are_gone_are_forgotten(compute):
    compute.peers({}, {})
    compute.learn(told(100), told(100))
    compute.peers({})
    assert set(compute.resource().private[SESSIONS]) == {"p0"}
    gone = replace(compute.resource(), body=compute.resource().body | {"bgpPeers": []})
    assert sessions_seen(gone, {"p0": Session().kept}) is None


@pytest.mark.parametrize("key", ["one\0two", "one\ntwo", "k" * 81, 1234567])
def test_a_key_that_would_end_a_line_of_bgpds_configuration_is_refused_and_not_told(compute, key):
    error = compute.refused("routers.patch", {"md5AuthenticationKeys": [{"name": "k", "key": key}]}, **WHERE)
    assert "md5AuthenticationKeys[0].key" in str(error)
    assert str(key) not in str(error)
