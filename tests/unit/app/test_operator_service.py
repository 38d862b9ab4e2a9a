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
from tests.lowered import compiler

from fogbank.app.operator_service import OperatorService
from fogbank.clock import Clock
from fogbank.control.connectors import Connectors
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.simulated import SimulatedDriver, never
from fogbank.errors import OperatorError
from fogbank.network.topology import Workload
from fogbank.planning.plan import Action, Create
from fogbank.resources.decisions import Decision
from fogbank.resources.world import Put
from fogbank.servers.access_log import AccessLog, AccessLogEntry
from fogbank.settings import Settings
from fogbank.store.journal import Journal
from fogbank.store.store import Store


class Room:
    """A desk over a driver that only remembers, in a region with article 000."""

    def __init__(self, folder: Path) -> None:
        clock, self.driver = Clock(), SimulatedDriver()
        self.store = Store(Journal(folder / "world.sqlite"))
        self.logbook = Logbook(folder / "log.jsonl", clock)
        self.access_log = AccessLog(folder / "witness.jsonl")
        self.loop = ControlLoop(self.store, self.driver, compiler(), (), clock)
        unused: Any = None
        self.operator_service = OperatorService(
            settings=Settings(),
            variables=dict,
            user_document=unused,
            store=self.store,
            loop=self.loop,
            instances=SimpleNamespace(states={}, explain=list, reconcile=lambda: None),  # type: ignore[arg-type]
            connectors=Connectors(self.store, self.loop, self.driver, clock, self.logbook),
            region_clock=clock,
            tracer=unused,
            access_log=self.access_log,
            logbook=self.logbook,
            registry=unused,
            drops_in=unused,
            advance_conntrack_timeouts=self.driver.advance_conntrack_timeouts,
            new_id=lambda: 1,
            stop=lambda: None,
            started=time.monotonic(),
        )

    def converging(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.operator_service.status()["converging"]
        return rows


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Room]:
    setup = Room(tmp_path)
    world, fleet = worlds.article()
    changes = tuple(Put(each) for members in world.collections.values() for each in members.values())
    await setup.store.commit(lambda _world: Decision(changes))
    setup.loop.set_fleet(fleet)
    yield setup
    setup.logbook.close()
    setup.access_log.close()
    await setup.store.close()


def no_container(action: Action) -> str | None:
    starts = isinstance(action, Create) and isinstance(action.element, Workload)
    return "crun is not installed. See: fogbank doctor" if starts else None


async def test_a_container_that_cannot_start_shows_until_it_can(setup: Room) -> None:
    setup.driver.failure = no_container
    await setup.loop.turn()
    await setup.loop.turn()
    (row,) = setup.converging()
    assert row["resource"] == "projects/demo/locations/asia-northeast3/revisions/production-00001-abc"
    assert row["what"].startswith("container production-00001-abc-0002 in instance/")
    assert (row["why"], row["attempts"]) == ("crun is not installed. See: fogbank doctor", 2)
    assert row["since"].endswith("Z")
    (pending,) = setup.operator_service.plan()["pending"]
    assert (pending["action"], pending["kind"]) == ("create", "workload")
    setup.driver.failure = never
    await setup.loop.turn()
    assert setup.converging() == []
    assert setup.operator_service.plan()["pending"] == []


async def test_time_that_is_skipped_passes_for_the_flows_of_gateways_too(setup: Room) -> None:
    told = await setup.operator_service.advance({"advanceSeconds": 90})
    assert (told["advancedSeconds"], setup.driver.aged) == (90.0, 90)


async def test_what_nobody_asked_for_shows_as_the_regions_own(setup: Room) -> None:
    setup.driver.failure = lambda action: "too many open files" if "site/ident.me" in str(action) else None
    await setup.loop.turn()
    rows = setup.converging()
    assert (rows[0]["resource"], rows[0]["what"], rows[0]["why"]) == (
        None, "namespace site/ident.me", "too many open files",
    )  # fmt: skip
    assert {row["resource"] for row in rows} == {None}


async def test_a_partner_that_cannot_be_made_is_no_success(setup: Room) -> None:
    setup.driver.failure = lambda action: (
        "too many open files" if "site/p.example.com" in str(action) else None
    )
    turning = asyncio.create_task(setup.loop.run())
    with pytest.raises(OperatorError, match=r"namespace site/p.example.com.*too many open files"):
        await setup.operator_service.add_site({"host": "p.example.com"})
    turning.cancel()
    await asyncio.wait([turning])


async def test_logs_of_what_is_there_but_silent_are_empty_and_of_nothing_are_refused(setup: Room) -> None:
    connector = setup.operator_service.logs("cloud-run-connector", follow=False)
    assert [line async for line in connector] == []
    with pytest.raises(OperatorError, match=r"There is: connector/cloud-run-connector\."):
        setup.operator_service.logs("nothing", follow=False)


async def test_skipped_time_is_no_uptime(setup: Room) -> None:
    setup.operator_service.region_clock.advance(timedelta(days=400))
    assert 0 <= setup.operator_service.status()["uptimeSeconds"] < 60


@pytest.mark.parametrize("follow", [False, True])
async def test_the_log_of_a_host_that_never_was_is_refused_as_its_removal_is(
    setup: Room, follow: bool
) -> None:
    with pytest.raises(OperatorError) as unknown:
        await setup.operator_service.site_access_log("nosuch.example", follow=follow)
    with pytest.raises(OperatorError) as unremovable:
        await setup.operator_service.remove_site("nosuch.example")
    assert str(unknown.value) == str(unremovable.value)


@pytest.mark.parametrize("host", ["", "ifconfig.me", "Ifconfig.ME.", "removed.example.com"])
async def test_hosts_that_are_there_or_were_seen_have_a_log(setup: Room, host: str) -> None:
    seen = AccessLogEntry(
        setup.operator_service.region_clock.now(),
        IPv4Address("203.0.113.5"),
        1024,
        "removed.example.com",
        "GET",
        "/",
        200,
    )
    setup.access_log.append(seen)
    log = await setup.operator_service.site_access_log(host, follow=False)
    expected = [] if "ifconfig" in host.lower() else ["removed.example.com"]
    assert [entry["host"] async for entry in log] == expected
