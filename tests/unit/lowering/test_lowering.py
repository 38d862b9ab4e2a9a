"""What each feature makes of its resources."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from tests.lowered import compiler, lower
from tests.worlds import (
    address,
    article,
    connector,
    connector_id,
    default_route,
    firewall,
    fleet,
    link,
    nat,
    nat_rule,
    network,
    regional,
    revision,
    route,
    router,
    site,
    subnetwork,
    world,
)

from fogbank.lowering.netns_names import device_named
from fogbank.network.topology import (
    DeviceName,
    FirewallPolicy,
    Hop,
    Link,
    Listener,
    NetworkNamespace,
    PortSecurity,
    Route,
    Shaper,
    SourceNat,
    Topology,
    UnservedClient,
    Workload,
)
from fogbank.resources.compute import GROWN_NAT_PORTS
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import Delete, Put

NOTHING = Topology()
VPC = "vpc/demo/default"
TAG = "vpc-connector-asia-northeast3-c"


def topology(made, running=None, observed=NOTHING):
    return lower(made, running or Fleet(), observed).topology


def base(*more):
    own = (subnetwork("s", "10.1.0.0/28"), connector("c", "10.1.0.0/28", subnet="s"))
    return world(network(), default_route(), *own, *more)


def routes(found, netns):
    return {str(r.destination): r for r in found.of_kind(Route) if r.netns == netns}


def translations(found, netns=VPC):
    return {str(n.inside): f"{n.outside}:{n.ports}" for n in found.of_kind(SourceNat) if n.netns == netns}


def test_a_region_without_resources_is_the_internet_and_the_fabric():
    found = topology(world())
    assert {s.name.partition("/")[0] for s in found.of_kind(NetworkNamespace)} == {
        "internet",
        "fabric",
        "site",
    }
    assert {s.service for s in found.of_kind(Listener)} == {"front-end", "metadata", "resolver", "site"}


def test_a_partner_listens_on_its_own_ports_too_for_datagrams_as_well():
    found = topology(world(site("partner.example", "192.0.2.40", [8443])))
    listeners = [one for one in found.of_kind(Listener) if one.netns == "site/partner.example"]
    assert {one.port for one in listeners if one.protocol == "tcp"} == {80, 443, 8443}
    assert {one.port for one in listeners if one.protocol == "udp"} == {8443}


def test_a_connector_in_error_has_no_machines():
    made = world(network(), connector("c", state="ERROR"))
    assert not [s for s in topology(made).of_kind(NetworkNamespace) if s.name.startswith("connector/")]


def test_a_connector_without_a_subnet_brings_a_hidden_one():
    found = topology(world(network(), connector("c", "10.8.0.0/28")))
    assert "10.8.0.0/28" in routes(found, VPC)


def test_each_machine_is_held_to_the_rate_of_its_type_in_both_directions():
    found = topology(world(network(), connector("c", machine="e2-standard-4")))
    assert [s.bits_per_second for s in found.of_kind(Shaper)] == [1_600_000_000] * 4


def test_the_network_decides_how_large_the_packets_of_its_interfaces_are():
    found = topology(world(network(mtu=1300), connector("c")))
    sizes = {link.mtu for link in found.of_kind(Link) if link.left.netns == VPC and link.left.device != "ext"}
    assert sizes == {1300}


class TestCloudNat:
    def gateway(self, *, listed=("s",), **more):
        return router("r", [nat("n", ["a"], listed, **more)])

    def test_serves_every_machine_of_a_connector_in_a_listed_subnet(self):
        found = translations(topology(base(address("a", "203.0.113.2"), self.gateway())))
        assert found == {"10.1.0.2/32": "203.0.113.2:1024-1087", "10.1.0.3/32": "203.0.113.2:1088-1151"}

    def test_does_not_serve_a_subnet_that_is_not_listed(self):
        made = base(address("a", "203.0.113.2"), subnetwork("t", "10.2.0.0/28"), self.gateway(listed=("t",)))
        assert translations(topology(made)) == {}

    def test_serves_hidden_subnets_when_it_serves_all(self):
        made = world(network(), connector("c"), address("a", "203.0.113.2"), self.gateway(listed=None))
        assert len(translations(topology(made))) == 2

    def test_serves_only_its_own_region(self):
        far = router("r", [nat("n", ["a"], None, "us-central1")], region="us-central1")
        made = base(address("a", "203.0.113.2", "us-central1"), far)
        assert translations(topology(made)) == {}

    def test_rounds_ports_up_to_a_power_of_two(self):
        found = translations(topology(base(address("a", "203.0.113.2"), self.gateway(minPortsPerVm=1000))))
        assert found["10.1.0.3/32"] == "203.0.113.2:2048-3071"

    def test_gives_no_translation_to_those_for_whom_no_ports_are_left(self):
        made = base(address("a", "203.0.113.2"), self.gateway(minPortsPerVm=32768))
        assert translations(topology(made)) == {"10.1.0.2/32": "203.0.113.2:32768-65535"}

        (unserved,) = topology(made).of_kind(UnservedClient)
        assert (unserved.netns, str(unserved.inside)) == (VPC, "10.1.0.3/32")

    def test_takes_several_blocks_on_all_its_addresses_where_one_is_not_enough(self):
        gateway = router("r", [nat("n", ["a", "b"], ("s",), minPortsPerVm=65536)])
        made = base(address("a", "203.0.113.2"), address("b", "203.0.113.3"), gateway)
        (served,) = (each for each in topology(made).of_kind(SourceNat) if each.netns == VPC)
        assert [f"{each.outside}:{each.ports}" for each in served.blocks] == [
            "203.0.113.2:32768-65535",
            "203.0.113.3:32768-65535",
        ]
        assert len(topology(made).of_kind(UnservedClient)) == 1

    def test_rules_deal_blocks_of_their_own_and_say_for_whom_there_are_none(self):
        match = "destination.ip == '192.0.2.40'"
        gateway = self.gateway(rules=[nat_rule(4, match, "b")], minPortsPerVm=32768, listed=("s",))
        made = base(address("a", "203.0.113.2"), address("b", "203.0.113.3"), gateway)
        (served,) = (each for each in topology(made).of_kind(SourceNat) if each.netns == VPC)
        (rule,) = served.rules
        assert (rule.number, str(rule.destinations[0])) == (4, "192.0.2.40/32")
        assert [str(block.outside) for block in rule.blocks] == ["203.0.113.3"]
        assert {"203.0.113.2/32", "203.0.113.3/32"} <= routes(topology(made), "internet").keys()
        two = router(
            "r", [nat("n", ["a", "c"], ("s",), rules=[nat_rule(4, match, "b")], minPortsPerVm=32768)]
        )
        made = base(*(address(n, f"203.0.113.{i}") for i, n in enumerate("abc", 2)), two)
        found = [each.rules[0].blocks for each in topology(made).of_kind(SourceNat) if each.netns == VPC]
        assert sorted(map(len, found)) == [0, 1]

    def test_gives_a_dynamic_client_what_it_grew_to_around_what_it_has(self):
        def grown(**clients):
            made = self.gateway(enableDynamicPortAllocation=True, minPortsPerVm=32)
            private = {GROWN_NAT_PORTS: {"n": {f"10.1.0.{n[1:]}": ports for n, ports in clients.items()}}}
            return base(address("a", "203.0.113.2"), replace(made, private=private))

        before = topology(grown())
        assert set(translations(before).values()) == {"203.0.113.2:1024-1055", "203.0.113.2:1056-1087"}
        after = topology(grown(c2=128), observed=before)
        (one,) = (each for each in after.of_kind(SourceNat) if str(each.inside) == "10.1.0.2/32")
        assert [str(block.ports) for block in one.blocks] == ["1024-1055", "1088-1151", "1152-1183"]
        again = topology(grown(), observed=after)
        assert translations(again) == translations(before)

    def test_an_address_that_is_in_use_again_keeps_the_flows_that_it_kept_while_it_was_drained(self):
        both = (address("a", "203.0.113.2"), address("b", "203.0.113.3"))
        drained = router("r", [nat("n", ["b"], ("s",), drainNatIps=[link(regional("addresses", "a"))])])
        before = topology(base(*both, drained))
        after = topology(base(*both, router("r", [nat("n", ["b", "a"], ("s",))])), observed=before)
        found = {n.draining for n in after.of_kind(SourceNat) if n.netns == VPC}
        assert found == {(IPv4Address("203.0.113.2"),)}

    def test_uses_the_addresses_that_it_made_itself(self):
        automatic = nat("n", (), None) | {"natIpAllocateOption": "AUTO_ONLY"}
        made_address = address("nat-auto-ip-1", "203.0.113.7")
        made = base(made_address, router("r", [automatic], n=[made_address.name.path]))
        assert translations(topology(made))["10.1.0.2/32"].startswith("203.0.113.7:")

    def test_moves_clients_off_a_drained_address_but_keeps_the_way_back(self):
        before = topology(base(address("a", "203.0.113.2"), self.gateway()))
        drained = nat("n", ["b"], ("s",), drainNatIps=[link(regional("addresses", "a"))])
        made = base(address("a", "203.0.113.2"), address("b", "203.0.113.3"), router("r", [drained]))
        after = topology(made, observed=before)
        assert all(to.startswith("203.0.113.3:") for to in translations(after).values())
        assert {"203.0.113.2/32", "203.0.113.3/32"} <= routes(after, "internet").keys()
        assert {n.draining for n in after.of_kind(SourceNat) if n.netns == VPC} == {
            (IPv4Address("203.0.113.2"),)
        }

    def test_clients_keep_their_ports_when_others_come_before_them(self):
        made = world(network(), connector("c"), address("a", "203.0.113.2"), self.gateway(listed=None))
        before = topology(made)
        grown = made.after([Put(connector("a", "10.9.0.0/28")), Put(connector("c", instances=4))])
        kept, fresh = translations(topology(grown, observed=before)), translations(topology(grown))
        assert translations(before).items() <= kept.items()
        assert not translations(before).items() <= fresh.items()
        assert len(set(kept.values())) == len(kept) == 6

    def test_a_reserved_address_that_no_gateway_uses_leads_nowhere(self):
        assert "203.0.113.2/32" not in routes(topology(base(address("a", "203.0.113.2"))), "internet")

    def test_its_timeouts_come_from_the_gateway(self):
        made = base(address("a", "203.0.113.2"), self.gateway(tcpTimeWaitTimeoutSec=7, udpIdleTimeoutSec=5))
        found = next(n for n in topology(made).of_kind(SourceNat) if n.netns == VPC)
        assert (found.timeouts.tcp_time_wait, found.timeouts.udp, found.timeouts.icmp) == (7, 5, 30)


class TestFirewall:
    def policies(self, *rules):
        found = topology(base(*rules))
        port_security = next(g for g in found.of_kind(PortSecurity) if g.netns == VPC)
        policies = {p.name: p for p in found.of_kind(FirewallPolicy) if p.netns == VPC}
        return policies[port_security.ingress], policies[port_security.egress]

    def test_without_rules_nothing_enters_and_everything_leaves(self):
        ingress, egress = self.policies()
        assert (ingress.rules, ingress.default) == ((), "deny")
        assert (egress.rules, egress.default) == ((), "allow")

    def test_rules_stand_by_priority_and_deny_before_allow(self):
        rules = [
            firewall("later", priority=2000),
            firewall("allowed", priority=100),
            firewall("denied", priority=100, denied=[{"IPProtocol": "tcp"}]),
        ]
        assert [rule.label for rule in self.policies(*rules)[0].rules] == ["denied", "allowed", "later"]

    def test_a_disabled_rule_is_not_in_force(self):
        assert self.policies(firewall("off", disabled=True))[0].rules == ()

    def test_a_rule_for_another_tag_or_a_service_account_does_not_apply(self):
        rules = [
            firewall("mine", targetTags=[TAG]),
            firewall("all-connectors", targetTags=["vpc-connector", "other"]),
            firewall("theirs", targetTags=["web"]),
            firewall("account", targetServiceAccounts=["x@y"]),
        ]
        assert [rule.label for rule in self.policies(*rules)[0].rules] == ["all-connectors", "mine"]

    def test_endpoints_that_the_same_rules_choose_share_their_policies(self):
        found = topology(base(connector("d", "10.9.0.0/28"), firewall("web", targetTags=["web"])))
        assert len([g for g in found.of_kind(PortSecurity) if g.netns == VPC]) == 4
        assert {p.name for p in found.of_kind(FirewallPolicy) if p.netns == VPC} == {"ingress", "egress"}

    def test_changing_a_rule_changes_one_policy_and_no_port_security(self):
        before = base(firewall("web", priority=1))
        after = before.after([Put(firewall("web", priority=2, denied=[{"IPProtocol": "all"}]))])
        changed = {e.key for e in topology(after) if e not in topology(before)}
        assert changed == {("firewall-policy", VPC, "ingress")}


class TestRoutes:
    def test_without_a_default_route_nothing_leaves(self):
        found = topology(world(network(), connector("c")))
        assert routes(found, VPC)["0.0.0.0/0"].hops == ()

    def test_a_static_route_inside_a_subnet_never_wins(self):
        found = topology(base(route("inside", "10.1.0.8/29")))
        assert "10.1.0.8/29" not in routes(found, VPC)

    def test_a_route_to_an_address_that_no_machine_has_swallows_its_packets(self):
        found = topology(base(route("void", "10.50.0.0/16", via="10.1.0.9")))
        assert routes(found, VPC)["10.50.0.0/16"].hops == ()

    def test_a_route_for_another_tag_is_closed_to_a_connector(self):
        found = topology(base(route("theirs", "192.0.2.0/24", tags=["web"])))
        own = routes(found, "connector/demo/asia-northeast3/c/0")
        assert routes(found, VPC)["192.0.2.0/24"].hops
        assert "192.0.2.0/24" not in own
        assert own["0.0.0.0/0"].hops == (Hop(DeviceName("eth1"), IPv4Address("169.254.1.3")),)

    def test_a_default_route_for_another_tag_leaves_a_connector_only_its_network(self):
        theirs = route("theirs", tags=["web"], priority=1)
        made = world(network(), subnetwork("s", "10.1.0.0/28"), connector("c"), theirs)
        own = routes(topology(made), "connector/demo/asia-northeast3/c/0")
        assert own["0.0.0.0/0"].hops == ()
        assert own["10.1.0.0/28"].hops
        assert own["10.8.0.0/28"].hops

    def test_a_route_for_the_connectors_own_tag_is_open_to_it(self):
        made = world(network(), connector("c"), route("mine", tags=[TAG]))
        assert routes(topology(made), "connector/demo/asia-northeast3/c/0")["0.0.0.0/0"].hops

    @pytest.mark.parametrize("priority", [500, 1500])
    def test_a_route_whose_next_hop_is_not_there_is_passed_over(self, priority):
        found = topology(base(route("void", priority=priority, via="10.1.0.9")))
        own = routes(found, "connector/demo/asia-northeast3/c/0")
        assert own["0.0.0.0/0"].hops


class TestInstances:
    def paths(self, *arguments, made=None):
        deployed = revision("web-00001-abc", *arguments)
        running = fleet(deployed)
        found = topology((made or base()).after([Put(deployed)]), running)
        own = routes(found, f"instance/{next(iter(running.instances))}")
        return {to: ",".join(hop.device for hop in r.hops) for to, r in own.items()}

    def test_without_a_connector_everything_leaves_by_the_pool(self):
        assert self.paths() == {"169.254.0.0/16": "eth0", "0.0.0.0/0": "eth0"}

    def test_private_ranges_only_sends_exactly_the_six_ranges_to_the_vpc(self):
        found = self.paths("c")
        assert [to for to, device in found.items() if device == "eth1"] == [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "199.36.153.4/30",
            "199.36.153.8/30",
        ]
        assert found["0.0.0.0/0"] == "eth0"

    def test_all_traffic_sends_everything_but_the_metadata_server_to_the_vpc(self):
        assert self.paths("c", "all-traffic") == {"169.254.0.0/16": "eth0", "0.0.0.0/0": "eth1"}

    def test_all_traffic_has_no_way_out_by_the_pool(self):
        deployed = revision("web-00001-abc", "c", "all-traffic")
        found = topology(base().after([Put(deployed)]), fleet(deployed))
        assert translations(found, "fabric") == {}

    def test_deleting_a_connector_leaves_a_hub_that_leads_nowhere_and_the_instances_as_they_were(self):
        made, running = article()
        before = topology(made, running)
        after = topology(made.after([Delete(connector_id("cloud-run-connector"))]), running, before)
        hub = routes(after, "hub/demo/asia-northeast3/cloud-run-connector")
        assert hub["0.0.0.0/0"].hops == ()
        mine = [e for e in before if e.key[1].startswith("instance/")]
        assert mine == [e for e in after if e.key[1].startswith("instance/")]

    def test_the_container_finds_what_google_promises(self):
        deployed = revision("web-00001-abc")
        found = topology(world(deployed), fleet(deployed)).of_kind(Workload)[0]
        assert dict(found.environment) == {
            "MODE": "fast",
            "PORT": "8080",
            "K_SERVICE": "web",
            "K_REVISION": "web-00001-abc",
            "K_CONFIGURATION": "web",
        }

    def test_an_instance_that_is_ending_has_its_network_still_even_if_its_revision_is_gone(self):
        (instance,) = fleet(revision("web-00001-abc")).instances.values()
        running = topology(world(), Fleet({instance.id: instance}))
        ending = topology(world(), Fleet({instance.id: replace(instance, ending=True)}))
        assert set(running) - set(ending) == set(running.of_kind(Workload))
        assert set(ending) < set(running)
        assert [netns for netns in ending.of_kind(NetworkNamespace) if netns.name.startswith("instance/")]


def test_devices_have_readable_names_that_fit():
    assert device_named("demo.default") == "demo.default"
    long = device_named("a-long-project-id.a-network")
    assert len(long) == 15
    assert long.startswith("a-lon-")
    assert long != device_named("a-long-project-id.b-network")


def test_devices_of_many_networks_have_different_names():
    names = [f"a-project-of-many.network-{number}" for number in range(20_000)]
    assert len({device_named(name) for name in names}) == len(names)


def test_the_router_waits_for_its_translations_and_the_revision_for_its_instance():
    made, running = article()
    owners = lower(made, running, NOTHING).owners
    assert owners["source-nat", VPC, "ext", "10.124.0.2/32"] == {regional("routers", "cloud-run-router")}
    workload = owners["workload", next(iter(running.instances))]
    assert {name.id for name in workload} == {"production-00001-abc"}


def test_a_secondary_range_belongs_to_the_network():
    found = topology(world(network(), subnetwork("s", "10.1.0.0/28", secondary=["10.77.0.0/24"])))
    assert routes(found, VPC)["10.77.0.0/24"].hops == ()


@pytest.mark.parametrize(
    "made_beside",
    [
        (network("beside"), subnetwork("beside", "10.9.0.0/24", of="beside")),
        (firewall("beside", of="beside"),),
        (address("beside", "203.0.113.99"),),
        (route("beside", "192.168.0.0/16", of="beside"),),
    ],
    ids=["network", "firewall", "address", "route"],
)
def test_what_is_made_beside_a_network_leaves_every_element_of_it_the_same_object(made_beside):
    made, running = article()
    hidden = connector("hidden", "10.8.0.0/28")
    before = made.after([Put(network("beside")), Put(hidden)])
    remembering = compiler()
    dealt = remembering.compile(before, running, NOTHING).topology
    settled = remembering.compile(before, running, dealt).topology  # from now on the port blocks are held
    after = remembering.compile(before.after(map(Put, made_beside)), running, dealt).topology
    assert settled == dealt
    assert [element for element in settled if isinstance(element, SourceNat)]
    for key, element in settled.elements.items():
        if "beside" not in str(key):
            assert after.elements[key] is element, key
