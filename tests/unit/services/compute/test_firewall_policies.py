"""Network firewall policies, global and regional."""

import pytest
from tests.compute_calls import LINK, REGION, Compute

DEFAULTS = (2147483644, 2147483645, 2147483646, 2147483647)
MATCH = {
    "srcIpRanges": ["10.0.0.0/8"],
    "layer4Configs": [{"ipProtocol": "tcp", "ports": ["80", "8000-9000"]}],
}
RULE = {
    "priority": 100,
    "action": "allow",
    "direction": "INGRESS",
    "match": MATCH,
}


@pytest.fixture
def compute():
    made = Compute()
    made.network("net")
    made.network("other")
    return made


class Scope:
    """The methods of one scope, called alike for both."""

    def __init__(self, compute, collection, **place):
        self.compute, self.collection, self.place = compute, collection, place

    def __call__(self, verb, body=None, policy="p", **parameters):
        where = {} if verb in {"insert", "list"} else {"firewallPolicy": policy}
        return self.compute(f"{self.collection}.{verb}", body, **where, **self.place, **parameters)

    def refused(self, verb, body=None, policy="p", **parameters):
        where = {} if verb in {"insert", "list"} else {"firewallPolicy": policy}
        return self.compute.refused(f"{self.collection}.{verb}", body, **where, **self.place, **parameters)

    def priorities(self, policy="p"):
        return tuple(each["priority"] for each in self("get", policy=policy)["rules"])

    @property
    def region(self):
        return self.place.get("region")


@pytest.fixture(params=["networkFirewallPolicies", "regionNetworkFirewallPolicies"])
def policies(compute, request):
    place = {"region": REGION} if request.param.startswith("region") else {}
    scope = Scope(compute, request.param, **place)
    scope("insert", {"name": "p", "description": "of mine"})
    return scope


def test_a_new_policy_lets_everything_go_on(policies):
    shown = policies("get")
    place = f"regions/{REGION}" if policies.region else "global"
    assert shown["selfLink"] == f"{LINK}/{place}/firewallPolicies/p"
    assert shown["selfLinkWithId"] == f"{LINK}/{place}/firewallPolicies/{shown['id']}"
    assert (shown["kind"], shown["description"], shown["ruleTupleCount"]) == (
        "compute#firewallPolicy",
        "of mine",
        8,
    )
    assert policies.priorities() == DEFAULTS
    assert {each["action"] for each in shown["rules"]} == {"goto_next"}
    assert policies("getRule", priority=2147483645) == {
        "kind": "compute#firewallPolicyRule",
        "priority": 2147483645,
        "description": "default ingress rule ipv6",
        "action": "goto_next",
        "direction": "INGRESS",
        "enableLogging": False,
        "match": {"srcIpRanges": ["::/0"], "layer4Configs": [{"ipProtocol": "all"}]},
        "ruleTupleCount": 2,
    }


def test_rules_are_added_changed_and_removed(policies):
    before = policies("get")["fingerprint"]
    policies("addRule", RULE)
    assert policies.priorities() == (100, *DEFAULTS)
    assert policies("getRule", priority=100) == RULE | {
        "kind": "compute#firewallPolicyRule",
        "description": "",
        "ruleTupleCount": 4,
    }
    assert policies("get")["ruleTupleCount"] == 12
    assert policies("get")["fingerprint"] != before
    policies("patchRule", {"action": "deny", "priority": 90, "enableLogging": True}, priority=100)
    changed = policies("getRule", priority=90)
    assert (changed["action"], changed["enableLogging"], changed["match"]) == ("deny", True, MATCH)
    policies("removeRule", priority=90)
    assert policies.priorities() == DEFAULTS


def test_a_rule_that_is_not_there_is_told_as_google_tells_it(policies):
    missing = "The firewall policy does not contain a rule at priority 9000."
    wanted = f"Invalid value for field 'priority': '9000'. {missing}"
    for verb in ("getRule", "removeRule"):
        refusal = policies.refused(verb, priority=9000)
        assert (refusal.code, refusal.message) == (400, wanted)
    assert policies.refused("patchRule", {"action": "deny"}, priority=9000).message == wanted


def test_a_priority_belongs_to_one_rule(policies):
    policies("addRule", RULE)
    assert "Cannot have rules with the same priorities." in policies.refused("addRule", RULE).message
    policies("addRule", RULE | {"priority": 101})
    assert policies.refused("patchRule", {"priority": 100}, priority=101).code == 400
    free = {key: value for key, value in RULE.items() if key != "priority"}
    policies("addRule", free, minPriority=100, maxPriority=110)
    assert policies.priorities() == (100, 101, 102, *DEFAULTS)
    assert policies.refused("removeRule", priority=DEFAULTS[0]).code == 400


