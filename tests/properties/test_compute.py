"""Laws of compute's networking that hold whatever is asked of it, in whatever order."""

import contextlib
from ipaddress import IPv4Network
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from tests.compute_calls import REGION, Compute, auto_nat, manual_nat, only

from fogbank.errors import ApiError
from fogbank.resources.compute import Router, StaticAddress, Subnetwork, power_of_two

REGIONS = ("asia-northeast3", "us-central1")
RANGES = st.builds(
    lambda third, length: str(IPv4Network(f"10.0.{third}.0/{length}", strict=False)),
    st.integers(0, 15),
    st.integers(18, 29),
)
NAMES = st.sampled_from([f"n{index}" for index in range(6)])


def tried(compute, method, body=None, **parameters):
    """Call what may well be refused."""
    with contextlib.suppress(ApiError):
        compute(method, body, **parameters)


@given(st.lists(st.tuples(NAMES, st.sampled_from(REGIONS), RANGES, RANGES, st.booleans()), max_size=12))
def test_ranges_of_a_network_never_overlap(steps):
    compute = Compute()
    compute.network("net")
    for name, region, primary, secondary, grow in steps:
        if grow:
            body = {"ipCidrRange": primary}
            tried(compute, "subnetworks.expandIpCidrRange", body, region=region, subnetwork=name)
        else:
            second = {"rangeName": "second", "ipCidrRange": secondary}
            body = {"name": name, "network": "net", "ipCidrRange": primary, "secondaryIpRanges": [second]}
            tried(compute, "subnetworks.insert", body, region=region)
    held = [each for s in compute.world.all("compute.subnetworks") for each in Subnetwork.of(s).ranges]
    assert not any(one.overlaps(other) for one, other in combinations(held, 2))


@given(
    st.lists(st.tuples(NAMES, st.sampled_from(REGIONS), st.sampled_from(["insert", "delete"])), max_size=20)
)
def test_no_two_addresses_are_the_same(steps):
    compute = Compute()
    for name, region, verb in steps:
        if verb == "insert":
            tried(compute, "addresses.insert", {"name": name}, region=region)
        else:
            tried(compute, "addresses.delete", region=region, address=name)
    dealt = [StaticAddress.of(each).address for each in compute.world.all("compute.addresses")]
    assert len(set(dealt)) == len(dealt)


GATEWAYS = st.one_of(
    st.builds(auto_nat),
    st.builds(lambda s: auto_nat(**only(s)), st.sampled_from("st")),
    st.builds(manual_nat, st.sampled_from("xy")),
    st.builds(lambda a, s: manual_nat(a, **only(s)), st.sampled_from("xy"), st.sampled_from("st")),
)


@given(st.lists(st.tuples(st.sampled_from(["r0", "r1"]), st.lists(GATEWAYS, max_size=2)), max_size=8))
def test_a_range_and_an_address_belong_to_one_gateway_at_most(steps):
    compute = Compute()
    compute.network("net")
    for name, cidr in (("s", "10.0.0.0/24"), ("t", "10.0.1.0/24")):
        compute.subnetwork(name, cidr)
    for name in "xy":
        compute.address(name)
    for name in ("r0", "r1"):
        compute.router(name)
    for router, gateways in steps:
        nats = [nat | {"name": f"nat{index}"} for index, nat in enumerate(gateways)]
        tried(compute, "routers.patch", {"nats": nats}, region=REGION, router=router)
    nats = [nat for each in compute.world.all("compute.routers") for nat in Router.of(each).nats]
    subnetworks = [Subnetwork.of(each) for each in compute.world.all("compute.subnetworks")]
    served = [each for nat in nats for subnetwork in subnetworks for each in nat.covers(subnetwork)]
    used = [address for nat in nats for address in nat.addresses]
    assert len(set(served)) == len(served)
    assert len(set(used)) == len(used)
    automatic = {
        a.name for a in compute.world.all("compute.addresses") if a.body.get("purpose") == "NAT_AUTO"
    }
    assert automatic == {address for nat in nats if nat.auto for address in nat.addresses}
    assert all(nat.addresses for nat in nats)


@given(st.integers(1, 65536))
def test_a_client_gets_at_least_the_ports_that_were_asked_for(ports):
    given_ports = power_of_two(ports)
    assert ports <= given_ports < 2 * ports
    assert given_ports & (given_ports - 1) == 0


@given(RANGES)
def test_what_is_taken_away_leaves_no_trace(cidr):
    compute = Compute()
    compute.network("net")
    before = compute.world.collections
    compute.subnetwork("s", cidr)
    compute.address("a")
    compute.router(nats=[auto_nat()])
    compute("routers.delete", region=REGION, router="router")
    compute("addresses.delete", region=REGION, address="a")
    compute("subnetworks.delete", region=REGION, subnetwork="s")
    after = {kind: members for kind, members in compute.world.collections.items() if members}
    assert after == dict(before)
