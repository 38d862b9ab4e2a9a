"""What is predicted, and how it is told."""

from ipaddress import IPv4Address

import pytest
from tests.lowered import lower
from tests.worlds import article, connector_id, default_route, firewall, fleet

from fogbank.network.packet_captures import CapturedPacket, ProbeResult
from fogbank.network.topology import DeviceName, NetnsName, Topology
from fogbank.paths.compare import Crossing, Observation, compare, observation
from fogbank.paths.explain import explain, to_json
from fogbank.paths.predict import predict
from fogbank.paths.trace import Branch, Cause, Delivered, Dropped, Flow, Judged, Trace, TraceHop
from fogbank.resources.world import Delete, Put

NOTHING = Topology()
SITE, POOL, RESERVED = "192.0.2.2", "198.51.100.8", "203.0.113.2"
VPC = "vpc/demo/default"


def ip(text):
    return IPv4Address(text)


def trace_of(made, running, destination=SITE, port=80, *, protocol=6, start=None):
    lowered = lower(made, running, NOTHING)
    netns = NetnsName(start or f"instance/{next(iter(running.instances))}")
    return predict(lowered.topology, Flow(netns, ip(destination), port, protocol)), lowered


def predicted(destination=SITE, port=80, protocol=6, *, more=(), **settings):
    made, running = article(**settings)
    return trace_of(made.after(more), running, destination, port, protocol=protocol)[0]


def causes(trace):
    return {b.disposition.cause for b in trace.branches if isinstance(b.disposition, Dropped)}


def test_all_traffic_arrives_from_the_reserved_address_by_every_machine():
    trace = predicted()
    assert trace.verdicts == {"accepted"}
    assert trace.sources == {ip(RESERVED)}
    assert len(trace.branches) == 2


def test_private_ranges_only_arrives_from_the_pool():
    assert predicted(egress="private-ranges-only").sources == {ip(POOL)}


def test_a_port_on_which_nobody_listens_refuses():
    assert predicted(port=81).verdicts == {"refused"}


@pytest.mark.parametrize(
    ("destination", "settings", "cause"),
    [
        (SITE, {"nats": False}, Cause.NO_EXTERNAL_ADDRESS),
        ("8.8.8.8", {}, Cause.UNKNOWN_EXTERNAL_ADDRESS),
        ("10.99.0.1", {}, Cause.PRIVATE_TRAFFIC_TO_INTERNET),
        ("10.124.0.9", {}, Cause.UNKNOWN_INTERNAL_ADDRESS),
        ("169.254.16.9", {}, Cause.ROUTE_BLACKHOLE),
    ],
)
def test_a_drop_has_googles_cause(destination, settings, cause):
    assert causes(predicted(destination, **settings)) == {cause}


def test_a_connector_that_is_gone_is_the_cause():
    gone = Delete(connector_id("cloud-run-connector"))
    assert causes(predicted(more=[gone])) == {Cause.VPC_CONNECTOR_NOT_RUNNING}


def test_without_the_default_route_no_route_matches():
    gone = Delete(default_route().name)
    assert causes(predicted(more=[gone])) == {Cause.NO_ROUTE}


def test_an_egress_rule_that_denies_is_named():
    deny = firewall("no-web", "EGRESS", priority=5, denied=[{"IPProtocol": "tcp", "ports": ["80"]}])
    trace = predicted(more=[Put(deny)])
    assert causes(trace) == {Cause.FIREWALL_RULE}
    judged = [step for step in trace.branches[0].hops[-1].steps if isinstance(step, Judged)]
    assert judged[-1].rule is not None
    assert judged[-1].rule.label == "no-web"
    assert predicted(port=443, more=[Put(deny)]).verdicts == {"accepted"}


def test_a_metadata_question_stays_in_the_fabric():
    trace = predicted("169.254.169.254")
    assert [hop.netns for hop in trace.branches[0].hops][1:] == ["fabric"]
    assert trace.branches[0].disposition == Delivered("metadata")


def test_one_instance_cannot_reach_another():
    made, running = article()
    deployed = next(iter(running.instances.values())).definition
    trace, _ = trace_of(made, fleet(deployed, deployed), "169.254.16.3", 8080)
    assert causes(trace) == {Cause.FIREWALL_RULE}


