"""``fogbank onprem``: networks outside Google, and the tunnels of their VPN devices."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fogbank.clock import Clock
from fogbank.control.loop import ControlLoop
from fogbank.control.operator import Json, Question, Route
from fogbank.errors import OperatorError
from fogbank.resources.decisions import Decision
from fogbank.resources.onprem import (
    OnpremNetwork,
    connected,
    disconnected,
    find_onprem,
    new_onprem,
    onprem_networks,
    remove_onprem,
)
from fogbank.resources.world import World
from fogbank.store.store import Store

SETTLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class OnpremApi:
    """Answers from the World, and changes it; a change is answered when it is built."""

    store: Store
    loop: ControlLoop
    clock: Clock
    new_id: Callable[[], int]

    def routes(self) -> Iterable[Route]:
        """List what can be asked."""
        yield Route("GET", "onprem", self.list)
        yield Route("POST", "onprem", self.add)
        yield Route("DELETE", "onprem/{name}", self.remove)
        yield Route("POST", "onprem/{name}/tunnels", self.connect)
        yield Route("DELETE", "onprem/{name}/tunnels/{peer}", self.disconnect)

    def list(self, _: Question) -> Json:
        """List the networks."""
        return {"networks": [_json(each) for each in onprem_networks(self.store.world)]}

    async def add(self, question: Question) -> Json:
        """Add a network and return when its host answers."""
        body, now = question.body, self.clock.now()
        name = str(body.get("name", ""))

        def decide(world: World) -> Decision:
            put = new_onprem(
                world,
                name,
                ranges=body.get("ranges") or (),
                address=body.get("address") or "",
                asn=int(body.get("asn") or 0),
                now=now,
                new_id=self.new_id,
            )
            return Decision((put,))

        await self._commit(decide)
        return _json(find_onprem(self.store.world, name))

    async def remove(self, question: Question) -> Json:
        """Take a network away."""
        await self._commit(lambda world: Decision((remove_onprem(world, question.path["name"]),)))
        return {}

    async def connect(self, question: Question) -> Json:
        """Configure a tunnel of a network's device."""
        name, body = question.path["name"], question.body

        def decide(world: World) -> Decision:
            put = connected(
                world,
                name,
                str(body.get("peer", "")),
                secret=str(body.get("secret", "")),
                remote=body.get("remoteRanges") or (),
                bgp=body.get("bgp"),
            )
            return Decision((put,))

        await self._commit(decide)
        return _json(find_onprem(self.store.world, name))

    async def disconnect(self, question: Question) -> Json:
        """Take a tunnel away."""
        name, peer = question.path["name"], question.path["peer"]
        await self._commit(lambda world: Decision((disconnected(world, name, peer),)))
        return {}

    async def _commit(self, decide: Callable[[World], Decision]) -> None:
        committed = await self.store.commit(decide)
        if not await self.loop.applied(committed.world.version, SETTLE_SECONDS):
            raise OperatorError("It is recorded but not built yet; see `fogbank status` for why.")


def _json(network: OnpremNetwork) -> Json:
    return {
        "name": network.name.id,
        "address": str(network.address),
        "ranges": [str(each) for each in network.ranges],
        "asn": network.asn,
        "host": {"name": network.host_name, "address": str(network.host_address)},
        "tunnels": [
            {
                "peer": str(each.peer),
                "state": "up" if each.established else "down",
                "remoteRanges": [str(one) for one in each.remote],
                **({"bgp": f"{each.session.address} with {each.session.peer}"} if each.session else {}),
            }
            for each in network.tunnels
        ],
    }
