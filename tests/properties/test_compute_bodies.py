"""Whatever body fits Google's schema, compute answers it or refuses it; it never breaks."""

from functools import cache

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.compute_calls import NOW, REGION, Compute, auto_nat, with_default_network

from fogbank.discovery.routes import methods
from fogbank.discovery.schemas import convert_request, schema
from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource
from fogbank.services.compute import SERVICE
from fogbank.services.contract import Write

TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            "default",
            "s",
            "a/b/c",
            "10.0.0.0/24",
            "10.0.0.9",
            "10.0.0.1/24",
            "tcp",
            "80-90",
            "http://x",
            "::1",
        ]
    ),
    st.text(max_size=8),
)
NUMBERS = st.one_of(st.sampled_from([0, 1, 16, 29, 64, 1000, 65536]), st.integers(-5, 2**31 - 1))


def values(node, depth):
    """Build values that fit a compiled schema."""
    match node:
        case str(name) if name.startswith("#"):
            return values(schema("compute.v1", name[1:]), depth) if depth else st.just({})
        case "boolean":
            return st.booleans()
        case "int32" | "uint32":
            return NUMBERS
        case "int64" | "uint64":
            return NUMBERS.map(str)
        case "double" | "float":
            return st.floats(allow_nan=False, allow_infinity=False)
        case str():
            return TEXTS
        case [item]:
            return st.lists(values(item, depth - 1), max_size=2) if depth else st.just([])
        case {"|": choices}:
            return st.sampled_from(choices)
        case {"=": text}:
            return st.just(text)
        case {"*": item}:
            return st.dictionaries(TEXTS, values(item, depth - 1), max_size=2)
        case dict():
            fields = {name: st.one_of(st.none(), values(each, depth - 1)) for name, each in node.items()}
            return st.fixed_dictionaries({}, optional=fields)


WRITES = sorted(
    name
    for name, method in SERVICE.methods.items()
    if isinstance(method, Write) and methods("compute.v1")[name].request
)

COMMON = {
    "name": "new",
    "network": "global/networks/default",
    "ipCidrRange": "10.1.0.0/24",
    "destRange": "8.8.0.0/16",
    "autoCreateSubnetworks": False,
    "allowed": [{"IPProtocol": "tcp"}],
    "action": "deny",
    "direction": "EGRESS",
    "priority": 7,
    "match": {"destIpRanges": ["10.0.0.0/8"], "layer4Configs": [{"ipProtocol": "udp"}]},
    "attachmentTarget": "global/networks/default",
    "nextHopGateway": "global/gateways/default-internet-gateway",
}
"""Fields without which nearly everything is refused at once; the rest is drawn, a few fields at a time."""


ZONE = f"{REGION}-a"

MACHINE = {
    "name": "i",
    "machineType": f"zones/{ZONE}/machineTypes/e2-micro",
    "disks": [
        {
            "boot": True,
            "initializeParams": {"sourceImage": "projects/debian-cloud/global/images/family/debian-12"},
        }
    ],
    "networkInterfaces": [{"network": "global/networks/default"}],
}

POLICY_RULE = {
    "priority": 100,
    "action": "allow",
    "direction": "INGRESS",
    "match": {"srcIpRanges": ["10.0.0.0/8"], "layer4Configs": [{"ipProtocol": "tcp"}]},
}


@cache
def beginning() -> Compute:
    """One resource of each kind: what a drawn body may name."""
    compute = with_default_network()
    compute.subnetwork("s", "10.0.0.0/24", network="default")
    compute.router(network="default", nats=[auto_nat()])
    compute.address("a")
    compute("firewalls.insert", {"name": "f", "allowed": [{"IPProtocol": "tcp"}]})
    compute("instances.insert", MACHINE, zone=ZONE)
    compute("disks.insert", {"name": "d", "sizeGb": "10"}, zone=ZONE)
    compute("images.insert", {"name": "im", "sourceDisk": f"zones/{ZONE}/disks/d"})
    for collection, place in (
        ("networkFirewallPolicies", {}),
        ("regionNetworkFirewallPolicies", {"region": REGION}),
    ):
        compute(f"{collection}.insert", {"name": "p"}, **place)
        compute(f"{collection}.addRule", POLICY_RULE, firewallPolicy="p", **place)
    load_balancer(compute)
    return compute


