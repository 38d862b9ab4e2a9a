"""Connectors are measured on the region's clock and grow when they are busy."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import worlds
from tests.lowered import compiler
from tests.no_data import NO_DATA

from fogbank.clock import Clock
from fogbank.control.controller import Runtime
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.driver import InterfaceCounters
from fogbank.dataplane.simulated import SimulatedDriver
from fogbank.lowering.netns_names import ETH0, ETH1, connector_netns
from fogbank.network.topology import NetnsName, Port
from fogbank.resources.decisions import Decision
from fogbank.resources.vpcaccess import read_connector
from fogbank.resources.world import Put
from fogbank.services.vpcaccess.controller import Connectors, Meter, desired_machines
from fogbank.store.journal import Journal
from fogbank.store.store import Store

BUSY = Port(NetnsName("connector/a/0"), ETH1)
BACK = Port(NetnsName("connector/a/1"), ETH0)
CONNECTOR = worlds.connector("c")


def after_samples(*samples: tuple[float, dict[Port, int]]) -> Meter:
    meter = Meter(60)
    for at, sent in samples:
        meter.note(at, {port: (total, total // 100) for port, total in sent.items()})
    return meter


@given(st.lists(st.tuples(st.floats(0.5, 300), st.integers(0, 10**9)), min_size=1, max_size=30))
def test_the_mean_is_never_more_than_what_was_ever_sent_in_a_minute(steps: list[tuple[float, int]]) -> None:
    meter, now, total = after_samples((0, {BUSY: 0})), 0.0, 0
    for pause, sent in steps:
        now, total = now + pause, total + sent
        meter.note(now, {BUSY: (total, total // 100)})
    assert 0 <= meter.bits_per_second(now) <= total * 8 / 60


@given(st.integers(0, 10**9), st.floats(60, 10**6))
def test_what_was_forwarded_more_than_a_minute_ago_does_not_count(sent: int, idle: float) -> None:
    meter = after_samples((0, {BUSY: 0}), (5, {BUSY: sent}), (5 + idle, {BUSY: sent}))
    assert meter.bits_per_second(5 + idle) == 0


def test_time_that_was_skipped_counts_as_idle() -> None:
    meter = after_samples((0, {BUSY: 0}), (3600, {BUSY: 3600}))
    assert meter.bits_per_second(3600) == 8


def test_the_busier_direction_counts_and_machines_add_up() -> None:
    other = Port(NetnsName("connector/a/1"), ETH1)
    meter = after_samples((0, {BUSY: 0, other: 0, BACK: 0}), (10, {BUSY: 200, other: 100, BACK: 299}))
    assert meter.bits_per_second(10) == 300 * 8 / 60


def test_a_device_that_was_made_anew_counts_from_nothing() -> None:
    meter = after_samples((0, {BUSY: 1000}), (5, {BUSY: 60}))
    assert meter.bits_per_second(5) == 60 * 8 / 60


class Lab:
    """A control loop over a driver that only remembers, with one connector."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.driver = Clock(), SimulatedDriver()
        self.store = Store(Journal(folder / "world.sqlite"))
        self.logbook = Logbook(folder / "log.jsonl", self.clock)
        self.loop = ControlLoop(self.store, self.driver, compiler(), (), self.clock)
        runtime = Runtime(
            self.store,
            self.loop,
            self.driver,
            self.clock,
            self.logbook,
            lambda image, _project: image,
            NO_DATA,
        )
        self.connectors = Connectors(runtime)

    async def forwards(self, megabits_per_second: float) -> None:
        """Skip half a minute in which each machine forwards that much."""
        self.clock.advance(timedelta(seconds=30))
        for number in range(self.machines):
            port = Port(connector_netns(CONNECTOR.name, number), ETH1)
            before = self.driver.traffic.get(port, InterfaceCounters(0, 0))
            sent = before.sent + int(megabits_per_second * 1e6 / 8 * 30)
            self.driver.traffic[port] = InterfaceCounters(0, sent)
        await self.connectors.sample()
        await self.loop.turn()

    @property
    def machines(self) -> int:
        return read_connector(self.store.world.get(CONNECTOR.name)).instances


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    changes = (Put(worlds.network()), Put(worlds.default_route()), Put(CONNECTOR))
    await lab.store.commit(lambda _world: Decision(changes))
    await lab.loop.turn()
    await lab.connectors.sample()
    yield lab
    lab.logbook.close()
    await lab.store.close()


async def test_a_connector_at_half_its_rate_stays_as_it_is(lab: Lab) -> None:
    for _ in range(5):
        await lab.forwards(50)
    assert lab.machines == 2


async def test_a_busy_connector_grows_says_so_and_stays_when_idle(lab: Lab) -> None:
    await lab.forwards(90)
    await lab.forwards(90)
    assert lab.machines == 3
    assert ("netns", connector_netns(CONNECTOR.name, 2)) in lab.driver.observe().elements
    lines = [line async for line in lab.logbook.read("connector/c")]
    assert [line["text"] for line in lines] == [
        "Scaled out to 3 of at most 10 machines: 180.0 Mbit/s on average are too much for 2."
    ]
    for _ in range(5):
        await lab.forwards(0)
    assert lab.machines == 3
    row = {"name": CONNECTOR.name.path, "machines": 3, "maximum": 10, "megabitsPerSecond": 0.0}
    assert lab.connectors.status() == {"connectors": [row]}


async def test_a_connector_does_not_grow_while_a_machine_is_missing(lab: Lab) -> None:
    third = connector_netns(CONNECTOR.name, 2)
    lab.driver.failure = lambda action: "no room" if third in str(action) else None
    for _ in range(6):
        await lab.forwards(100)
    assert lab.machines == 3
    assert lab.connectors.status()["connectors"][0]["machines"] == 2
    lab.driver.failure = lambda _action: None
    await lab.forwards(100)
    await lab.forwards(100)
    assert lab.machines == 4


async def test_a_full_connector_stays_at_its_maximum(lab: Lab) -> None:
    for _ in range(30):
        await lab.forwards(100)
    assert lab.machines == 10


async def test_what_it_has_grown_to_survives_a_restart(lab: Lab, tmp_path: Path) -> None:
    await lab.forwards(90)
    await lab.forwards(90)
    again = Store(Journal(tmp_path / "world.sqlite"))
    assert read_connector(again.world.get(CONNECTOR.name)).instances == 3
    await again.close()


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


async def test_a_connector_has_a_log_before_anything_is_in_it(lab: Lab) -> None:
    assert list(lab.connectors.log_names()) == ["connector/c"]
