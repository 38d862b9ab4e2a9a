"""What both drivers promise: the simulated one keeps the contract of the one that builds."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.elements import ELEMENTS
from tests.private_world import Lab

from fogbank.dataplane.driver import Driver, InterfaceCounters
from fogbank.dataplane.simulated import SimulatedDriver
from fogbank.errors import DriverError
from fogbank.network.topology import (
    Address,
    AddressSetMember,
    DeviceName,
    Element,
    FirewallPolicy,
    Hop,
    Link,
    Listener,
    NetnsName,
    NetworkNamespace,
    Port,
    PortRange,
    PortSecurity,
    Route,
    Rule,
    Shaper,
    SourceNat,
    StatefulFirewall,
    Topology,
    Traffic,
    Volume,
    Workload,
    namespaces_of,
)
from fogbank.planning.plan import Create, Remove, element_of, plan

NAMES = [NetnsName(name) for name in ("vpc/demo/default", "internet", "instance/a", "instance/b")]
ROUTER, OUTSIDE, A, B = NAMES
NETWORKS = [IPv4Network("10.0.0.0/8"), IPv4Network("10.8.0.0/24"), IPv4Network("10.8.0.7/32")]
ADDRESSES = [IPv4Address("10.8.0.2"), IPv4Address("10.8.0.3"), IPv4Address("10.8.0.7")]
DEVICES = [DeviceName(name) for name in ("lo", "ext", "10.8.0.2")]

ports = st.sampled_from([PortRange(22, 22), PortRange(80, 90), PortRange(85, 443), PortRange(0, 65535)])
traffics = st.builds(
    Traffic, st.sampled_from([None, 1, 6, 17, 132, 47]), st.lists(ports, max_size=3).map(tuple)
)
rules = st.builds(
    Rule,
    st.sampled_from(["allow", "deny"]),
    st.lists(traffics, max_size=2).map(tuple),
    st.lists(st.sampled_from(NETWORKS), max_size=2).map(tuple),
    st.lists(st.sampled_from(["web", "ip", "10"]), max_size=2).map(tuple),
    st.lists(st.sampled_from(NETWORKS), max_size=2).map(tuple),
    st.sampled_from(["", "no-ssh", "default deny/ü"]),
)
POLICIES = ["open", "tcp", "a b"]


@st.composite
def topologies(draw: Callable) -> Topology:
    """Draw small worlds in which everything has what it stands on."""
    chosen = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    elements: dict = {}

    def add(element: Element) -> None:
        elements.setdefault(element.key, element)

    for name in chosen:
        add(NetworkNamespace(name, forwards=draw(st.booleans())))
    devices: dict[NetnsName, list[DeviceName]] = {name: [DeviceName("lo")] for name in chosen}
    for number, (left, right) in enumerate(
        draw(st.lists(st.tuples(*2 * [st.sampled_from(chosen)]), max_size=3))
    ):
        if left != right:
            near, far = DeviceName(f"l{number}"), DeviceName(f"r{number}")
            add(Link(Port(left, near), Port(right, far), draw(st.sampled_from([1400, 1460, 8896]))))
            devices[left].append(near)
            devices[right].append(far)
    for netns in chosen:
        for extra in draw(st.lists(st.sampled_from(KINDS), max_size=5)):
            for element in extra(draw, netns, devices[netns]):
                add(element)
    return Topology(elements)


def an_address(draw: Callable, netns: NetnsName, devices: list[DeviceName]) -> list[Element]:
    prefix = draw(st.sampled_from([24, 32]))
    interface = IPv4Interface((draw(st.sampled_from(ADDRESSES)), prefix))
    return [Address(Port(netns, draw(st.sampled_from(devices))), interface)]


def a_route(draw: Callable, netns: NetnsName, devices: list[DeviceName]) -> list[Element]:
    vias = st.sampled_from([None, IPv4Address("169.254.1.1"), IPv4Address("169.254.1.2")])
    real = [device for device in devices if device != "lo"]
    hops = (
        draw(st.lists(st.builds(Hop, st.sampled_from(real), vias), max_size=2, unique=True)) if real else []
    )
    if len({hop.via is None for hop in hops}) > 1:
        hops = hops[:1]
    return [Route(netns, draw(st.sampled_from(NETWORKS)), tuple(hops))]


def a_shaper(draw: Callable, netns: NetnsName, devices: list[DeviceName]) -> list[Element]:
    rates = st.sampled_from([1_000_000, 100_000_000, 40_000_000_000])
    real = [device for device in devices if device != "lo"]
    return [Shaper(Port(netns, draw(st.sampled_from(real))), draw(rates))] if real else []


def rules_of_a_netns(draw: Callable, netns: NetnsName, devices: list[DeviceName]) -> list[Element]:
    named = [
        FirewallPolicy(
            netns,
            name,
            draw(st.lists(rules, max_size=4).map(tuple)),
            draw(st.sampled_from(["allow", "deny"])),
        )
        for name in draw(st.lists(st.sampled_from(POLICIES), unique=True, min_size=1))
    ]
    names = st.sampled_from([policy.name for policy in named])
    guarded = draw(st.lists(st.sampled_from(ADDRESSES), unique=True, max_size=3))
    members = draw(
        st.lists(st.builds(AddressSetMember, st.just(netns), st.just("web"), st.sampled_from(ADDRESSES)))
    )
    return [
        StatefulFirewall(netns, draw(st.sampled_from([None, DeviceName("ext")]))),
        *named,
        *members,
        *(PortSecurity(netns, draw(st.sampled_from(DEVICES)), a, draw(names), draw(names)) for a in guarded),
    ]


def a_translation(draw: Callable, netns: NetnsName, devices: list[DeviceName]) -> list[Element]:
    outside = st.sampled_from([IPv4Address("203.0.113.7"), IPv4Address("203.0.113.8")])
    slices = st.sampled_from([None, PortRange(1024, 1087), PortRange(1024, 1151)])
    clients = draw(st.lists(st.sampled_from(ADDRESSES), unique=True, max_size=3))
    device = draw(st.sampled_from(DEVICES))
    return [SourceNat(netns, device, IPv4Network(c), draw(outside), draw(slices)) for c in clients]


KINDS = [an_address, a_route, a_shaper, rules_of_a_netns, a_translation]


def converge(driver: Driver, desired: Topology) -> None:
    outcomes = driver.apply(plan(driver.observe(), desired))
    assert [f"{outcome.error}: {outcome.action}" for outcome in outcomes if outcome.error] == []
    assert plan(driver.observe(), desired) == ()


def laws_hold_between(driver: Driver, steps: list[Topology]) -> None:
    for step in steps:
        converge(driver, step)
    converge(driver, Topology())
    assert len(driver.observe()) == 0


SLOW = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)


@given(st.lists(topologies(), min_size=1, max_size=3))
@SLOW
def test_after_any_change_the_second_plan_of_the_simulated_driver_is_empty(steps: list[Topology]) -> None:
    laws_hold_between(SimulatedDriver(), steps)


@pytest.mark.netns
@given(steps=st.lists(topologies(), min_size=1, max_size=3))
@SLOW
def test_after_any_change_the_second_plan_of_the_linux_driver_is_empty(
    lab: Lab, steps: list[Topology]
) -> None:
    lab.fresh()
    laws_hold_between(lab.driver, steps)


def small() -> list[Element]:
    """A router with one instance."""
    near, far = Port(ROUTER, DEVICES[2]), Port(A, DeviceName("eth0"))
    return [
        NetworkNamespace(ROUTER, forwards=True),
        NetworkNamespace(A),
        Link(near, far),
        Address(far, IPv4Interface("10.8.0.2")),
        Route(ROUTER, IPv4Network("10.8.0.2/32"), (Hop(near.device),)),
        StatefulFirewall(ROUTER),
        FirewallPolicy(ROUTER, "open", (), "allow"),
        PortSecurity(ROUTER, near.device, ADDRESSES[0], "open", "open"),
        Listener(A, ADDRESSES[0], 80, "tcp", "site"),
    ]


def keeps_the_contract(driver: Driver) -> None:
    a_netns_takes_everything_inside_along(driver)
    a_link_takes_along_what_stands_on_its_ends(driver)
    a_link_is_not_made_where_a_device_has_its_name(driver)
    a_failure_stops_nothing_else(driver)
    what_failed_is_not_observed_and_can_be_tried_again(driver)
    counters_are_of_every_link_that_ends_there(driver)
    every_kind_is_built_and_taken_down(driver)


def a_netns_takes_everything_inside_along(driver: Driver) -> None:
    converge(driver, Topology.of(small()))
    rest = Topology.of(
        e for e in small() if A not in namespaces_of(e) and not isinstance(e, Route | PortSecurity)
    )
    actions = plan(driver.observe(), rest)
    assert [type(element_of(action)) for action in actions] == [PortSecurity, Route, NetworkNamespace]
    assert [outcome.error for outcome in driver.apply(actions)] == [None, None, None]
    assert driver.observe().elements == rest.elements
    converge(driver, Topology())


def a_link_takes_along_what_stands_on_its_ends(driver: Driver) -> None:
    converge(driver, Topology.of(small()))
    (link,) = driver.observe().of_kind(Link)
    (outcome,) = driver.apply([Remove(link)])
    assert outcome.error is None
    rest = Topology.of(e for e in small() if not isinstance(e, Link | Address | Route))
    assert driver.observe().elements == rest.elements
    converge(driver, Topology.of(small()))
    converge(driver, Topology())


def a_link_is_not_made_where_a_device_has_its_name(driver: Driver) -> None:
    one, other = (
        Link(Port(ROUTER, DeviceName(f"to-{netns[-1]}")), Port(netns, DeviceName("eth0"))) for netns in (A, B)
    )
    moved = replace(other, right=one.right)
    converge(driver, Topology.of([*map(NetworkNamespace, (ROUTER, A, B)), one]))
    (outcome,) = driver.apply([Create(moved)])
    assert outcome.error is not None
    assert moved not in driver.observe()
    converge(driver, Topology())


def a_failure_stops_nothing_else(driver: Driver) -> None:
    good, bad = (
        NetworkNamespace(A),
        Link(Port(A, DeviceName("x")), Port(NetnsName("nowhere"), DeviceName("y"))),
    )
    no_device = Address(Port(A, DeviceName("none")), IPv4Interface("10.0.0.1"))
    fine = Address(Port(A, DeviceName("lo")), IPv4Interface("10.0.0.2"))
    no_policy = PortSecurity(A, DeviceName("lo"), ADDRESSES[0], "none", "none")
    no_netns = Route(NetnsName("nowhere"), NETWORKS[0], ())
    workload = Workload("w", NetnsName("nowhere"), "sha256:0", 8080)
    elements = (good, bad, no_device, fine, no_netns, StatefulFirewall(A), no_policy, workload)
    asked = [Create(element) for element in elements]
    outcomes = driver.apply(asked)
    assert [outcome.action for outcome in outcomes] == asked
    failed = {element_of(outcome.action).key for outcome in outcomes if outcome.error}
    assert failed == {bad.key, no_device.key, no_netns.key, no_policy.key, workload.key}
    assert set(driver.observe().elements) == {good.key, fine.key, ("stateful-firewall", A)}
    converge(driver, Topology())


def what_failed_is_not_observed_and_can_be_tried_again(driver: Driver) -> None:
    late = Link(Port(A, DeviceName("x")), Port(B, DeviceName("y")))
    driver.apply([Create(NetworkNamespace(A)), Create(late)])
    assert late not in driver.observe()
    converge(driver, Topology.of([NetworkNamespace(A), NetworkNamespace(B), late]))
    converge(driver, Topology.of([NetworkNamespace(A), NetworkNamespace(B), replace(late, mtu=1400)]))
    converge(driver, Topology())


def counters_are_of_every_link_that_ends_there(driver: Driver) -> None:
    converge(driver, Topology.of(small()))
    (near,) = driver.interface_counters(ROUTER).items()
    (far,) = driver.interface_counters(A).items()
    assert (near[0], far[0]) == (DEVICES[2], DeviceName("eth0"))
    assert all(isinstance(interface_counters, InterfaceCounters) for _, interface_counters in (near, far))
    assert driver.interface_counters(ROUTER)[near[0]].sent >= near[1].sent
    with pytest.raises(DriverError):
        driver.interface_counters(NetnsName("nowhere"))
    converge(driver, Topology())


def every_kind_is_built_and_taken_down(driver: Driver) -> None:
    elements = [element for element in ELEMENTS if not isinstance(element, Workload | Volume)]
    converge(driver, Topology.of(elements))
    for element in reversed(elements):
        outcomes = driver.apply([Remove(element)])
        assert [outcome.error for outcome in outcomes] == [None]
        assert element not in driver.observe()
    converge(driver, Topology())


def test_the_simulated_driver_keeps_the_contract() -> None:
    keeps_the_contract(SimulatedDriver())


@pytest.mark.netns
def test_the_linux_driver_keeps_the_contract(lab: Lab) -> None:
    keeps_the_contract(lab.driver)


def test_the_simulated_driver_fails_on_request() -> None:
    driver = SimulatedDriver(
        failure=lambda action: "no luck" if isinstance(element_of(action), NetworkNamespace) else None
    )
    (outcome,) = driver.apply([Create(NetworkNamespace(A))])
    assert str(outcome.error) == "no luck"
    assert len(driver.observe()) == 0
