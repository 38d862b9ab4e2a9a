"""A plan in words: one line for each change, which a person understands."""

import json
from dataclasses import replace
from ipaddress import IPv4Address

from inline_snapshot import snapshot
from tests import worlds
from tests.elements import ELEMENTS
from tests.lowered import lower

from fogbank.network.topology import BUILD_ORDER, FirewallPolicy, Listener, Topology
from fogbank.planning.plan import Remove, Replace, plan
from fogbank.planning.words import action_json, words


def article() -> Topology:
    world, fleet = worlds.article()
    return lower(world, fleet, Topology()).topology


def test_every_kind_of_element_has_a_line_of_its_own() -> None:
    topology = article()
    first = {type(element): words(element) for element in reversed(list(topology))}
    assert "".join(f"{first[kind]}\n" for kind in BUILD_ORDER if kind in first) == snapshot("""\
router internet
link internet 192.0.2.2 — site/ifconfig.me eth0, MTU 1460
address 169.254.1.1 on lo of internet
route to 0.0.0.0/0 in internet: discarded
limit of 100 Mbit/s on what leaves connector/demo/asia-northeast3/cloud-run-connector/0 by eth0
firewall of fabric, nothing untranslated by ext
member 10.124.0.2 of tag-vpc-connector-asia-northeast3-cloud-run-connector in vpc/demo/default
policy closed in fabric: else deny
port security of 10.124.0.2 behind 10.124.0.2 of vpc/demo/default: in by ingress-135dba2d, out by egress-135dba2d
translation of 169.254.16.0/20 to 10.124.0.2, leaving connector/demo/asia-northeast3/cloud-run-connector/0 by eth1
listener tcp 192.0.2.1:80 in internet, for front-end
container production-00001-abc-0002 in instance/production-00001-abc-0002, image sha256:abababababab, port 8080
""")  # noqa: E501
    assert len({words(element) for element in ELEMENTS}) == len(ELEMENTS)
    assert not [line for line in map(words, [*topology, *ELEMENTS]) if "\n" in line or "(" in line]


def test_a_replacement_says_what_was_and_what_comes() -> None:
    policy = next(policy for policy in article().of_kind(FirewallPolicy) if len(policy.rules) > 1)
    shown = action_json(Replace(policy, replace(policy, rules=policy.rules[:1])))
    assert shown["action"] == "replace"
    assert shown["oldText"] != shown["text"]


def test_a_program_gets_the_fields() -> None:
    actions = [action_json(action) for action in plan(Topology(), article())]
    assert json.loads(json.dumps(actions)) == actions
    (route,) = (
        a
        for a in actions
        if a["kind"] == "route"
        and a["element"]["netns"] == "vpc/demo/default"
        and a["element"]["destination"] == "0.0.0.0/0"
    )
    assert route["element"]["hops"] == [{"device": "ext", "via": "169.254.1.1"}]


def test_what_goes_is_removed() -> None:
    listener = next(e for e in article() if isinstance(e, Listener))
    shown = action_json(Remove(replace(listener, address=IPv4Address("192.0.2.2"))))
    assert (shown["action"], shown["element"]["address"]) == ("remove", "192.0.2.2")
