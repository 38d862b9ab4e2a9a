"""``fogbank internet``: the third parties, and what they saw; and ``fogbank onprem``."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fogbank.app.operator.onprem import OnpremApi
from fogbank.clock import Clock
from fogbank.control.loop import ControlLoop
from fogbank.control.operator import Json, Lines, Question, Route
from fogbank.errors import OperatorError
from fogbank.resources.decisions import Decision
from fogbank.resources.onprem import find_web_server
from fogbank.resources.sites import Site, new_site, no_such_site, remove_site, sites
from fogbank.resources.world import Put, World
from fogbank.servers.access_log import AccessLog
from fogbank.store.store import Store

SETTLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class InternetApi:
    """Answers from the World, and changes it; a change is answered when it is built."""

    store: Store
    loop: ControlLoop
    clock: Clock
    access_log: AccessLog
    new_id: Callable[[], int]

    def routes(self) -> Iterable[Route]:
        """List what can be asked."""
        yield Route("GET", "internet/sites", self.list)
        yield Route("POST", "internet/sites", self.add)
        yield Route("DELETE", "internet/sites/{host}", self.remove)
        yield Route("GET", "internet/log", self.log)
        yield from OnpremApi(self.store, self.loop, self.clock, self.new_id).routes()

    def list(self, _: Question) -> Json:
        """List the third parties."""
        return {"sites": [_site_json(site) for site in sites(self.store.world)]}

    async def add(self, question: Question) -> Json:
        """Add a third party and return when it answers."""
        host = str(question.body.get("host", ""))

        def decide(world: World) -> Decision:
            now, ports, allow = self.clock.now(), question.body.get("ports"), question.body.get("allow")
            put = new_site(world, host, ports=ports or (), allow=allow or (), now=now, new_id=self.new_id)
            return Decision((put,))

        await self._commit(decide)
        host = _normal(host)
        return next(_site_json(site) for site in sites(self.store.world) if site.host == host)

    async def remove(self, question: Question) -> Json:
        """Take a third party away and return when it is gone."""
        await self._commit(lambda world: Decision((remove_site(world, question.path["host"]),)))
        return {}

    async def log(self, question: Question) -> Lines:
        """Return what third parties saw; OperatorError when a host is none and nothing of it is kept."""
        host = _normal(question.query.get("host", ""))
        there = not host or find_web_server(self.store.world, host)
        if not there and not await self.access_log.knows(host):
            raise no_such_site(host)
        return self.access_log.tail(host, follow=question.follow)

    async def _commit(self, decide: Callable[[World], Decision]) -> None:
        """Commit, and return when it is built; OperatorError says what is in the way."""
        committed = await self.store.commit(decide)
        if not await self.loop.applied(committed.world.version, SETTLE_SECONDS):
            raise OperatorError("It is recorded but not built yet; see `fogbank status` for why.")
        names = {change.resource.name for change in committed.decision.changes if isinstance(change, Put)}
        for owner, failure in self.loop.explain():
            if owner in names:
                raise OperatorError(f"It is recorded but not built yet: {failure.what}: {failure.why}")


def _normal(host: str) -> str:
    return host.strip().lower().rstrip(".")


def _site_json(site: Site) -> Json:
    return {
        "host": site.host,
        "address": str(site.address),
        "ports": list(site.all_ports),
        "allow": [str(network) for network in site.allow],
    }
