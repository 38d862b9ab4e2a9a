"""What a router says of its gateways, as the kernel holds them."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from tests.compute_calls import LINK, NOW, REGION, Compute, auto_nat, manual_nat, only

from fogbank.network.topology import (
    DeviceName,
    NetnsName,
    PortBlock,
    PortRange,
    SourceNat,
    Topology,
    TranslationRule,
    UnservedClient,
)
from fogbank.resources.vpcaccess import connector_name
from fogbank.resources.world import Resource

WHERE = {"region": REGION, "router": "router"}


def connector(name="conn", instances=2):
    body = {"machineType": "e2-micro", "minInstances": 2, "maxInstances": 10, "state": "READY"}
    private = {
        "network": "projects/demo/global/networks/net",
        "subnet": f"projects/demo/regions/{REGION}/subnetworks/s",
        "range": "10.124.0.0/28",
        "instances": instances,
    }
    return Resource(connector_name("demo", REGION, name), 7, NOW, body, private)


def translation(inside, first, outside="203.0.113.1"):
    return SourceNat(
        NetnsName("vpc/demo/net"),
        DeviceName("ext"),
        IPv4Network(inside),
        IPv4Address(outside),
        PortRange(first, first + 63),
    )


@pytest.fixture
def compute():
    made = Compute()
    made.network("net")
    made.subnetwork("s", "10.124.0.0/28")
    made.address("ip")
    made.router(nats=[manual_nat("ip", **only("s"))])
    made.put(connector())
    return made


def test_a_gateway_without_clients_says_so(compute):
    assert compute("routers.getNatMappingInfo", **WHERE) == []
    (info,) = compute("routers.getNatIpInfo", **WHERE)["result"]
    assert info["natIpInfoMappings"] == [{"natIp": "203.0.113.1", "mode": "MANUAL", "usage": "UNUSED"}]


def test_the_mapping_is_what_the_kernel_holds(compute):
    elsewhere = replace(translation("10.124.0.3", 2048), netns="vpc/demo/other")
    compute.observed = Topology.of([translation("10.124.0.2", 1024), elsewhere])
    (client,) = compute("routers.getNatMappingInfo", **WHERE)
    assert client["instanceName"].startswith("aet-asianortheast3-conn-")
    assert client["interfaceNatMappings"] == [
        {
            "sourceVirtualIp": "10.124.0.2",
            "natIpPortRanges": ["203.0.113.1:1024-1087"],
            "numTotalNatPorts": 64,
        }
    ]
    (info,) = compute("routers.getNatIpInfo", **WHERE)["result"]
    assert info["natIpInfoMappings"][0]["usage"] == "IN_USE"


def test_instances_of_one_connector_have_different_names(compute):
    compute.observed = Topology.of([translation("10.124.0.2", 1024), translation("10.124.0.3", 1088)])
    names = [client["instanceName"] for client in compute("routers.getNatMappingInfo", **WHERE)]
    assert len(set(names)) == 2


def test_a_mapping_can_be_asked_of_one_gateway(compute):
    compute.observed = Topology.of([translation("10.124.0.2", 1024)])
    assert compute("routers.getNatMappingInfo", **WHERE, natName="other") == []
    assert len(compute("routers.getNatMappingInfo", **WHERE, natName="nat")) == 1


def test_the_status_counts_clients_and_names_addresses(compute):
    compute.observed = Topology.of([translation("10.124.0.2", 1024), translation("10.124.0.3", 1088)])
    status = compute("routers.getRouterStatus", **WHERE)
    assert status == {
        "kind": "compute#routerStatusResponse",
        "result": {
            "network": f"{LINK}/global/networks/net",
            "natStatus": [
                {
                    "name": "nat",
                    "userAllocatedNatIps": ["203.0.113.1"],
                    "userAllocatedNatIpResources": [f"{LINK}/regions/{REGION}/addresses/ip"],
                    "minExtraNatIpsNeeded": 0,
                    "numVmEndpointsWithNatMappings": 2,
                }
            ],
        },
    }


def test_too_few_ports_need_more_addresses(compute):
    compute("routers.patch", {"nats": [manual_nat("ip", minPortsPerVm=32768, **only("s"))]}, **WHERE)
    unserved = [
        UnservedClient(NetnsName("vpc/demo/net"), DeviceName("ext"), IPv4Network(f"10.124.0.{n}"))
        for n in (3, 4)
    ]
    elsewhere = replace(unserved[0], inside=IPv4Network("10.125.0.3"))
    whole = replace(translation("10.124.0.2", 1024), ports=PortRange(32768, 65535))
    compute.observed = Topology.of([whole, *unserved, elsewhere])
    (nat,) = compute("routers.getRouterStatus", **WHERE)["result"]["natStatus"]
    assert (nat["minExtraNatIpsNeeded"], nat["numVmEndpointsWithNatMappings"]) == (1, 1)


def test_blocks_of_rules_and_of_several_addresses_are_listed_apart(compute):
    compute.address("second")
    compute.address("third")
    rule = {
        "ruleNumber": 4,
        "match": "destination.ip == '192.0.2.1'",
        "action": {"sourceNatActiveIps": [f"regions/{REGION}/addresses/third"]},
    }
    compute("routers.patch", {"nats": [manual_nat("ip", "second", **only("s"), rules=[rule])]}, **WHERE)
    third = PortBlock(IPv4Address("203.0.113.3"), PortRange(1024, 1087))
    second = PortBlock(IPv4Address("203.0.113.2"), PortRange(2048, 2111))
    ruled = TranslationRule(4, (IPv4Network("192.0.2.1"),), (third,))
    without = replace(ruled, blocks=())
    compute.observed = Topology.of(
        [
            replace(translation("10.124.0.2", 1024), more=(second,), rules=(ruled,)),
            replace(translation("10.124.0.3", 1088), rules=(without,)),
        ]
    )
    one, two = (each["interfaceNatMappings"][0] for each in compute("routers.getNatMappingInfo", **WHERE))
    assert one == {
        "sourceVirtualIp": "10.124.0.2",
        "natIpPortRanges": ["203.0.113.1:1024-1087", "203.0.113.2:2048-2111"],
        "numTotalNatPorts": 128,
        "ruleMappings": [
            {"ruleNumber": 4, "natIpPortRanges": ["203.0.113.3:1024-1087"], "numTotalNatPorts": 64}
        ],
    }
    assert "ruleMappings" not in two
    (nat,) = compute("routers.getRouterStatus", **WHERE)["result"]["natStatus"]
    assert nat["ruleStatus"] == [
        {
            "ruleNumber": 4,
            "activeNatIps": ["203.0.113.3"],
            "minExtraIpsNeeded": 0,
            "numVmEndpointsWithNatMappings": 1,
        }
    ]
    (info,) = compute("routers.getNatIpInfo", **WHERE)["result"]
    assert {each["usage"] for each in info["natIpInfoMappings"]} == {"IN_USE"}


def test_an_automatic_gateway_shows_its_own_addresses(compute):
    compute("routers.patch", {"nats": [auto_nat()]}, **WHERE)
    (nat,) = compute("routers.getRouterStatus", **WHERE)["result"]["natStatus"]
    assert nat["autoAllocatedNatIps"] == ["203.0.113.2"]
    assert "userAllocatedNatIps" not in nat


def test_a_draining_address_is_shown_apart(compute):
    compute.address("second")
    compute("routers.patch", {"nats": [manual_nat("second", drainNatIps=["ip"], **only("s"))]}, **WHERE)
    compute.observed = Topology.of([translation("10.124.0.2", 1024)])
    (client,) = compute("routers.getNatMappingInfo", **WHERE)
    (mapping,) = client["interfaceNatMappings"]
    assert mapping["drainNatIpPortRanges"] == ["203.0.113.1:1024-1087"]
    assert mapping["numTotalNatPorts"] == 0


def test_the_subnetwork_of_a_connector_is_its_own(compute):
    body = {"name": "a", "addressType": "INTERNAL", "subnetwork": "s"}
    refusal = compute.refused("addresses.insert", body, region=REGION)
    assert refusal.message.endswith(f"'projects/demo/locations/{REGION}/connectors/conn'")


def test_the_network_and_the_subnetwork_of_a_connector_stay(compute):
    compute("routers.delete", **WHERE)
    for method, parameters in (
        ("networks.delete", {"network": "net"}),
        ("subnetworks.delete", {"region": REGION, "subnetwork": "s"}),
    ):
        message = compute.in_use(method, **parameters)
        assert message.endswith(f"by 'projects/demo/locations/{REGION}/connectors/conn'")