def test_nothing_new_enters_from_the_internet():
    made, running = article()
    trace, _ = trace_of(made, running, RESERVED, 80, start="site/ifconfig.me")
    assert causes(trace) == {Cause.NO_ROUTE_FROM_INTERNET_TO_PRIVATE_IPV4_ADDRESS}


def test_a_firewall_step_names_the_rules_resource():
    allow = firewall("let-it-out", "EGRESS", priority=5)
    made, running = article()
    trace, lowered = trace_of(made.after([Put(allow)]), running)
    steps = to_json(trace, lowered.owners)["traces"][0]["steps"]
    found = [s for s in steps if s["state"] == "APPLY_EGRESS_FIREWALL_RULE"]
    assert found[0]["resources"] == ["projects/demo/global/firewalls/let-it-out"]
    assert any("let-it-out: allow" in line for line in explain(trace, lowered.owners))


def test_a_packet_that_did_as_predicted_has_no_differences():
    trace = predicted()
    crossing = Crossing(NetnsName(VPC), ip("10.124.0.3"), ip(RESERVED))
    assert compare(trace, Observation("accepted", ip(RESERVED), (crossing,))) == ()


def test_every_disagreement_is_told():
    trace = predicted()
    crossing = Crossing(NetnsName("fabric"), ip("169.254.16.2"), ip(POOL))
    told = compare(trace, Observation("accepted", ip(POOL), (crossing,)))
    assert any("fabric" in sentence for sentence in told)
    assert any(POOL in sentence for sentence in told)
    assert compare(trace, Observation("dropped"))


def packet(netns, device, direction, source, microseconds):
    end = (ip(RESERVED), 80)
    return CapturedPacket(
        NetnsName(netns), DeviceName(device), direction, ip(source), 40000, *end, microseconds / 1e6
    )


def test_a_packet_that_crosses_a_network_twice_is_compared_passage_by_passage():
    trace = predicted(RESERVED)
    passed = [packet(VPC, "n1", "in", "10.124.0.3", 10), packet(VPC, "ext", "out", RESERVED, 20)]
    again = packet(VPC, "ext", "in", RESERVED, 30)
    assert compare(trace, observation(ProbeResult((*passed, again), "timeout", 40000, 2.0))) == ()
    back = packet(VPC, "n1", "out", "10.124.0.3", 40)
    (told,) = compare(trace, observation(ProbeResult((*passed, again, back), "timeout", 40000, 2.0)))
    assert f"it was {RESERVED} to 10.124.0.3" in told


def test_a_packet_dropped_for_want_of_a_port_agrees_where_it_is_translated():
    trace = predicted()
    assert compare(trace, Observation("dropped", out_of_ports=NetnsName(VPC))) == ()
    assert compare(trace, Observation("dropped", out_of_ports=NetnsName("internet"))) != ()
    assert compare(trace, Observation("refused", out_of_ports=None)) != ()


def test_a_packet_that_left_a_network_did_not_stay_for_want_of_a_port_there():
    came = packet(VPC, "n1", "in", "10.124.0.3", 10)
    left = packet(VPC, "ext", "out", RESERVED, 20)
    ran_out = {NetnsName(VPC)}
    assert observation(ProbeResult((came,), "timeout", 40000, 2.0), ran_out).out_of_ports == VPC
    assert observation(ProbeResult((came,), "timeout", 40000, 2.0)).out_of_ports is None
    assert observation(ProbeResult((came, left), "timeout", 40000, 2.0), ran_out).out_of_ports is None
    assert observation(ProbeResult((came,), "connected", 40000, 0.1), ran_out).out_of_ports is None


def test_a_guest_answers_as_its_programs_do_but_a_packet_that_vanishes_there_is_a_difference():
    hop = TraceHop(NetnsName("instance/vm-1"), None, None, IPv4Address("10.1.0.9"))
    branch = Branch((hop,), Delivered(None, guest=True), IPv4Address("10.1.0.9"))
    trace = Trace(Flow(hop.netns, IPv4Address("10.1.0.10"), 22), (branch,))
    for verdict in ("accepted", "refused"):
        assert compare(trace, Observation(verdict)) == ()
    (told,) = compare(trace, Observation("dropped"))
    assert told == "predicted accepted or refused, but the packet was dropped"
