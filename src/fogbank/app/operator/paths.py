"""``fogbank trace``, ``why``, ``drops`` and ``top``: where packets go, and where they are dropped."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fogbank.app.nat_use import NatUse, Owners, busiest_flows, nat_use
from fogbank.app.tracing import Tracer
from fogbank.control.loop import ControlLoop
from fogbank.control.operator import Json, Question, Route
from fogbank.dataplane.driver import TrackedFlow
from fogbank.network.topology import NetnsName, NetworkNamespace, Topology

MOST_FLOWS = 20
"""How many flows ``fogbank top`` shows."""


@dataclass(frozen=True, slots=True)
class PathsApi:
    """Answers from the observed network and the kernel's counters."""

    loop: ControlLoop
    tracer: Tracer
    drops_in: Callable[[NetnsName], Mapping[str, int]]
    flows_in: Callable[[NetnsName], Iterable[TrackedFlow]]

    def routes(self) -> Iterable[Route]:
        """List what can be asked."""
        yield Route("POST", "trace", self.trace)
        yield Route("POST", "why", self.why)
        yield Route("GET", "drops", self.drops)
        yield Route("GET", "top", self.top)

    async def trace(self, question: Question) -> Json:
        """Predict a path, and probe it."""
        body = question.body
        return await self.tracer.trace(str(body["source"]), str(body["url"]), probe=bool(body.get("probe")))

    async def why(self, question: Question) -> Json:
        """Name every setting that stops a flow."""
        return await self.tracer.why(str(question.body["source"]), str(question.body["url"]))

    async def drops(self, _: Question) -> Json:
        """Count dropped packets, by namespace and reason."""
        return {"drops": await asyncio.to_thread(self._count, self.loop.observed)}

    async def top(self, _: Question) -> Json:
        """Show the busiest flows, who uses which ports of Cloud NAT now, and what was dropped."""
        return await asyncio.to_thread(self._top, self.loop.observed, self.loop.lowered.owners)

    def _top(self, observed: Topology, owners: Owners) -> Json:
        networks = sorted(
            each.name for each in observed.of_kind(NetworkNamespace) if each.name.startswith("vpc/")
        )
        flows = [flow for netns in networks for flow in self.flows_in(netns)]
        return {
            "openConnections": len(flows),
            "flows": [_flow(each) for each in busiest_flows(flows, MOST_FLOWS)],
            "clients": [_client(each) for each in nat_use(observed, owners, flows)],
            "drops": self._count(observed),
        }

    def _count(self, observed: Topology) -> list[Json]:
        namespaces = sorted(netns.name for netns in observed.of_kind(NetworkNamespace))
        return [
            {"netns": netns, "reason": reason, "packets": packets}
            for netns in namespaces
            for reason, packets in self.drops_in(netns).items()
        ]


def _flow(flow: TrackedFlow) -> Json:
    translated = flow.translated_source != flow.source
    return {
        "netns": flow.netns,
        "protocol": flow.protocol,
        "source": {"address": str(flow.source), "port": flow.source_port},
        "destination": {"address": str(flow.destination), "port": flow.destination_port},
        "translatedTo": {"address": str(flow.translated_source), "port": flow.translated_port}
        if translated
        else None,
        "state": flow.state,
        "sentBytes": flow.sent,
        "receivedBytes": flow.received,
    }


def _client(use: NatUse) -> Json:
    busiest = None
    if use.busiest:
        address, port, protocol = use.busiest
        busiest = {"address": str(address), "port": port, "protocol": protocol}
    return {
        "netns": use.netns,
        "client": str(use.client.network_address if use.client.prefixlen == 32 else use.client),
        "resources": list(use.names),
        "natAddresses": [str(each) for each in use.outside],
        "allocatedPorts": use.ports,
        "openConnections": use.flows,
        "portUsage": use.used,
        "busiestEndpoint": busiest,
    }
