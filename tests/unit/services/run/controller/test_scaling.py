"""The scaling rule keeps its bounds and follows the load."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fogbank.services.run.controller.scaling import (
    IDLE_SECONDS,
    Limits,
    Load,
    Portion,
    deal_maximum,
    desired_instances,
    pending_limit,
    portion_of,
    required_instances,
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
def test_a_serving_revision_has_between_its_minimum_and_its_maximum(load: Load, limits: Limits) -> None:
    wanted = desired_instances(load, limits, serves=True)
    assert limits.minimum <= wanted <= limits.maximum


@given(limits)
def test_only_the_minimum_is_left_of_what_nobody_asked_for_a_while(limits: Limits) -> None:
    idle = (IDLE_SECONDS + 1,) * 50
    assert desired_instances(Load(0, idle), limits, serves=True) == limits.minimum


@given(loads, limits)
def test_a_request_has_an_instance(load: Load, limits: Limits) -> None:
    assert desired_instances(replace(load, in_flight=1), limits, serves=True) >= 1


@given(st.lists(st.integers(0, 100), min_size=1, max_size=5).filter(any), st.integers(1, 50))
def test_a_services_maximum_is_kept_by_its_revisions_together(weights: list[int], maximum: int) -> None:
    percents = _percents(weights)
    parts = deal_maximum(percents, maximum)
    serving = [name for name, percent in percents.items() if percent]
    assert sum(parts[name] for name in serving) == max(maximum, len(serving))
    assert all(1 <= part <= max(maximum, 1) for part in parts.values())


def _percents(weights: list[int]) -> dict[int, int]:
    """Shares of a hundred in the ratio of ``weights``."""
    total, reached, shares = sum(weights), 0, {}
    for number, weight in enumerate(weights):
        before, reached = reached, reached + weight
        shares[number] = reached * 100 // total - before * 100 // total
    return shares


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


@given(loads, limits)
def test_what_a_request_has_started_is_what_a_look_at_all_instances_would_have(
    load: Load, limits: Limits
) -> None:
    now = len(load.idle_seconds)
    wanted = desired_instances(load, limits, serves=True)
    assert max(now, wanted) == max(now, required_instances(load.in_flight, limits))


@given(loads, limits, st.integers(0, 50))
def test_a_manual_number_of_instances_is_what_there_is_whatever_the_load(
    load: Load, limits: Limits, manual: int
) -> None:
    fixed = replace(limits, manual=manual)
    assert desired_instances(load, fixed, serves=True) == manual
    assert required_instances(load.in_flight, fixed) == manual


@given(st.lists(st.integers(1, 99), min_size=1, max_size=3), st.integers(0, 30), st.integers(0, 30))
def test_a_services_instances_are_all_dealt_out_by_traffic(
    cuts: list[int], minimum: int, manual: int
) -> None:
    edges = [0, *sorted(set(cuts)), 100]
    percents = [high - low for low, high in pairwise(edges)]
    portions = [portion_of(percent, minimum, manual) for percent in percents]
    for total, parts in (
        (minimum, [each.minimum for each in portions]),
        (manual, [each.manual or 0 for each in portions]),
    ):
        assert total <= sum(parts) < total + len(parts)


def test_a_revision_without_traffic_scales_by_itself() -> None:
    assert portion_of(0, 5, 5) == Portion(0, None)
