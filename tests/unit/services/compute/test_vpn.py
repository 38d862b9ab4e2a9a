"""VPN gateways, their forwarding rules, tunnels, and routes over them."""

import pytest
from tests.compute_calls import LINK, NOW, REGION, Compute

from fogbank.resources.names import ResourceName
from fogbank.resources.vpn import TUNNELS, VpnTunnel
from fogbank.resources.world import Put
from fogbank.services.compute.vpn.tunnels import HIDDEN_SECRET, tunnel_seen

RULES = {"esp": ("ESP", None), "ike": ("UDP", "500"), "nat-t": ("UDP", "4500")}


@pytest.fixture
def compute():
    made = Compute()
    made.network("net")
    made.subnetwork("s", "10.0.0.0/24")
    return made


def classic(compute, name="gw", rules=tuple(RULES)):
    address = compute.address(f"{name}-ip")
    compute("targetVpnGateways.insert", {"name": name, "network": "global/networks/net"}, region=REGION)
    for rule in rules:
        add_rule(compute, name, rule, address)
    return address


def add_rule(compute, gateway, rule, address):
    protocol, ports = RULES[rule]
    body = {"name": f"{gateway}-{rule}", "IPProtocol": protocol, "IPAddress": address}
    body |= {"target": f"regions/{REGION}/targetVpnGateways/{gateway}"}
    return compute("forwardingRules.insert", body | ({"portRange": ports} if ports else {}), region=REGION)


def tunnel(compute, name="tun", gateway="gw", **body):
    whole = {"name": name, "peerIp": "192.0.2.40", "sharedSecret": "hush", "targetVpnGateway": gateway}
    return compute("vpnTunnels.insert", whole | body, region=REGION)


def refused_tunnel(compute, **body):
    whole = {"name": "tun", "peerIp": "192.0.2.40", "sharedSecret": "hush"}
    return compute.refused("vpnTunnels.insert", whole | body, region=REGION)


def shown(compute, name="tun"):
    return compute("vpnTunnels.get", region=REGION, vpnTunnel=name)


def found(compute, name="tun"):
    path = f"projects/demo/regions/{REGION}/vpnTunnels/{name}"
    return compute.world.get(ResourceName(TUNNELS, path))


def ha(compute, name="ha"):
    compute("vpnGateways.insert", {"name": name, "network": "global/networks/net"}, region=REGION)
    return compute("vpnGateways.get", region=REGION, vpnGateway=name)


def external_gateway(compute, *addresses):
    interfaces = [{"id": number, "ipAddress": each} for number, each in enumerate(addresses)]
    compute("externalVpnGateways.insert", {"name": "office", "interfaces": interfaces})


def ha_tunnel(compute, name, interface, peer):
    body = {
        "vpnGateway": "ha",
        "vpnGatewayInterface": interface,
        "peerExternalGateway": "office",
        "peerExternalGatewayInterface": peer,
        "router": "router",
        "sharedSecret": "hush",
    }
    return compute("vpnTunnels.insert", {"name": name} | body, region=REGION)


def test_a_classic_gateway_gets_its_address_from_three_forwarding_rules(compute):
    address = classic(compute, rules=("esp", "ike"))
    early = refused_tunnel(compute, targetVpnGateway="gw")
    assert (early.code, early.reason) == (400, "resourceNotReady")
    add_rule(compute, "gw", "nat-t", address)
    tunnel(compute)
    gateway = compute("targetVpnGateways.get", region=REGION, targetVpnGateway="gw")
    assert [each.rpartition("/")[2] for each in gateway["forwardingRules"]] == [
        "gw-esp",
        "gw-ike",
        "gw-nat-t",
    ]
    assert gateway["tunnels"] == [f"{LINK}/regions/{REGION}/vpnTunnels/tun"]
    used = compute("addresses.get", address="gw-ip", region=REGION)
    assert used["status"] == "IN_USE"


def test_a_secret_is_kept_and_never_shown(compute):
    classic(compute)
    tunnel(compute, sharedSecret="correct horse")
    assert shown(compute)["sharedSecret"] == HIDDEN_SECRET
    assert "correct horse" not in str(shown(compute))
    assert VpnTunnel.of(found(compute)).secret == "correct horse"
    assert "correct horse" not in repr(VpnTunnel.of(found(compute)))


def test_what_is_in_use_stays(compute):
    classic(compute)
    tunnel(compute)
    route = {"name": "r", "network": "global/networks/net", "destRange": "192.168.0.0/16"}
    compute("routes.insert", route | {"nextHopVpnTunnel": f"regions/{REGION}/vpnTunnels/tun"})
    assert "routes/r" in compute.in_use("vpnTunnels.delete", region=REGION, vpnTunnel="tun")
    compute("routes.delete", route="r")
    where = {"region": REGION, "targetVpnGateway": "gw"}
    assert "vpnTunnels/tun" in compute.in_use("targetVpnGateways.delete", **where)
    assert "vpnTunnels/tun" in compute.in_use(
        "forwardingRules.delete", region=REGION, forwardingRule="gw-esp"
    )
    assert "targetVpnGateways/gw" in compute.in_use("networks.delete", network="net")
    compute("vpnTunnels.delete", region=REGION, vpnTunnel="tun")
    for rule in RULES:
        compute("forwardingRules.delete", region=REGION, forwardingRule=f"gw-{rule}")
    compute("targetVpnGateways.delete", **where)
    compute("addresses.delete", address="gw-ip", region=REGION)


