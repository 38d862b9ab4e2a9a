"""API calls on a region that already holds much, against one that holds little: the call's own cost.

A call goes through the whole API application (routing, schemas, the service, the store and its database), but
through no network, no proxy and no control loop. Its processor time counts, and the database is in memory
where that can be had: a wait for the disk would hide what grows with the World.
"""

import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from tests import worlds

from bench.table import Aim, Row, compare
from fogbank.frontend.api.application import ApiApplication
from fogbank.frontend.api.invoke import Api
from fogbank.frontend.api.messages import ApiRequest
from fogbank.resources.decisions import Decision
from fogbank.resources.world import Put, PutOperation, Resource
from fogbank.services import compute
from fogbank.services.contract import Service
from fogbank.store.journal import Journal
from fogbank.store.store import Store

FEW, MANY = 10, 2000
ROUNDS, CALLS = 9, 40

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
_CALLS = ("insert, delete", "network insert, delete", "get", "page of a list")
POPULATED_AIMS = tuple(
    Aim(f"API {calls}: {MANY:,} firewall rules", "1/s", ">=", 0.9, f"the same with {FEW}") for calls in _CALLS
)

_NETWORKS = f"/compute/v1/projects/{worlds.P}/global/networks"
_RULES = f"/compute/v1/projects/{worlds.P}/global/firewalls"
_OPERATOR = f"operator@{worlds.P}.iam.gserviceaccount.com"


def measure_populated(wanted: Sequence[Aim]) -> Iterator[Row]:
    """Measure the wanted rows."""
    figures = asyncio.run(_rounds())
    for aim in wanted:
        yield compare(aim, *figures[aim.row])


async def _rounds() -> dict[str, tuple[list[float], list[float]]]:
    methods = (
        PopulatedApi.write_rule,
        PopulatedApi.write_network,
        PopulatedApi.read_rule,
        PopulatedApi.read_page,
    )
    figures: dict[str, tuple[list[float], list[float]]] = {aim.row: ([], []) for aim in POPULATED_AIMS}
    with tempfile.TemporaryDirectory(prefix="fogbank-", dir=IN_MEMORY) as folder:
        regions = [PopulatedApi(Path(folder) / str(many), rules(many)) for many in (MANY, FEW)]
        gc.freeze()  # as the region does after its start
        for turn in range(ROUNDS + 1):
            for sides, calls in zip(figures.values(), methods, strict=True):
                seconds = await _in_turns([partial(calls, region) for region in regions])
                if turn:  # the first round only warms up
                    for side, found in zip(sides, seconds, strict=True):
                        side.append(1 / found)
        for region in regions:
            await region.store.close()
    return figures


async def _in_turns(subjects: Sequence[Callable[[int], Awaitable[None]]]) -> list[float]:
    """Return the median processor time of each subject's calls, which are made in turns."""
    times: list[list[float]] = [[] for _ in subjects]
    for number in range(CALLS):
        for place, call in enumerate(subjects):
            started = time.process_time()
            await call(number)
            times[place].append(time.process_time() - started)
    return [median(each) for each in times]


def rules(many: int) -> list[Resource]:
    """Make the default network's World with ``many`` firewall rules."""
    return [worlds.network("default"), *(worlds.firewall(f"rule-{n:05}") for n in range(many))]


class PopulatedApi:
    """The API application on a store that holds ``resources``; operations end as soon as anyone waits."""

    def __init__(
        self, folder: Path, resources: Sequence[Resource], services: Sequence[Service] = (compute.SERVICE,)
    ) -> None:
        folder.mkdir()
        journal = Journal(folder / "world.sqlite")
        journal.append(1, map(Put, resources))
        self.store = Store(journal)
        ids = count(10**18)
        api = Api(
            store=self.store,
            services=services,
            now=lambda: datetime.now(UTC),
            new_id=lambda: next(ids),
            ensure_project=_as_is,
            settle=self._end_operation,
        )
        self.api = ApiApplication(api, self)

    def authenticate(self, authorization: str | None) -> str:
        """Believe everybody to be the operator."""
        del authorization
        return _OPERATOR

    async def write_rule(self, number: int) -> None:
        """Make a firewall rule and take it away."""
        name = f"another-{number}"
        rule = {"name": name, "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}]}
        await self.call("POST", _RULES, rule)
        await self.call("DELETE", f"{_RULES}/{name}")

    async def write_network(self, number: int) -> None:
        """Make a network and take it away, which asks what is in it."""
        name = f"another-{number}"
        await self.call("POST", _NETWORKS, {"name": name, "autoCreateSubnetworks": False})
        await self.call("DELETE", f"{_NETWORKS}/{name}")

    async def read_page(self, number: int) -> None:
        """Read some of the rules that were there."""
        del number
        await self.call("GET", _RULES, query=b"maxResults=5")

    async def read_rule(self, number: int) -> None:
        """Read one of the rules that were there."""
        await self.call("GET", f"{_RULES}/rule-{number % FEW:05}")

    async def call(
        self,
        verb: str,
        path: str,
        body: object = None,
        *,
        query: bytes = b"",
        host: str = "compute.googleapis.com",
    ) -> bytes:
        """Answer one call, which must succeed."""
        text = b"" if body is None else json.dumps(body).encode()
        reply = await self.api.answer(ApiRequest(verb, host, path, query, body=text))
        if reply.status != 200:
            raise RuntimeError(f"{verb} {path}: {reply.status} {reply.content.decode()}")
        return reply.content

    async def _end_operation(self, path: str, _seconds: float) -> None:
        operation = self.store.world.operations.get(path)
        if operation is not None:
            done = PutOperation(operation.done(datetime.now(UTC)))
            await self.store.commit(lambda _world: Decision((done,)), synced=False)


async def _as_is(project: str) -> str:
    return project
