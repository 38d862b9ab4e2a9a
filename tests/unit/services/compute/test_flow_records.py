"""The laws of flow records: what the kernel counted is in them, all of it and nothing else."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from fogbank.dataplane.driver import Counted, CountedFlow
from fogbank.resources.names import ResourceName
from fogbank.services.compute.controller.flow_records import (
    ALL,
    CUSTOM,
    NONE,
    SECOND,
    FlowLogConfig,
    FlowRecord,
    Interval,
    directions,
)

CONFIG = FlowLogConfig(
    ResourceName("compute.subnetworks", "projects/demo/regions/r/subnetworks/s"),
    (IPv4Network("10.8.0.0/29"), IPv4Network("10.9.0.0/30")),
    5 * SECOND,
    1.0,
    ALL,
    frozenset(),
    None,
)
START = 1_000 * SECOND

addresses = st.sampled_from(
    [IPv4Address(text) for text in ("10.8.0.2", "10.8.0.3", "10.9.0.1", "192.0.2.1", "10.7.0.1")]
)
counted = st.builds(Counted, st.integers(0, 9), st.integers(0, 9000)).map(
    lambda each: each if each.packets else Counted(0, 0)
)
flows = st.builds(
    CountedFlow,
    protocol=st.sampled_from([1, 6, 17]),
    client=addresses,
    client_port=st.integers(1, 3),
    server=addresses,
    server_port=st.integers(1, 3),
    sent=counted,
    received=counted,
    began=st.none() | st.integers(0, START + 20 * SECOND),
    ended=st.none() | st.integers(START, START + 20 * SECOND),
)
looks = st.lists(st.tuples(st.integers(1, 7 * SECOND), st.lists(flows, max_size=6)), min_size=1, max_size=8)


def records_of(taken: Iterable[tuple[int, list[CountedFlow]]]) -> list[FlowRecord]:
    """Count what looks gave, each some time after the one before, and end intervals as they are over."""
    now = START
    found: list[FlowRecord] = []
    interval = Interval.at(CONFIG, now)
    for later, seen in taken:
        now += later
        interval.count(CONFIG, seen, 0, now)
        if interval.is_over(CONFIG, now):
            found += interval.records.values()
            interval = Interval.at(CONFIG, now)
    return [*found, *interval.records.values()]


def total(records: Iterable[FlowRecord]) -> Counter[tuple[object, ...]]:
    summed: Counter[tuple[object, ...]] = Counter()
    for each in records:
        for what, amount in (("packets", each.carried.packets), ("bytes", each.carried.bytes)):
            if amount:
                summed[each.reporter, each.direction, what] += amount
    return summed


def expected(taken: Iterable[tuple[int, list[CountedFlow]]]) -> Counter[tuple[object, ...]]:
    summed: Counter[tuple[object, ...]] = Counter()
    for _, seen in taken:
        for flow in seen:
            for direction, carried in directions(flow):
                for reporter, end in (("SRC", direction.source), ("DEST", direction.destination)):
                    if any(end in part for part in CONFIG.ranges):
                        summed[reporter, direction, "packets"] += carried.packets
                        summed[reporter, direction, "bytes"] += carried.bytes
    return Counter({key: amount for key, amount in summed.items() if amount})


@given(looks)
def test_the_sum_of_all_records_is_what_the_kernel_counted(
    taken: list[tuple[int, list[CountedFlow]]],
) -> None:
    assert total(records_of(taken)) == expected(taken)


@given(looks)
def test_a_record_has_packets_and_its_times_are_in_order(
    taken: list[tuple[int, list[CountedFlow]]],
) -> None:
    for record in records_of(taken):
        assert record.carried.packets > 0
        assert record.first <= record.last


@given(looks)
def test_what_one_end_sent_the_other_one_got(taken: list[tuple[int, list[CountedFlow]]]) -> None:
    within = [
        (later, [flow for flow in seen if all(_inside(end) for end in (flow.client, flow.server))])
        for later, seen in taken
    ]
    records = records_of(within)
    sent = total(replace(each, reporter="SRC") for each in records if each.reporter == "SRC")
    got = total(replace(each, reporter="SRC") for each in records if each.reporter == "DEST")
    assert sent == got


def _inside(address: IPv4Address) -> bool:
    return any(address in part for part in CONFIG.ranges)


def test_an_interval_begins_and_ends_by_the_regions_clock() -> None:
    interval = Interval.at(CONFIG, START + SECOND)
    assert interval.end(CONFIG) == START + 5 * SECOND
    assert not interval.is_over(CONFIG, START + 5 * SECOND - 1)
    assert interval.is_over(CONFIG, START + 5 * SECOND)


def test_metadata_are_all_none_or_those_that_were_chosen() -> None:
    chosen = replace(CONFIG, metadata=CUSTOM, fields=frozenset({"src_instance"}))
    assert CONFIG.includes("dest_vpc")
    assert not replace(CONFIG, metadata=NONE).includes("dest_vpc")
    assert (chosen.includes("src_instance"), chosen.includes("dest_vpc")) == (True, False)