@pytest.mark.parametrize(
    "change",
    [
        {"action": "maybe"},
        {"direction": "SIDEWAYS"},
        {"priority": 2147483648},
        {"match": {"srcIpRanges": ["10.0.0.0/8"]}},
        {"match": {"layer4Configs": [{"ipProtocol": "icmp", "ports": ["1"]}]}},
        {"match": {"layer4Configs": [{"ipProtocol": "nosuch"}]}},
        {"match": {"srcIpRanges": ["10.0.0.1/8"], "layer4Configs": [{"ipProtocol": "all"}]}},
    ],
)
def test_what_makes_no_sense_is_refused(policies, change):
    refusal = policies.refused("addRule", RULE | change)
    assert (refusal.code, "is not built" in refusal.message) == (400, False)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"action": "apply_security_profile_group"}, "apply_security_profile_group"),
        ({"targetSecureTags": [{"name": "tagValues/1"}]}, "targetSecureTags"),
        ({"match": MATCH | {"srcSecureTags": [{"name": "tagValues/1"}]}}, "srcSecureTags"),
        ({"match": MATCH | {"srcFqdns": ["example.com"]}}, "srcFqdns"),
        ({"match": MATCH | {"srcRegionCodes": ["KR"]}}, "srcRegionCodes"),
        ({"match": MATCH | {"srcIpRanges": ["2001:db8::/32"]}}, "IPv6"),
    ],
)
def test_what_is_not_built_is_refused_by_name(policies, change, named):
    assert named in policies.refused("addRule", RULE | change).message


def test_an_association_makes_it_count_for_a_network(compute, policies):
    policies("addAssociation", {"name": "a", "attachmentTarget": "global/networks/net"})
    shown = policies("getAssociation", name="a")
    assert (shown["attachmentTarget"], shown["shortName"]) == (f"{LINK}/global/networks/net", "p")
    place = "regions/asia-northeast3" if policies.region else "global"
    path = f"projects/demo/{place}/firewallPolicies/p"
    assert compute.in_use("networks.delete", network="net").endswith(f"already being used by '{path}'")
    assert policies("get")["associations"] == [shown]
    message = policies.compute.in_use(f"{policies.collection}.delete", firewallPolicy="p", **policies.place)
    assert message.endswith("'projects/demo/global/networks/net'")
    policies("removeAssociation", name="a")
    assert "associations" not in policies("get")
    assert policies.refused("removeAssociation", name="a").code == 400
    assert policies("delete").status == "RUNNING"


def test_a_network_has_one_policy_of_a_scope(policies):
    policies("insert", {"name": "q"})
    target = {"attachmentTarget": "global/networks/net"}
    policies("addAssociation", {"name": "a"} | target)
    assert policies.refused("addAssociation", {"name": "b"} | target, policy="q").reason == "alreadyExists"
    assert policies.refused("addAssociation", {"name": "b"} | target).reason == "alreadyExists"
    policies("addAssociation", {"name": "b"} | target, policy="q", replaceExistingAssociation=True)
    assert "associations" not in policies("get")
    assert [each["name"] for each in policies("get", policy="q")["associations"]] == ["b"]


def test_effective_firewalls_show_the_policies_with_their_rules(compute, policies):
    compute("firewalls.insert", {"name": "f", "network": "net", "allowed": [{"IPProtocol": "tcp"}]})
    policies("addRule", RULE)
    policies("addAssociation", {"name": "a", "attachmentTarget": "global/networks/net"})
    if policies.region:
        found = policies.compute(
            "regionNetworkFirewallPolicies.getEffectiveFirewalls",
            region=REGION,
            network="global/networks/net",
        )
    else:
        found = compute("networks.getEffectiveFirewalls", network="net")
        assert compute("networks.get", network="net")["firewallPolicy"].endswith("/global/firewallPolicies/p")
    assert [each["name"] for each in found["firewalls"]] == ["f"]
    (policy,) = found["firewallPolicys"]
    assert policy["type"] == ("NETWORK_REGIONAL" if policies.region else "NETWORK")
    assert policy["rules"][0]["priority"] == 100


def test_rules_are_cloned_and_replaced_whole(policies):
    policies("addRule", RULE)
    policies("insert", {"name": "q", "rules": [RULE | {"priority": 7}]})
    assert policies.priorities("q") == (7, *DEFAULTS)
    policies("cloneRules", policy="q", sourceFirewallPolicy=policies("get")["selfLink"])
    assert policies.priorities("q") == (100, *DEFAULTS)
    current = policies("get", policy="q")["fingerprint"]
    policies("patch", {"rules": [RULE | {"priority": 5}], "fingerprint": current}, policy="q")
    assert policies.priorities("q") == (5, *DEFAULTS)
    stale = {"description": "new", "fingerprint": current}
    assert policies.refused("patch", stale, policy="q").code == 412


def test_each_scope_lists_its_own(compute, policies):
    other = "networkFirewallPolicies" if policies.region else "regionNetworkFirewallPolicies"
    place = {} if policies.region else {"region": REGION}
    compute(f"{other}.insert", {"name": "elsewhere"}, **place)
    assert [each["name"] for each in policies("list")] == ["p"]
    assert {each["name"] for each in compute("networkFirewallPolicies.aggregatedList")} == {"p", "elsewhere"}
