"""The parts of load balancers: defaults, references, refusals and the order of deletion."""

import pytest
from tests.compute_calls import LINK, Compute

ZONE = "asia-northeast3-a"
GROUP = f"zones/{ZONE}/networkEndpointGroups/neg"
MANAGED = {"loadBalancingScheme": "EXTERNAL_MANAGED"}


def machine(compute: Compute, name: str = "vm") -> str:
    """Make an instance; return its address."""
    body = {
        "name": name,
        "machineType": f"zones/{ZONE}/machineTypes/e2-small",
        "networkInterfaces": [{"subnetwork": "regions/asia-northeast3/subnetworks/s"}],
        "disks": [{"boot": True, "initializeParams": {
            "sourceImage": "projects/debian-cloud/global/images/family/debian-12"}}],
    }  # fmt: skip
    compute("instances.insert", body, zone=ZONE)
    return compute("instances.get", zone=ZONE, instance=name)["networkInterfaces"][0]["networkIP"]


@pytest.fixture
def compute() -> Compute:
    made = Compute()
    made.network()
    made.subnetwork("s", "10.0.0.0/24")
    made("healthChecks.insert", {"name": "hc", "type": "HTTP"})
    made(
        "networkEndpointGroups.insert",
        {"name": "neg", "network": "global/networks/net", "defaultPort": 80},
        zone=ZONE,
    )
    return made


def service(compute: Compute, name: str = "bs", **fields: object) -> None:
    backend = {"group": GROUP, "balancingMode": "RATE", "maxRatePerEndpoint": 10}
    body = {"name": name, "healthChecks": ["global/healthChecks/hc"], "backends": [backend], **MANAGED}
    compute("backendServices.insert", body | fields)


def chain(compute: Compute) -> None:
    """Make everything up to a forwarding rule on a reserved address."""
    service(compute)
    compute("urlMaps.insert", {"name": "um", "defaultService": "global/backendServices/bs"})
    compute("targetHttpProxies.insert", {"name": "px", "urlMap": "global/urlMaps/um"})
    compute("globalAddresses.insert", {"name": "ip"})
    rule = {
        "name": "fr",
        "target": "global/targetHttpProxies/px",
        "portRange": "80",
        "IPAddress": "global/addresses/ip",
    }
    compute("globalForwardingRules.insert", rule | MANAGED)


def test_a_health_check_has_googles_defaults_and_times_that_fit(compute):
    found = compute("healthChecks.get", healthCheck="hc")
    assert (found["checkIntervalSec"], found["timeoutSec"], found["unhealthyThreshold"]) == (5, 5, 2)
    assert found["httpHealthCheck"] == {"port": 80, "requestPath": "/", "proxyHeader": "NONE"}
    late = compute.refused(
        "healthChecks.insert", {"name": "b", "type": "TCP", "checkIntervalSec": 3, "timeoutSec": 4}
    )
    assert "resource.timeoutSec" in late.message
    compute("healthChecks.patch", {"timeoutSec": 2}, healthCheck="hc")
    assert compute("healthChecks.get", healthCheck="hc")["checkIntervalSec"] == 5


def test_endpoints_are_addresses_of_machines_in_the_groups_network_and_zone(compute):
    address = machine(compute)
    asked = {"networkEndpoints": [{"instance": "vm"}]}
    compute("networkEndpointGroups.attachNetworkEndpoints", asked, zone=ZONE, networkEndpointGroup="neg")
    compute("networkEndpointGroups.attachNetworkEndpoints", asked, zone=ZONE, networkEndpointGroup="neg")
    (found,) = compute("networkEndpointGroups.listNetworkEndpoints", zone=ZONE, networkEndpointGroup="neg")
    assert found == {"networkEndpoint": {"instance": "vm", "ipAddress": address, "port": 80}}
    assert compute("networkEndpointGroups.get", zone=ZONE, networkEndpointGroup="neg")["size"] == 1
    for wrong in ({"instance": "nobody"}, {"instance": "vm", "ipAddress": "10.9.9.9"}):
        refused = compute.refused(
            "networkEndpointGroups.attachNetworkEndpoints",
            {"networkEndpoints": [wrong]},
            zone=ZONE,
            networkEndpointGroup="neg",
        )
        assert refused.code == 400
    gone = {"networkEndpoints": [{"instance": "vm", "ipAddress": address, "port": 80}]}
    compute("networkEndpointGroups.detachNetworkEndpoints", gone, zone=ZONE, networkEndpointGroup="neg")
    assert compute("networkEndpointGroups.get", zone=ZONE, networkEndpointGroup="neg")["size"] == 0
    refused = compute.refused(
        "networkEndpointGroups.detachNetworkEndpoints", gone, zone=ZONE, networkEndpointGroup="neg"
    )
    assert "is not in the network endpoint group" in refused.message


def test_what_is_in_use_is_deleted_only_after_its_user(compute):
    chain(compute)
    order = [
        ("globalForwardingRules", "forwardingRule", "fr", {}),
        ("targetHttpProxies", "targetHttpProxy", "px", {}),
        ("urlMaps", "urlMap", "um", {}),
        ("backendServices", "backendService", "bs", {}),
        ("networkEndpointGroups", "networkEndpointGroup", "neg", {"zone": ZONE}),
        ("healthChecks", "healthCheck", "hc", {}),
    ]
    for word, parameter, name, place in reversed(order[1:]):
        assert "is already being used by 'projects/demo/" in compute.in_use(
            f"{word}.delete", **{parameter: name}, **place
        )
    assert "forwardingRules/fr" in compute.in_use("globalAddresses.delete", address="ip")
    for word, parameter, name, place in order:
        assert compute(f"{word}.delete", **{parameter: name}, **place).error is None
    assert compute("globalAddresses.delete", address="ip").error is None


