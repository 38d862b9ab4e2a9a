"""Direct VPC egress as packets meet it: tags, nothing gets in, the rate of an instance."""

from ipaddress import IPv4Address

import pytest
from bench.load import Way, served, throughput
from tests import worlds
from tests.lowered import lower
from tests.private_world import Lab

from fogbank.lowering.netns_names import connector_netns, instance_netns
from fogbank.network.topology import Element, Listener, NetnsName, SourceNat, Topology, Workload
from fogbank.resources.fleet import Fleet

pytestmark = pytest.mark.netns

MACHINE = connector_netns(worlds.connector_id("machines"), 0)
MACHINE_IP = IPv4Address("10.9.0.2")
"""A connector's machine, which stands for a VM: it translates nothing here."""

ADDRESSES = ("10.8.0.16", "10.8.0.18")


def stand(lab: Lab, *rules: object, tags: tuple[str, ...] = ("web",)) -> tuple[NetnsName, NetnsName]:
    """Build two instances, of which the first has ``tags``, in a network with ``rules``; name them."""
    revisions = [
        worlds.revision(
            f"web-0000{n}-abc",
            egress="all-traffic",
            interface={"network": "default", "subnetwork": "run", "tags": list(own)},
        )
        for n, own in enumerate((tags, ()))
    ]
    made = worlds.fleet(*revisions).instances.values()
    plugged = [worlds.direct(one, address) for one, address in zip(made, ADDRESSES, strict=True)]
    world = worlds.world(
        worlds.network(),
        worlds.default_route(),
        worlds.subnetwork("run", "10.8.0.0/26"),
        worlds.subnetwork("machines", "10.9.0.0/28"),
        worlds.connector("machines", "10.9.0.0/28", subnet="machines", machine="e2-standard-4"),
        *rules,  # type: ignore[arg-type]
        *revisions,
    )
    topology = lower(world, Fleet({each.id: each for each in plugged}), Topology()).topology
    lab.build(*filter(_kept, topology))
    first, second = (instance_netns(each.id) for each in plugged)
    return first, second


def _kept(element: Element) -> bool:
    return not isinstance(element, Workload | Listener) and not (
        isinstance(element, SourceNat) and element.netns.startswith("connector/")
    )


def test_source_tags_admit_tagged_instances_and_no_others(lab: Lab) -> None:
    tagged, plain = stand(
        lab,
        worlds.firewall("from-web", allowed=[{"IPProtocol": "tcp", "ports": ["80"]}], sourceTags=["web"]),
    )
    with lab.listen(MACHINE, MACHINE_IP, 80), lab.listen(MACHINE, MACHINE_IP, 81):
        assert lab.reaches(tagged, MACHINE_IP, 80)
        assert not lab.reaches(tagged, MACHINE_IP, 81)
        assert not lab.reaches(plain, MACHINE_IP, 80)


def test_egress_rules_choose_instances_by_their_tags(lab: Lab) -> None:
    tagged, plain = stand(
        lab,
        worlds.firewall("all", sourceRanges=["0.0.0.0/0"]),
        worlds.firewall("caged", "EGRESS", denied=[{"IPProtocol": "tcp"}], targetTags=["web"], priority=900),
    )
    with lab.listen(MACHINE, MACHINE_IP, 80):
        assert not lab.reaches(tagged, MACHINE_IP, 80)
        assert lab.reaches(plain, MACHINE_IP, 80)


def test_nothing_gets_into_an_instance_whatever_ingress_rules_say(lab: Lab) -> None:
    tagged, plain = stand(
        lab,
        worlds.firewall("all", sourceRanges=["0.0.0.0/0"], priority=0),
        worlds.firewall("to-web", sourceRanges=["0.0.0.0/0"], targetTags=["web"], priority=0),
    )
    own, other = map(IPv4Address, ADDRESSES)
    with lab.listen(tagged, own, 8080), lab.listen(plain, other, 8080), lab.listen(MACHINE, MACHINE_IP, 8080):
        assert lab.reaches(plain, MACHINE_IP, 8080), "the rule admits to others"
        assert not lab.reaches(MACHINE, own, 8080)
        assert not lab.reaches(plain, own, 8080)
        assert not lab.reaches(MACHINE, other, 8080)


@pytest.mark.slow(2)
def test_an_instance_sends_no_more_than_one_gigabit_a_second(lab: Lab) -> None:
    tagged, _ = stand(lab, worlds.firewall("all", sourceRanges=["0.0.0.0/0"]))
    way = Way("direct", tagged, MACHINE, str(MACHINE_IP))
    with served(lab.driver, [way]):
        rates = [throughput(lab.driver, way) for _ in range(4)]
    assert max(rates) <= 1.05
    assert max(rates) > 0.1, "nothing was measured"
