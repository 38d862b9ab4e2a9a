"""Every setting that stops a flow is named with what lifts it, and no other is."""

from ipaddress import IPv4Address

import pytest
from tests.lowered import lower
from tests.worlds import (
    article,
    connector_id,
    default_route,
    firewall,
    nat,
    router,
)

from fogbank.lowering.netns_names import instance_netns
from fogbank.network.topology import Topology
from fogbank.paths.blockers import blockers
from fogbank.paths.predict import predict
from fogbank.paths.remedies import Remedies
from fogbank.paths.trace import Flow
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Delete, Put

SITE = "192.0.2.2"
SENDER = ResourceName("run.services", "projects/demo/locations/asia-northeast3/services/production")


def asked(destination=SITE, port=80, *, more=(), **settings):
    made, running = article(**settings)
    made = made.after(more)
    lowered = lower(made, running, Topology())
    flow = Flow(instance_netns(next(iter(running.instances))), IPv4Address(destination), port)
    remedies = Remedies(made, lowered.owners, SENDER)
    found = remedies.lifting(blockers(lowered.topology, flow))
    return list(found), predict(lowered.topology, flow)


def denied(name="no-web", priority=5):
    return Put(firewall(name, "EGRESS", priority=priority, denied=[{"IPProtocol": "tcp", "ports": ["80"]}]))


def test_a_flow_that_arrives_has_no_blocker():
    assert asked() == ([], asked()[1])


def test_settings_beyond_the_first_are_named_too():
    found, trace = asked(more=[denied(), Delete(default_route().name), Put(router("cloud-run-router"))])
    assert trace.verdicts == {"dropped"}
    assert [each.cause for each in found] == ["NO_ROUTE"]
    found, _ = asked(more=[denied(), Put(router("cloud-run-router"))])
    # Both machines of the connector are stopped by the same settings, which are named once.
    assert [each.cause for each in found] == ["FIREWALL_RULE", "NO_EXTERNAL_ADDRESS"]


def test_a_rule_that_denies_stays_and_another_comes_before_it():
    (found, *_), _ = asked(more=[denied()])
    assert found.setting == "projects/demo/global/firewalls/no-web"
    assert "no-web (priority 5) denies tcp:80" in found.sentence
    assert "--direction=EGRESS" in found.command
    assert f"--destination-ranges={SITE}/32 --priority=4" in found.command


def test_nothing_comes_before_priority_zero():
    (found, *_), _ = asked(more=[denied(priority=0)])
    assert found.command.startswith("gcloud compute firewall-rules update no-web --project=demo --disabled")


@pytest.mark.parametrize(
    ("nats", "command"),
    [
        ([], "routers nats create default-nat --router=cloud-run-router"),
        (
            [nat("other", (), ["elsewhere"])],
            "routers nats create nat-cloud-run-subnet --router=cloud-run-router",
        ),
    ],
)
def test_a_missing_gateway_is_made_beside_those_that_are_there(nats, command):
    found, _ = asked(more=[Put(router("cloud-run-router", nats))])
    assert {each.cause for each in found} == {"NO_EXTERNAL_ADDRESS"}
    assert all(command in each.command for each in found)


def test_without_a_router_one_is_made_first():
    gone = Delete(router("cloud-run-router").name)
    found, _ = asked(more=[gone])
    assert all(each.command.startswith("gcloud compute routers create default ") for each in found)


@pytest.mark.parametrize(
    ("destination", "port", "changes", "cause"),
    [
        ("8.8.8.8", 80, (), "UNKNOWN_EXTERNAL_ADDRESS"),
        ("10.99.0.1", 80, (), "PRIVATE_TRAFFIC_TO_INTERNET"),
        ("10.124.0.9", 80, (), "UNKNOWN_INTERNAL_ADDRESS"),
        (SITE, 81, (), "NOTHING_LISTENS"),
        (SITE, 80, (Delete(connector_id("cloud-run-connector")),), "VPC_CONNECTOR_NOT_RUNNING"),
    ],
)
def test_what_no_setting_lifts_is_said(destination, port, changes, cause):
    found, _ = asked(destination, port, more=changes)
    assert {each.cause for each in found} == {cause}
    assert all(each.sentence for each in found)


def test_lifting_every_setting_lets_the_flow_through():
    allow = firewall("allow", "EGRESS", priority=4, allowed=[{"IPProtocol": "tcp", "ports": ["80"]}])
    served = router("cloud-run-router", [nat("new", ["cloud-run-origin-ip"], ["cloud-run-subnet"])])
    found, trace = asked(more=[denied(), Put(allow), Put(served)])
    assert (found, trace.verdicts) == ([], {"accepted"})