def test_tunnels_that_a_gateway_could_not_tell_apart_are_refused(compute):
    classic(compute)
    tunnel(compute, remoteTrafficSelector=["192.168.0.0/24"], localTrafficSelector=["10.0.0.0/24"])
    same = {"targetVpnGateway": "gw", "name": "two"}
    assert "already has this peer" in refused_tunnel(compute, **same).message
    other = same | {"peerIp": "192.0.2.41"}
    assert (
        "traffic selectors"
        in refused_tunnel(compute, **other, remoteTrafficSelector=["192.168.0.0/25"]).message
    )
    tunnel(compute, **other, remoteTrafficSelector=["192.168.1.0/24"])


def test_an_ha_gateway_has_two_addresses_that_nobody_else_gets(compute):
    gateway = ha(compute)
    addresses = [each["ipAddress"] for each in gateway["vpnInterfaces"]]
    assert len(set(addresses)) == 2
    assert compute.address("another") not in addresses


def test_a_tunnel_of_an_ha_gateway_needs_a_router_and_takes_routes_from_it_alone(compute):
    ha(compute)
    external_gateway(compute, "192.0.2.40")
    body = {"vpnGateway": "ha", "peerExternalGateway": "office"}
    assert "resource.router" in refused_tunnel(compute, **body).message
    compute.router()
    ha_tunnel(compute, "tun", 0, 0)
    assert shown(compute)["peerIp"] == "192.0.2.40"
    route = {"name": "r", "network": "global/networks/net", "destRange": "192.168.0.0/16"}
    hop = {"nextHopVpnTunnel": f"regions/{REGION}/vpnTunnels/tun"}
    assert "BGP" in compute.refused("routes.insert", route | hop).message


def test_redundancy_is_met_when_every_interface_of_both_sides_has_a_tunnel(compute):
    ha(compute)
    external_gateway(compute, "192.0.2.40", "192.0.2.41")
    compute.router()

    def state():
        answer = compute("vpnGateways.getStatus", region=REGION, vpnGateway="ha")
        return [each["state"]["state"] for each in answer["result"]["vpnConnections"]]

    assert state() == []
    ha_tunnel(compute, "one", 0, 0)
    assert state() == ["CONNECTION_REDUNDANCY_NOT_MET"]
    ha_tunnel(compute, "two", 1, 1)
    assert state() == ["CONNECTION_REDUNDANCY_MET"]
    message = compute.in_use("externalVpnGateways.delete", externalVpnGateway="office")
    assert "vpnTunnels/one" in message


def test_a_tunnel_between_two_gateways_of_googles_has_the_same_interface_at_both_ends(compute):
    ha(compute)
    other = ha(compute, "other")
    compute.router()
    body = {"vpnGateway": "ha", "vpnGatewayInterface": 1, "peerGcpGateway": "other", "router": "router"}
    compute("vpnTunnels.insert", {"name": "tun", "sharedSecret": "hush"} | body, region=REGION)
    assert shown(compute)["peerIp"] == other["vpnInterfaces"][1]["ipAddress"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"ikeVersion": 1}, "ikeVersion=1"),
        ({"cipherSuite": {"phase1": {"dh": ["Group-14"]}}}, "cipherSuite"),
        ({"peerIp": "nowhere"}, "resource.peerIp"),
        ({"sharedSecret": ""}, "resource.sharedSecret"),
    ],
)
def test_what_is_not_built_or_makes_no_sense_is_refused_by_name(compute, body, why):
    classic(compute)
    assert why in refused_tunnel(compute, targetVpnGateway="gw", **body).message


def test_a_status_is_written_for_the_very_tunnel_that_was_seen(compute):
    classic(compute)
    tunnel(compute)
    seen = found(compute)
    changes = tunnel_seen(compute.world, seen, "ESTABLISHED", "Tunnel is up and running.")
    (status,) = [each.resource.body["status"] for each in changes if isinstance(each, Put)]
    assert status == "ESTABLISHED"
    compute("vpnTunnels.delete", region=REGION, vpnTunnel="tun")
    tunnel(compute)
    assert tunnel_seen(compute.world, seen, "ESTABLISHED", "") == ()
    assert found(compute).created == NOW


@pytest.mark.parametrize("secret", ["s" * 70_000, ["hush"]], ids=["long", "list"])
def test_a_secret_that_charon_cannot_be_told_is_refused(compute, secret):
    classic(compute)
    error = refused_tunnel(compute, targetVpnGateway="gw", sharedSecret=secret)
    assert "sharedSecret" in str(error)
    assert "ssss" not in str(error)


class _OwnProjectOnly:
    def allows(self, _world, _principal, _permission, project, *_beside):
        return project == "demo"


def test_a_peer_gateway_of_a_project_where_the_caller_may_nothing_is_denied_before_it_is_looked_for(compute):
    ha(compute)
    compute.access = _OwnProjectOnly()
    peer = f"projects/secret/regions/{REGION}/vpnGateways/theirs"
    error = refused_tunnel(compute, vpnGateway="ha", peerIp=None, peerGcpGateway=peer)
    assert error.code == 403
    assert "compute.vpnGateways.use" in str(error)
