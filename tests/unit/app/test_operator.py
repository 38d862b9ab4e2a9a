"""What a person at the terminal is told, also while something cannot be made and after it was repaired."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from tests import worlds
from tests.lowered import compiler
from tests.no_data import NO_DATA

from fogbank.app.operator.clock import ClockApi
from fogbank.app.operator.internet import InternetApi
from fogbank.app.operator.logs import LogsApi
from fogbank.app.operator.plan import PlanApi, TerraformPlans
from fogbank.app.operator.status import StatusApi
from fogbank.clock import Clock
from fogbank.control.controller import Controller, Runtime
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.control.operator import OperatorApi, Question
from fogbank.control.progress import Failure
from fogbank.dataplane.simulated import SimulatedDriver, never
from fogbank.errors import OperatorError
from fogbank.frontend.api.unknown_fields import UnknownFields
from fogbank.network.topology import Workload
from fogbank.planning.plan import Action, Create
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Put
from fogbank.servers.access_log import AccessLog, AccessLogEntry
from fogbank.services.run.controller import make_controller as make_run_controller
from fogbank.services.vpcaccess.controller import Connectors
from fogbank.settings import Settings
from fogbank.store.journal import Journal
from fogbank.store.store import Store


class Toy(Controller):
    """A controller that does what it must and shows what it can."""

    name = "toy"

    def __init__(self) -> None:
        self.reconciled = 0

    async def run(self) -> None:
        await asyncio.Event().wait()

    def reconcile(self) -> None:
        self.reconciled += 1

    def status(self) -> dict[str, list[dict[str, Any]]]:
        return {"toys": [{"name": "ball"}]}

    def explain(self) -> list[tuple[ResourceName, Failure]]:
        owner = ResourceName("toy.balls", "projects/demo/balls/ball")
        return [(owner, Failure("its air", "it is flat", 3, worlds.NOW, frozenset({owner})))]

    def log_names(self) -> list[str]:
        return ["toy/ball"]


class Shelf(Toy):
    """A controller whose rows belong to another's section."""

    name = "shelf"

    def status(self) -> dict[str, list[dict[str, Any]]]:
        return {"toys": [{"name": "top"}]}

    def explain(self) -> list[tuple[ResourceName, Failure]]:
        return []


class Bare(Controller):
    """A controller that only runs."""

    name = "bare"

    async def run(self) -> None:
        await asyncio.Event().wait()


