"""Forwarding zones, server policies and response policies: what they hold, and what names mean."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import worlds
from tests.cloud_calls import PROJECT, Cloud, with_project

from fogbank.resources.dns import Forward, RecordSet, known, resolve
from fogbank.resources.names import compute_name
from fogbank.resources.world import Put

NETWORK = compute_name("networks", PROJECT, "global", None, "main")
OTHER = compute_name("networks", PROJECT, "global", None, "other")
BOUND = [{"networkUrl": NETWORK.self_link}]
SERVERS = {"targetNameServers": [{"ipv4Address": "10.0.0.53"}, {"ipv4Address": "192.0.2.53"}]}


@pytest.fixture
def cloud():
    with_project(PROJECT)
    try:
        return Cloud(Put(worlds.network("main")), Put(worlds.network("other")))
    finally:
        with_project("demo")


def call(cloud, method, body=None, **parameters):
    return cloud(f"dns.v1.{method}", body, project=PROJECT, **parameters)


def refuse(cloud, method, body=None, **parameters):
    error = cloud.refused(f"dns.v1.{method}", body, project=PROJECT, **parameters)
    return error.code, error.reason


def zone(cloud, name, dns_name, network=NETWORK, **more):
    seen = {"networks": [{"networkUrl": network.self_link}]}
    body = {"name": name, "dnsName": dns_name, "description": "", "visibility": "private"}
    return call(cloud, "managedZones.create", body | {"privateVisibilityConfig": seen} | more)


def policy(cloud, **more):
    return call(cloud, "policies.create", {"name": "p", "description": "", "networks": BOUND} | more)


def answers_of(cloud, **rules):
    """Make a response policy: each rule is about a name, with an address or None to let it pass."""
    body = {"responsePolicyName": "r", "networks": BOUND}
    call(cloud, "responsePolicies.create", body)
    for rule, (name, address) in rules.items():
        records = {"localDatas": [{"name": name, "type": "A", "ttl": 9, "rrdatas": [address]}]}
        says = {"localData": records} if address else {"behavior": "bypassResponsePolicy"}
        body = {"ruleName": rule, "dnsName": name} | says
        call(cloud, "responsePolicyRules.create", body, responsePolicy="r")


def targets(cloud, name, network=NETWORK):
    found = resolve(cloud.world, network, name)
    assert isinstance(found, Forward)
    return [(str(each.address), each.private) for each in found.targets]


def address(cloud, name, network=NETWORK):
    return [text for each in known(resolve(cloud.world, network, name)) for text in each.texts]


def test_a_forwarding_zone_asks_its_targets_through_the_network_when_they_are_private(cloud):
    made = zone(cloud, "f", "corp.example.", forwardingConfig=SERVERS)
    (first, _) = made["forwardingConfig"]["targetNameServers"]
    assert (first["ipv4Address"], first["forwardingPath"]) == ("10.0.0.53", "default")
    assert targets(cloud, "db.corp.example.") == [("10.0.0.53", True), ("192.0.2.53", False)]
    assert resolve(cloud.world, OTHER, "db.corp.example.") is None
    forced = {"targetNameServers": [{"ipv4Address": "192.0.2.53", "forwardingPath": "private"}]}
    call(cloud, "managedZones.patch", {"forwardingConfig": forced}, managedZone="f")
    assert targets(cloud, "db.corp.example.") == [("192.0.2.53", True)]


def test_an_alias_leads_into_a_forwarding_zone_and_a_peering_zone_through_the_other_network(cloud):
    zone(cloud, "f", "corp.example.", forwardingConfig=SERVERS)
    zone(cloud, "own", "own.example.")
    alias = {"name": "a.own.example.", "type": "CNAME", "ttl": 60, "rrdatas": ["db.corp.example."]}
    call(cloud, "resourceRecordSets.create", alias, managedZone="own")
    found = resolve(cloud.world, NETWORK, "a.own.example.")
    assert isinstance(found, Forward)
    assert (found.name, found.network) == ("db.corp.example.", NETWORK)
    assert found.before == (RecordSet("a.own.example.", "CNAME", 60, ("db.corp.example.",)),)
    peering = {"targetNetwork": {"networkUrl": NETWORK.self_link}}
    zone(cloud, "p", "corp.example.", OTHER, peeringConfig=peering)
    seen = resolve(cloud.world, OTHER, "db.corp.example.")
    assert isinstance(seen, Forward)
    assert seen.network == NETWORK


@pytest.mark.parametrize(
    "wrong",
    [
        {"targetNameServers": [{"ipv4Address": "ns.example"}]},
        {"targetNameServers": [{"ipv4Address": "169.254.169.254"}]},
        {"targetNameServers": [{"ipv4Address": "127.0.0.1"}]},
        {"targetNameServers": [{"ipv4Address": "10.0.0.1"}, {"ipv4Address": "10.0.0.1"}]},
    ],
)
def test_targets_that_cannot_be(cloud, wrong):
    body = {"name": "f", "dnsName": "x.example.", "description": "", "visibility": "private"}
    assert refuse(cloud, "managedZones.create", body | {"forwardingConfig": wrong}) == (400, "invalid")
    policy_body = {"name": "p", "description": "", "alternativeNameServerConfig": wrong}
    assert refuse(cloud, "policies.create", policy_body) == (400, "invalid")


def test_a_server_policy_sends_every_name_elsewhere_but_those_of_a_response_policy(cloud):
    zone(cloud, "own", "own.example.")
    made = policy(cloud, alternativeNameServerConfig=SERVERS, enableLogging=True)
    assert (made["enableInboundForwarding"], made["enableLogging"]) == (False, True)
    for name in ("own.example.", "vm.asia-northeast3-a.c.demo.internal.", "ifconfig.me."):
        assert targets(cloud, name) == [("10.0.0.53", True), ("192.0.2.53", False)]
    answers_of(cloud, one=("ifconfig.me.", "10.9.9.9"))
    assert address(cloud, "ifconfig.me.") == ["10.9.9.9"]
    assert address(cloud, "ifconfig.me.", OTHER) == ["192.0.2.2"]


def test_a_network_has_one_policy_of_each_kind_and_a_bound_policy_stays(cloud):
    policy(cloud)
    again = {"name": "q", "description": "", "networks": BOUND}
    assert refuse(cloud, "policies.create", again) == (400, "networkAlreadyBound")
    assert refuse(cloud, "policies.create", again | {"name": "p"}) == (409, "alreadyExists")
    assert refuse(cloud, "policies.delete", policy="p") == (400, "resourceInUse")
    call(cloud, "policies.update", {"name": "p", "description": "free"}, policy="p")
    assert call(cloud, "policies.get", policy="p")["description"] == "free"
    call(cloud, "policies.delete", policy="p")
    assert refuse(cloud, "policies.get", policy="p") == (404, "notFound")
    answers_of(cloud, one=("a.example.", "10.0.0.1"))
    other = {"responsePolicyName": "s", "networks": BOUND}
    assert refuse(cloud, "responsePolicies.create", other) == (400, "networkAlreadyBound")
    assert refuse(cloud, "responsePolicies.delete", responsePolicy="r") == (400, "resourceInUse")
    call(cloud, "responsePolicies.patch", {"networks": []}, responsePolicy="r")
    assert refuse(cloud, "responsePolicies.delete", responsePolicy="r") == (400, "resourceInUse")
    call(cloud, "responsePolicyRules.delete", responsePolicy="r", responsePolicyRule="one")
    call(cloud, "responsePolicies.delete", responsePolicy="r")
    assert not call(cloud, "responsePolicies.list")


def test_what_is_not_built_is_refused_by_name(cloud):
    for field in ({"enableInboundForwarding": True}, {"dns64Config": {"scope": {"allQueries": True}}}):
        body = {"name": "p", "description": ""} | field
        assert refuse(cloud, "policies.create", body)[1] == "notImplemented"
    clusters = {"responsePolicyName": "r", "gkeClusters": [{"gkeClusterName": "c"}]}
    assert refuse(cloud, "responsePolicies.create", clusters)[1] == "notImplemented"


def test_the_closest_rule_answers_and_a_bypass_lets_the_zones_answer(cloud):
    zone(cloud, "own", "example.")
    record = {"name": "pass.corp.example.", "type": "A", "ttl": 60, "rrdatas": ["10.0.0.7"]}
    call(cloud, "resourceRecordSets.create", record, managedZone="own")
    answers_of(
        cloud,
        all=("*.corp.example.", "10.0.0.1"),
        exact=("db.corp.example.", "10.0.0.2"),
        through=("pass.corp.example.", None),
        deep=("*.deep.corp.example.", "10.0.0.3"),
    )
    assert address(cloud, "x.corp.example.") == address(cloud, "y.x.corp.example.") == ["10.0.0.1"]
    assert address(cloud, "db.corp.example.") == ["10.0.0.2"]
    assert address(cloud, "x.deep.corp.example.") == ["10.0.0.3"]
    assert address(cloud, "pass.corp.example.") == ["10.0.0.7"]
    assert resolve(cloud.world, NETWORK, "corp.example.") == ()  # no rule is about the wildcard's parent
    assert resolve(cloud.world, NETWORK, "db.corp.example.", "TXT") == ()
    change = {"behavior": "bypassResponsePolicy"}
    place = {"responsePolicy": "r", "responsePolicyRule": "exact"}
    call(cloud, "responsePolicyRules.patch", change, **place)
    assert resolve(cloud.world, NETWORK, "db.corp.example.") is None
    both = {"ruleName": "n", "dnsName": "db.corp.example.", "behavior": "bypassResponsePolicy"}
    assert refuse(cloud, "responsePolicyRules.create", both, responsePolicy="r") == (409, "alreadyExists")
    nothing = {"ruleName": "n", "dnsName": "n.example."}
    assert refuse(cloud, "responsePolicyRules.create", nothing, responsePolicy="r") == (400, "invalid")


@given(
    rule=st.sampled_from([None, "local", "bypass"]),
    elsewhere=st.booleans(),
    private=st.sampled_from([None, "records", "forwarding"]),
    public=st.booleans(),
)
def test_a_name_means_what_the_first_in_googles_order_says(rule, elsewhere, private, public):
    """Response policy, server policy, private zone, public zone: in this order, whatever else there is."""
    with_project(PROJECT)
    try:
        cloud = Cloud(Put(worlds.network("main")))
    finally:
        with_project("demo")
    name = "www.corp.example."
    if rule:
        answers_of(cloud, one=(name, "10.1.1.1" if rule == "local" else None))
    if elsewhere:
        policy(cloud, alternativeNameServerConfig={"targetNameServers": [{"ipv4Address": "10.2.2.2"}]})
    if private == "forwarding":
        servers = {"targetNameServers": [{"ipv4Address": "10.3.3.3"}]}
        zone(cloud, "inside", "corp.example.", forwardingConfig=servers)
    elif private:
        zone(cloud, "inside", "corp.example.")
    if public:
        call(cloud, "managedZones.create", {"name": "out", "dnsName": "example.", "description": ""})
        record = {"name": name, "type": "A", "ttl": 60, "rrdatas": ["10.4.4.4"]}
        call(cloud, "resourceRecordSets.create", record, managedZone="out")
    found = resolve(cloud.world, NETWORK, name)
    if rule == "local":
        assert [each.texts for each in known(found)] == [("10.1.1.1",)]
    elif elsewhere or private == "forwarding":
        wanted = "10.2.2.2" if elsewhere else "10.3.3.3"
        assert isinstance(found, Forward)
        assert [each.address for each in found.targets] == [IPv4Address(wanted)]
    elif private or not public:
        assert found is None
    else:
        assert [each.texts for each in known(found)] == [("10.4.4.4",)]
