"""Port use: counted by the busiest endpoint, as the limit is."""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from fogbank.app.nat_use import busiest_flows, nat_use
from fogbank.dataplane.driver import TrackedFlow
from fogbank.network.topology import DeviceName, NetnsName, PortRange, SourceNat, Topology
from fogbank.resources.names import ResourceName

VPC, OUT = NetnsName("vpc/demo/default"), DeviceName("ext")
OUTSIDE = IPv4Address("203.0.113.2")
SERVICE = ResourceName("run.services", "projects/demo/locations/l/services/web")
ROUTER = ResourceName("compute.routers", "projects/demo/regions/r/routers/router")


def client(number: int, ports: int = 64) -> SourceNat:
    first = 1024 + 64 * number
    return SourceNat(
        VPC, OUT, IPv4Network(f"10.0.0.{number}/32"), OUTSIDE, PortRange(first, first + ports - 1)
    )


def flow(number: int, endpoint: int, port: int = 1024) -> TrackedFlow:
    return TrackedFlow(
        VPC, 6, IPv4Address(f"10.0.0.{number}"), 40000, IPv4Address(f"192.0.2.{endpoint}"), 443, OUTSIDE,
        port, "ESTABLISHED",
    )  # fmt: skip


def used(flows, *clients):
    topology = Topology.of(clients)
    owners = {each.key: frozenset({SERVICE, ROUTER}) for each in clients}
    return nat_use(topology, owners, flows)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), max_size=40))
def test_the_use_is_the_busiest_endpoints_and_flows_are_all(pairs):
    found = {
        str(each.client.network_address): each
        for each in used([flow(*p) for p in pairs], *map(client, (1, 2, 3)))
    }
    for number in (1, 2, 3):
        counted = Counter(endpoint for who, endpoint in pairs if who == number)
        use = found[f"10.0.0.{number}"]
        assert use.used == max(counted.values(), default=0)
        assert use.flows == counted.total()


def test_the_fullest_client_comes_first_and_has_its_own_name():
    first, second = used([flow(2, 1), flow(2, 1)], client(1), client(2))
    assert (str(first.client), first.used, first.ports) == ("10.0.0.2/32", 2, 64)
    assert first.names == (SERVICE.path,)
    assert second.used == 0


def test_what_is_not_translated_is_no_use_of_ports():
    straight = flow(1, 1)
    inside = TrackedFlow(
        VPC, 6, straight.source, 1, straight.destination, 2, straight.source, 1, "ESTABLISHED"
    )
    assert used([inside], client(1))[0].flows == 0


def test_a_client_without_a_block_of_its_own_has_no_limit():
    shared = SourceNat(VPC, OUT, IPv4Network("10.0.0.1/32"), OUTSIDE, None)
    assert used([flow(1, 1)], shared)[0].ports is None


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=30), st.integers(1, 5))
def test_the_busiest_flows_carried_at_least_as_much_as_every_other(
    carried: list[tuple[int, int]], most: int
) -> None:
    flows = [replace(flow(1, 1, port), sent=s, received=r) for port, (s, r) in enumerate(carried)]
    found = busiest_flows(flows, most)
    assert len(found) == min(most, len(flows))
    totals = sorted((sum(each) for each in carried), reverse=True)
    assert [each.sent + each.received for each in found] == totals[:most]