CERTIFICATES = "projects/demo/locations/global/certificateMaps"
BALANCED = {
    "healthCheck": "h",
    "networkEndpointGroup": "n",
    "backendService": "b",
    "urlMap": "u",
    "sslPolicy": "sp",
    "targetHttpProxy": "hp",
    "targetHttpsProxy": "sp",
    "targetSslProxy": "sp",
    "targetTcpProxy": "tp",
    "forwardingRule": "fr",
}
"""The parts of a load balancer that there are, by the parameter that names them."""


def load_balancer(compute: Compute) -> None:
    """Make a load balancer of each kind."""
    compute("networkEndpointGroups.insert", {"name": "n", "defaultPort": 80}, zone=ZONE)
    certificates = ResourceName("certificatemanager.certificateMaps", f"{CERTIFICATES}/m")
    compute.put(Resource(certificates, 1, NOW, {"name": certificates.path}))
    tls = {"certificateMap": f"//certificatemanager.googleapis.com/{certificates.path}"}
    for prefix, place, scheme in (
        ("", {}, {}),
        ("region", {"region": REGION}, {"loadBalancingScheme": "INTERNAL"}),
    ):
        word = f"regions/{REGION}" if place else "global"
        health, service, url_map, policy = (
            f"{prefix}{each[0].upper()}{each[1:]}" if prefix else each
            for each in ("healthChecks", "backendServices", "urlMaps", "sslPolicies")
        )
        compute(f"{health}.insert", {"name": "h", "type": "TCP"}, **place)
        checks = {"name": "b", "protocol": "TCP", "healthChecks": [f"{word}/healthChecks/h"]}
        compute(f"{service}.insert", checks | scheme, **place)
        compute(f"{url_map}.insert", {"name": "u", "defaultService": f"{word}/backendServices/b"}, **place)
        compute(f"{policy}.insert", {"name": "sp"}, **place)
    web = {"urlMap": "global/urlMaps/u"}
    stream = {"service": "global/backendServices/b"}
    compute("targetHttpProxies.insert", {"name": "hp"} | web)
    compute("targetHttpsProxies.insert", {"name": "sp"} | web | tls)
    compute("targetSslProxies.insert", {"name": "sp"} | stream | tls)
    compute("targetTcpProxies.insert", {"name": "tp"} | stream)
    rule = {"name": "fr", "target": "global/targetTcpProxies/tp", "portRange": "80"}
    compute("globalForwardingRules.insert", rule)
    inside = {
        "name": "fr",
        "loadBalancingScheme": "INTERNAL",
        "ports": ["80"],
        "subnetwork": f"regions/{REGION}/subnetworks/s",
    }
    compute(
        "forwardingRules.insert",
        inside | {"backendService": f"regions/{REGION}/backendServices/b"},
        region=REGION,
    )


@cache
def drawn(request: str, name: str) -> st.SearchStrategy[object]:
    """Draw a field of a body, or its absence; made once, for to make it takes longer than to draw."""
    return st.one_of(st.none(), values(schema("compute.v1", request)[name], 5))


@pytest.mark.parametrize("method", WRITES)
@given(data=st.data())
def test_a_body_that_fits_the_schema_is_answered_or_refused(method, data):
    compute = beginning().branch()
    request = methods("compute.v1")[method].request
    fields = schema("compute.v1", request)
    body = {name: value for name, value in COMMON.items() if name in fields}
    for name in data.draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3)):
        body[name] = data.draw(drawn(request, name))
    if "fingerprint" in fields:
        body["fingerprint"] = compute("subnetworks.get", region=REGION, subnetwork="s")["fingerprint"]
    where = {"network": "default", "firewall": "f", "subnetwork": "s", "router": "router", "resource": "a"}
    where |= {"firewallPolicy": "p", "priority": "100", "instance": "i", "disk": "d", "image": "im"}
    where |= {"networkInterface": "nic0", "accessConfig": "external-nat"} | BALANCED
    path = methods("compute.v1")[method].path
    if "regions/" in path:
        where["region"] = REGION
    if "zones/" in path:
        where["zone"] = ZONE
    for kind, resource in (
        ("subnetworks", "s"),
        ("firewallPolicies", "p"),
        ("instances", "i"),
        ("disks", "d"),
        ("images", "im"),
    ):
        if "{resource" in path and kind in path:
            where["resource"] = resource
    try:
        compute(method, convert_request("compute.v1", request, body).body, **where)
    except ApiError:
        event("refused")
    else:
        event("answered")
    for kind in ("networks", "subnetworks", "routers", "addresses", "firewalls", "routes"):
        compute(
            f"{kind}.aggregatedList" if kind in {"subnetworks", "routers", "addresses"} else f"{kind}.list"
        )
