"""What the operator is told while something cannot be made, and after it was repaired."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests import worlds

from fogbank.app.desk import Desk
from fogbank.clock import Clock
from fogbank.control.connectors import Connectors
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.linux.witness import Entry, WitnessLog
from fogbank.dataplane.simulated import SimulatedDriver, never
from fogbank.errors import OperatorError
from fogbank.lowering.lower import lower
from fogbank.network.topology import Workload
from fogbank.planning.plan import Action, Create
from fogbank.resources.decisions import Decision
from fogbank.resources.world import Put
from fogbank.settings import Settings
from fogbank.store.journal import Journal
from fogbank.store.store import Store


class Room:
    """A desk over a driver that only remembers, in a region with article 000."""

    def __init__(self, folder: Path) -> None:
        clock, self.driver = Clock(), SimulatedDriver()
        self.store = Store(Journal(folder / "world.sqlite"))
        self.logbook = Logbook(folder / "log.jsonl", clock)
        self.witness_log = WitnessLog(folder / "witness.jsonl")
        self.loop = ControlLoop(self.store, self.driver, lower, (), clock)
        unused: Any = None
        self.desk = Desk(
            settings=Settings(),
            variables=dict,
            user_document=unused,
            store=self.store,
            loop=self.loop,
            instances=SimpleNamespace(copies={}, explain=list, reconcile=lambda: None),  # type: ignore[arg-type]
            connectors=Connectors(self.store, self.loop, self.driver, clock, self.logbook),
            region_clock=clock,
            tracer=unused,
            witness_log=self.witness_log,
            logbook=self.logbook,
            registry=unused,
            drops_in=unused,
            age_flows=self.driver.age,
            new_id=lambda: 1,
            stop=lambda: None,
            started=time.monotonic(),
        )

    def converging(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.desk.status()["converging"]
        return rows


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(tmp_path)
    world, fleet = worlds.article()
    changes = tuple(Put(each) for members in world.collections.values() for each in members.values())
    await room.store.commit(lambda _world: Decision(changes))
    room.loop.set_fleet(fleet)
    yield room
    room.logbook.close()
    room.witness_log.close()
    await room.store.close()


def no_container(action: Action) -> str | None:
    starts = isinstance(action, Create) and isinstance(action.element, Workload)
    return "crun is not installed. See: fogbank doctor" if starts else None


async def test_a_container_that_cannot_start_shows_until_it_can(room: Room) -> None:
    room.driver.failure = no_container
    await room.loop.turn()
    await room.loop.turn()
    (row,) = room.converging()
    assert row["resource"] == "projects/demo/locations/asia-northeast3/revisions/production-00001-abc"
    assert row["what"].startswith("container production-00001-abc-0002 in instance/")
    assert (row["why"], row["attempts"]) == ("crun is not installed. See: fogbank doctor", 2)
    assert row["since"].endswith("Z")
    (pending,) = room.desk.plan()["pending"]
    assert (pending["action"], pending["kind"]) == ("create", "workload")
    room.driver.failure = never
    await room.loop.turn()
    assert room.converging() == []
    assert room.desk.plan()["pending"] == []


async def test_time_that_is_skipped_passes_for_the_flows_of_gateways_too(room: Room) -> None:
    told = await room.desk.advance({"advanceSeconds": 90})
    assert (told["advancedSeconds"], room.driver.aged) == (90.0, 90)


async def test_what_nobody_asked_for_shows_as_the_regions_own(room: Room) -> None:
    room.driver.failure = lambda action: "too many open files" if "site/ident.me" in str(action) else None
    await room.loop.turn()
    rows = room.converging()
    assert (rows[0]["resource"], rows[0]["what"], rows[0]["why"]) == (
        None, "namespace site/ident.me", "too many open files",
    )  # fmt: skip
    assert {row["resource"] for row in rows} == {None}


async def test_a_partner_that_cannot_be_made_is_no_success(room: Room) -> None:
    room.driver.failure = lambda action: (
        "too many open files" if "site/p.example.com" in str(action) else None
    )
    turning = asyncio.create_task(room.loop.run())
    with pytest.raises(OperatorError, match=r"namespace site/p.example.com.*too many open files"):
        await room.desk.add_site({"host": "p.example.com"})
    turning.cancel()
    await asyncio.wait([turning])


async def test_logs_of_what_is_there_but_silent_are_empty_and_of_nothing_are_refused(room: Room) -> None:
    connector = room.desk.logs("cloud-run-connector", follow=False)
    assert [line async for line in connector] == []
    with pytest.raises(OperatorError, match=r"There is: connector/cloud-run-connector\."):
        room.desk.logs("nothing", follow=False)


async def test_skipped_time_is_no_uptime(room: Room) -> None:
    room.desk.region_clock.advance(timedelta(days=400))
    assert 0 <= room.desk.status()["uptimeSeconds"] < 60


@pytest.mark.parametrize("follow", [False, True])
async def test_the_log_of_a_host_that_never_was_is_refused_as_its_removal_is(
    room: Room, follow: bool
) -> None:
    with pytest.raises(OperatorError) as unknown:
        await room.desk.witness("nosuch.example", follow=follow)
    with pytest.raises(OperatorError) as unremovable:
        await room.desk.remove_site("nosuch.example")
    assert str(unknown.value) == str(unremovable.value)


@pytest.mark.parametrize("host", ["", "ifconfig.me", "Ifconfig.ME.", "removed.example.com"])
async def test_hosts_that_are_there_or_were_seen_have_a_log(room: Room, host: str) -> None:
    seen = Entry(
        room.desk.region_clock.now(), IPv4Address("203.0.113.5"), 1024, "removed.example.com", "GET", "/", 200
    )
    room.witness_log.append(seen)
    log = await room.desk.witness(host, follow=False)
    expected = [] if "ifconfig" in host.lower() else ["removed.example.com"]
    assert [entry["host"] async for entry in log] == expected