def test_a_forwarding_rule_takes_its_address_for_its_port_alone(compute):
    chain(compute)
    address = compute("globalAddresses.get", address="ip")
    assert (address["status"], address["users"]) == ("IN_USE", [f"{LINK}/global/forwardingRules/fr"])
    rule = {"target": "global/targetHttpProxies/px", "IPAddress": address["address"], **MANAGED}
    refused = compute.refused("globalForwardingRules.insert", rule | {"name": "again", "portRange": "80"})
    assert "would result in a conflict" in refused.message
    compute("globalForwardingRules.insert", rule | {"name": "other", "portRange": "8080"})
    own = {"name": "own", "target": "global/targetHttpProxies/px", "portRange": "80", **MANAGED}
    compute("globalForwardingRules.insert", own)
    taken = compute("globalForwardingRules.get", forwardingRule="own")["IPAddress"]
    compute("globalAddresses.insert", {"name": "next"})
    assert compute("globalAddresses.get", address="next")["address"] not in {taken, address["address"]}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"enableCDN": True}, "enableCDN"),
        ({"iap": {"enabled": True}}, "iap"),
        ({"securityPolicy": "global/securityPolicies/p"}, "securityPolicy"),
        ({"loadBalancingScheme": "INTERNAL_SELF_MANAGED"}, "INTERNAL_SELF_MANAGED"),
        ({"failoverPolicy": {"dropTrafficIfUnhealthy": True}}, "failoverPolicy"),
    ],
)
def test_what_a_backend_service_cannot_do_yet_is_refused_by_its_name(compute, fields, named):
    body = {"name": "bs", "healthChecks": ["global/healthChecks/hc"]} | MANAGED | fields
    refused = compute.refused("backendServices.insert", body)
    assert named in refused.message
    assert refused.status == "UNIMPLEMENTED"


@pytest.mark.parametrize(
    ("backend", "named"),
    [
        ({"balancingMode": "UTILIZATION"}, "balancingMode"),
        ({"balancingMode": "RATE"}, "maxRatePerEndpoint"),
        ({"balancingMode": "CONNECTION", "maxConnectionsPerEndpoint": 1}, "balancingMode"),
    ],
)
def test_a_group_of_endpoints_needs_a_mode_that_fits_and_a_limit(compute, backend, named):
    body = {
        "name": "bs",
        "healthChecks": ["global/healthChecks/hc"],
        "backends": [{"group": GROUP, **backend}],
    }
    assert named in compute.refused("backendServices.insert", body | MANAGED).message


def test_a_change_against_an_old_fingerprint_is_refused(compute):
    service(compute)
    old = compute("backendServices.get", backendService="bs")["fingerprint"]
    compute("backendServices.patch", {"timeoutSec": 7, "fingerprint": old}, backendService="bs")
    refused = compute.refused(
        "backendServices.patch", {"timeoutSec": 8, "fingerprint": old}, backendService="bs"
    )
    assert refused.code == 412
    found = compute("backendServices.get", backendService="bs")
    assert (found["timeoutSec"], found["sessionAffinity"], len(found["backends"])) == (7, "NONE", 1)


def test_a_rule_and_its_services_have_one_scheme(compute):
    service(compute)
    compute("urlMaps.insert", {"name": "um", "defaultService": "global/backendServices/bs"})
    compute("targetHttpProxies.insert", {"name": "px", "urlMap": "global/urlMaps/um"})
    rule = {"name": "fr", "target": "global/targetHttpProxies/px", "portRange": "80"}
    assert "loadBalancingScheme" in compute.refused("globalForwardingRules.insert", rule).message


def test_a_url_map_is_checked_against_its_own_tests(compute):
    service(compute)
    service(compute, "video")
    matcher = {
        "name": "paths",
        "defaultService": "global/backendServices/bs",
        "pathRules": [{"paths": ["/videos/*"], "service": "global/backendServices/video"}],
    }
    body = {
        "name": "um",
        "defaultService": "global/backendServices/bs",
        "hostRules": [{"hosts": ["*.example.com"], "pathMatcher": "paths"}],
        "pathMatchers": [matcher],
    }
    test = {"host": "www.example.com", "path": "/videos/1", "service": "global/backendServices/video"}
    compute("urlMaps.insert", body | {"tests": [test]})
    wrong = {"resource": body | {"tests": [test | {"path": "/videos"}]}}
    result = compute("urlMaps.validate", wrong, urlMap="um")["result"]
    assert (result["loadSucceeded"], result["testPassed"]) == (True, False)
    assert (
        compute.refused("urlMaps.insert", body | {"name": "b", "tests": [test | {"host": "x.org"}]}).code
        == 400
    )


@pytest.mark.parametrize(
    "value", [{"seconds": "soon"}, {"seconds": -1}, {"nanos": 10**9}, {"seconds": 10**12}]
)
def test_a_timeout_that_is_no_duration_is_refused_by_its_field(compute, value):
    service(compute)
    body = {"name": "um", "defaultRouteAction": {"timeout": value}}
    refused = compute.refused("urlMaps.insert", body | {"defaultService": "global/backendServices/bs"})
    assert "defaultRouteAction.timeout" in refused.message