class Room:
    """The operator's topics over a driver that only remembers, in a region with article 000."""

    def __init__(self, folder: Path, *more: Controller) -> None:
        clock, self.driver = Clock(), SimulatedDriver()
        self.region_clock = clock
        self.store = Store(Journal(folder / "world.sqlite"))
        self.logbook = Logbook(folder / "log.jsonl", clock)
        self.access_log = AccessLog(folder / "access.jsonl")
        self.loop = ControlLoop(self.store, self.driver, compiler(), (), clock)
        runtime = Runtime(
            self.store, self.loop, self.driver, clock, self.logbook, lambda image, _project: image, NO_DATA
        )
        controllers = (make_run_controller(runtime), Connectors(runtime), *more)
        started, self.unknown_fields = time.monotonic(), UnknownFields()
        topics = (
            StatusApi(
                Settings(), self.store, self.loop, controllers, started, lambda: True, self.unknown_fields
            ),
            InternetApi(self.store, self.loop, clock, self.access_log, lambda: 1),
            LogsApi(self.logbook, controllers),
            ClockApi(self.store, clock, controllers, self.driver.advance_conntrack_timeouts, lambda: 1),
            PlanApi(self.loop, TerraformPlans(Settings(), self.store, self.loop, clock, lambda: 1)),
        )
        self.operator = OperatorApi(route for topic in topics for route in topic.routes())

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Ask as the command line does; the lines of a stream are collected."""
        found = self.operator.find(method, path)
        assert found, path
        route, names = found
        given = route.answer(Question(body or {}, query, names))
        answer = await given if isinstance(given, Awaitable) else given
        return [line async for line in answer] if isinstance(answer, AsyncIterator) else answer

    async def converging(self) -> list[dict[str, Any]]:
        return list((await self.ask("GET", "status"))["converging"])


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Room]:
    setup = Room(tmp_path)
    world, fleet = worlds.article()
    changes = tuple(Put(each) for members in world.collections.values() for each in members.values())
    await setup.store.commit(lambda _world: Decision(changes))
    setup.loop.set_fleet("run", fleet.instances)
    yield setup
    await setup.loop.close()
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
    (row,) = await setup.converging()
    assert row["resource"] == "projects/demo/locations/asia-northeast3/revisions/production-00001-abc"
    assert row["what"].startswith("container production-00001-abc-0002 in instance/")
    assert (row["why"], row["attempts"]) == ("crun is not installed. See: fogbank doctor", 2)
    assert row["since"].endswith("Z")
    (pending,) = (await setup.ask("GET", "plan"))["pending"]
    assert (pending["action"], pending["kind"]) == ("create", "workload")
    setup.driver.failure = never
    await setup.loop.turn()
    assert await setup.converging() == []
    assert (await setup.ask("GET", "plan"))["pending"] == []


async def test_time_that_is_skipped_passes_for_the_flows_of_gateways_too(setup: Room) -> None:
    told = await setup.ask("POST", "clock", {"advanceSeconds": 90})
    assert (told["advancedSeconds"], setup.driver.aged) == (90.0, 90)


async def test_what_nobody_asked_for_shows_as_the_regions_own(setup: Room) -> None:
    setup.driver.failure = lambda action: "too many open files" if "site/ident.me" in str(action) else None
    await setup.loop.turn()
    rows = await setup.converging()
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
        await setup.ask("POST", "internet/sites", {"host": "p.example.com"})
    turning.cancel()
    await asyncio.wait([turning])


async def test_logs_of_what_is_there_but_silent_are_empty_and_of_nothing_are_refused(setup: Room) -> None:
    assert await setup.ask("GET", "logs", resource="cloud-run-connector") == []
    with pytest.raises(OperatorError, match=r"There is: connector/cloud-run-connector\."):
        await setup.ask("GET", "logs", resource="nothing")


async def test_skipped_time_is_no_uptime(setup: Room) -> None:
    setup.region_clock.advance(timedelta(days=400))
    assert 0 <= (await setup.ask("GET", "status"))["uptimeSeconds"] < 60


@pytest.mark.parametrize("follow", ["0", "1"])
async def test_the_log_of_a_host_that_never_was_is_refused_as_its_removal_is(
    setup: Room, follow: str
) -> None:
    with pytest.raises(OperatorError) as unknown:
        await setup.ask("GET", "internet/log", host="nosuch.example", follow=follow)
    with pytest.raises(OperatorError) as unremovable:
        await setup.ask("DELETE", "internet/sites/nosuch.example")
    assert str(unknown.value) == str(unremovable.value)


@pytest.mark.parametrize("host", ["", "ifconfig.me", "Ifconfig.ME.", "removed.example.com"])
async def test_hosts_that_are_there_or_were_seen_have_a_log(setup: Room, host: str) -> None:
    seen = AccessLogEntry(
        setup.region_clock.now(),
        IPv4Address("203.0.113.5"),
        1024,
        "removed.example.com",
        "GET",
        "/",
        200,
    )
    setup.access_log.append(seen)
    log = await setup.ask("GET", "internet/log", host=host)
    expected = [] if "ifconfig" in host.lower() else ["removed.example.com"]
    assert [entry["host"] for entry in log] == expected


async def test_whatever_controllers_there_are_have_their_say(tmp_path: Path) -> None:
    toy = Toy()
    setup = Room(tmp_path, toy, Shelf(), Bare())
    status = await setup.ask("GET", "status")
    assert (status["instances"], status["connectors"]) == ([], [])
    assert status["toys"] == [{"name": "ball"}, {"name": "top"}]
    (row,) = status["converging"]
    assert (row["resource"], row["what"], row["why"]) == (
        "projects/demo/balls/ball", "its air", "it is flat",
    )  # fmt: skip
    assert await setup.ask("GET", "logs", resource="toy/ball") == []
    await setup.ask("POST", "clock", {"advanceSeconds": 1})
    assert toy.reconciled == 1
    setup.logbook.close()
    setup.access_log.close()
    await setup.loop.close()
    await setup.store.close()


async def test_fields_that_were_left_out_are_in_the_status(setup: Room) -> None:
    setup.unknown_fields.note("compute.v1.networks.insert", ["mtuu"])
    status = await setup.ask("GET", "status")
    assert status["unknownFields"] == [{"method": "compute.v1.networks.insert", "field": "mtuu", "times": 1}]


@pytest.mark.parametrize(
    ("flow", "told"),
    [
        ("run/production", "a flow is SOURCE=DESTINATION:PORT"),
        ("run/production=ifconfig.me:web", "a flow is SOURCE=DESTINATION:PORT"),
        (
            "run/production=nobody.example:80",
            "neither in the region nor in the plan. These are: .*ifconfig.me",
        ),
    ],
)
async def test_a_flow_that_cannot_be_compared_is_refused(setup: Room, flow: str, told: str) -> None:
    plan: dict[str, Any] = {"resource_changes": [], "configuration": {}}
    with pytest.raises(OperatorError, match=told):
        await setup.ask("POST", "plan/terraform", {"plan": plan, "flows": [flow]})
