"""How many ports an endpoint of a dynamic gateway should have."""

from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st
from tests.compute_calls import REGION, Compute, manual_nat

from fogbank.resources.compute import NatGateway, Router
from fogbank.resources.names import compute_name
from fogbank.services.compute.dynamic_ports import IDLE_SECONDS, Allocation, Ports, allocate

CLIENT = IPv4Address("10.8.0.2")
ROUTER = compute_name("routers", "demo", "regions", REGION, "router")


def world() -> Compute:
    made = Compute()
    made.network("net")
    made.address("ip")
    limits = {"enableDynamicPortAllocation": True, "minPortsPerVm": 32, "maxPortsPerVm": 128}
    made.router(nats=[manual_nat("ip", **limits)])
    return made


def gateway(compute: Compute) -> NatGateway:
    (found,) = Router.of(compute.world.get(ROUTER)).nats
    return found


def asked(ports: int) -> NatGateway:
    grown = ((CLIENT, ports),) if ports > 32 else ()
    return replace(gateway(DYNAMIC), grown=grown)


DYNAMIC = world()


def desired(has: int, used: int, *, at: float = 0.0, needed: int = 0, by: Allocation | None = None) -> int:
    ports = Ports({CLIENT: has}, {CLIENT: used}, {CLIENT: needed})
    return (by or Allocation()).desired(asked(has), ports, at).get(CLIENT, 32)


def test_seven_eighths_of_the_ports_double_them_up_to_the_most() -> None:
    assert [desired(32, used) for used in (0, 27, 28, 32)] == [32, 32, 64, 64]
    assert desired(128, 128) == 128


def test_ports_that_were_asked_for_and_have_not_come_are_not_doubled_again() -> None:
    ports = Ports({CLIENT: 32}, {CLIENT: 32}, {CLIENT: 32})
    assert Allocation().desired(asked(64), ports, 0.0) == {CLIENT: 64}


def test_ten_idle_minutes_halve_the_ports_unless_one_that_would_go_is_in_use() -> None:
    allocation = Allocation()
    assert desired(128, 8, at=0.0, by=allocation) == 128
    assert desired(128, 8, at=IDLE_SECONDS - 1, by=allocation) == 128
    assert desired(128, 8, at=IDLE_SECONDS, needed=65, by=allocation) == 128
    assert desired(128, 8, at=IDLE_SECONDS, needed=64, by=allocation) == 64
    assert desired(64, 8, at=IDLE_SECONDS + 1, by=allocation) == 64
    assert desired(64, 20, at=IDLE_SECONDS + 2, by=allocation) == 64, "a quarter is not idle"
    assert desired(64, 0, at=IDLE_SECONDS * 2, by=allocation) == 64, "it begins anew"


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 900)), max_size=30))
def test_ports_stay_powers_of_two_between_the_limits(steps: list[tuple[int, int]]) -> None:
    allocation, has, now = Allocation(), 32, 0.0
    for used, seconds in steps:
        now += seconds
        wanted = desired(has, min(used, has), at=now, by=allocation)
        assert wanted in {32, 64, 128}
        assert wanted in {has // 2, has, has * 2}
        has = wanted


def test_what_was_decided_is_kept_with_the_router_until_the_gateway_is_dynamic_no_more() -> None:
    compute = world()
    compute.world = compute.world.after(allocate(compute.world, ROUTER, "nat", {CLIENT: 64}))
    assert gateway(compute).grown == ((CLIENT, 64),)
    assert allocate(compute.world, ROUTER, "nat", {CLIENT: 64}) == ()
    assert allocate(compute.world, ROUTER, "other", {CLIENT: 64}) == ()
    where = {"region": REGION, "router": "router"}
    compute("routers.patch", {"description": "new"}, **where)
    assert gateway(compute).grown
    compute("routers.patch", {"nats": [manual_nat("ip")]}, **where)
    assert gateway(compute).grown == ()
    assert allocate(compute.world, ROUTER, "nat", {CLIENT: 64}) == ()
