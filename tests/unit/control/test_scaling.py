"""The scaling rule keeps its bounds and follows the load."""

from hypothesis import given
from hypothesis import strategies as st

from fogbank.control.scaling import (
    IDLE_SECONDS,
    Limits,
    Load,
    desired_instances,
    desired_machines,
    pending_limit,
)

limits = st.builds(
    Limits, minimum=st.integers(0, 5), maximum=st.integers(5, 50), concurrency=st.integers(1, 1000)
)
loads = st.builds(
    Load,
    in_flight=st.integers(0, 10_000),
    idle_seconds=st.lists(st.floats(0, 2 * IDLE_SECONDS), max_size=50).map(tuple),
)


@given(loads, limits)
def test_a_serving_revision_has_between_one_and_its_maximum(load: Load, limits: Limits) -> None:
    wanted = desired_instances(load, limits, serves=True)
    assert max(1, limits.minimum) <= wanted <= limits.maximum


@given(loads, limits)
def test_more_requests_never_mean_fewer_instances(load: Load, limits: Limits) -> None:
    more = Load(load.in_flight + 100, load.idle_seconds)
    assert desired_instances(more, limits, serves=True) >= desired_instances(load, limits, serves=True)


@given(loads, limits)
def test_a_revision_that_does_not_serve_has_no_instances(load: Load, limits: Limits) -> None:
    assert desired_instances(load, limits, serves=False) == 0


def test_instances_carry_sixty_percent_of_their_concurrency() -> None:
    assert desired_instances(Load(97, ()), Limits(0, 100, 80), serves=True) == 3


def test_an_instance_that_was_used_lately_stays() -> None:
    idle = (0.0, IDLE_SECONDS - 1, IDLE_SECONDS + 1)
    assert desired_instances(Load(0, idle), Limits(0, 100, 80), serves=True) == 2


def test_a_request_waits_at_least_ten_seconds_for_an_instance() -> None:
    assert pending_limit(1) == 10
    assert pending_limit(10) == 35


machines = st.integers(2, 10)
loads_in_bits = st.floats(0, 40e9)
rates = st.sampled_from([50_000_000, 100_000_000, 1_600_000_000])


@given(machines, machines, loads_in_bits, rates)
def test_a_connector_never_shrinks_and_grows_by_one_at_most(
    now: int, most: int, load: float, rate: int
) -> None:
    assert now <= desired_machines(now, most, load, rate) <= now + 1


@given(machines, machines, loads_in_bits, rates)
def test_a_connector_never_grows_past_its_maximum(now: int, most: int, load: float, rate: int) -> None:
    assert desired_machines(now, most, load, rate) <= max(now, most)


@given(machines, machines, loads_in_bits, loads_in_bits, rates)
def test_more_traffic_never_means_fewer_machines(
    now: int, most: int, one: float, two: float, rate: int
) -> None:
    less, more = sorted((one, two))
    assert desired_machines(now, most, less, rate) <= desired_machines(now, most, more, rate)


def test_a_connector_grows_when_more_than_sixty_percent_is_used() -> None:
    assert desired_machines(2, 3, 120_000_000, 100_000_000) == 2
    assert desired_machines(2, 3, 120_000_001, 100_000_000) == 3
