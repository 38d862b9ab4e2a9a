"""Tracing: from what a person asks (``run/production`` to a URL) to a path, and the packet that proves it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Any
from urllib.parse import urlsplit

from fogbank.app.trace_ends import NamedEnds, NoExternalAddressError
from fogbank.app.trace_sources import find_source
from fogbank.control.controller import TraceSource
from fogbank.control.loop import ControlLoop
from fogbank.dataplane.linux.firewall.nftables import PORTS_EXHAUSTED
from fogbank.errors import OperatorError
from fogbank.network.packet_captures import ProbeResult
from fogbank.network.topology import NetnsName
from fogbank.paths.blockers import blockers
from fogbank.paths.compare import Observation, compare, observation
from fogbank.paths.explain import explain, to_json
from fogbank.paths.predict import predict
from fogbank.paths.remedies import Remedies, Remedy
from fogbank.paths.trace import Branch, Delivered, Dropped, Flow, HandedOver, Trace
from fogbank.resources.dns import known, resolve
from fogbank.resources.names import ResourceName
from fogbank.resources.run import SERVICES
from fogbank.resources.sites import is_googles
from fogbank.resources.world import World

Json = dict[str, Any]
SendProbe = Callable[[Flow, frozenset[NetnsName]], ProbeResult]
"""Send one real packet for a flow and watch these namespaces; blocks."""

_PORTS = {"http": 80, "https": 443}
_NO_PORT = "all ports to this destination are in use or held; see fogbank drops"


@dataclass(frozen=True, slots=True)
class Tracer:
    """Answers ``fogbank trace``; names without a project are those of ``project`` if it has them."""

    world: Callable[[], World]
    loop: ControlLoop
    sources: Callable[[], Iterable[TraceSource]]
    send: SendProbe
    drops_in: Callable[[NetnsName], Mapping[str, int]]
    project: str

    async def trace(self, source: str, url: str, *, probe: bool) -> Json:
        """Predict the path from ``source`` to ``url``; with ``probe`` send a packet and compare.

        OperatorError when ``source`` or ``url`` is nothing that can be traced; then no packet is sent.
        """
        _, flow = self._asked(source, url)
        trace = await asyncio.to_thread(predict, self.loop.observed, flow)
        owners = self.loop.lowered.owners
        answer: Json = {
            "predicted": {"disposition": disposition(trace), **to_json(trace, owners)},
            "lines": list(explain(trace, owners)),
            "observed": None,
            "differences": [],
        }
        if probe:
            packet, what = await self.observe(trace)
            answer["observed"] = _probe_json(packet, what.out_of_ports)
            answer["differences"] = list(compare(trace, what))
        return answer

    async def observe(self, trace: Trace) -> tuple[ProbeResult, Observation]:
        """Send a packet for ``trace`` and say what became of it (an Observe)."""
        packet, ran_out = await asyncio.to_thread(self._probe, trace)
        return packet, observation(packet, ran_out)

    async def why(self, source: str, url: str) -> Json:
        """Say what keeps ``source`` from reaching ``url``, each setting with what lifts it.

        OperatorError as of :meth:`trace`.
        """
        try:
            start, flow = self._asked(source, url)
        except NoExternalAddressError as error:
            return _stopped(source, url, error.remedy)
        found = await asyncio.to_thread(blockers, self.loop.observed, flow)
        remedies = Remedies(self.world(), self.loop.lowered.owners, start.resource)
        return {
            "source": start.id if outside(start) else f"{start.resource.service}/{start.resource.id}",
            "destination": f"{flow.destination}:{flow.port}",
            "reachable": not found,
            "blockers": [asdict(each) for each in remedies.lifting(found)],
        }

    def _asked(self, source: str, url: str) -> tuple[TraceSource, Flow]:
        world = self.world()
        ends = NamedEnds(world, self.project)
        start = ends.outside(source) or self._inside(source, world)
        found = ends.destination(url, outside=outside(start))
        destination, port = found or destination_of(url, world, start.network)
        return start, Flow(start.netns, destination, port)

    def _inside(self, source: str, world: World) -> TraceSource:
        services = (resource.name for resource in world.all(SERVICES))
        return find_source(source, self.sources(), services, self.project)

    def _probe(self, trace: Trace) -> tuple[ProbeResult, frozenset[NetnsName]]:
        """Send the packet; tell in which namespaces on its way a NAT port was wanting meanwhile. Blocks."""
        watched = frozenset(hop.netns for branch in trace.branches for hop in branch.hops)
        before = self._exhausted(watched)
        packet = self.send(trace.flow, watched)
        after = self._exhausted(watched)
        return packet, frozenset(netns for netns in watched if after[netns] > before[netns])

    def _exhausted(self, namespaces: Iterable[NetnsName]) -> Mapping[NetnsName, int]:
        return {netns: self.drops_in(netns).get(PORTS_EXHAUSTED, 0) for netns in namespaces}


def outside(source: TraceSource) -> bool:
    """Return whether a source is no endpoint of the region's networks."""
    return source.resource.service == "fogbank"


def _stopped(source: str, url: str, remedy: Remedy) -> Json:
    """Answer ``why`` when the destination has no address that the source could send to."""
    return {"source": source, "destination": url, "reachable": False, "blockers": [asdict(remedy)]}


def destination_of(url: str, world: World, network: ResourceName | None = None) -> tuple[IPv4Address, int]:
    """Read the address and port to which ``url`` leads for somebody in ``network``.

    OperatorError when no path can be told.
    """
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError as error:
        raise OperatorError(f"{url}: {error}") from error
    if port is None:
        raise OperatorError(f"{url}: the port of {parts.scheme}:// is not known. Name it: {url}:PORT")
    try:
        address = IPv4Address(host)
    except AddressValueError:
        address = _address_of(host, url, world, network)
    if address.is_loopback or address.is_unspecified:
        raise OperatorError(
            f"{host} is the container itself: a packet to it never leaves the instance, so it has no path. "
            "Give the address of something else."
        )
    return address, port


def _address_of(host: str, url: str, world: World, network: ResourceName | None) -> IPv4Address:
    if host == "localhost":
        return IPv4Address("127.0.0.1")
    for record in known(resolve(world, network, f"{host.lower().rstrip('.')}.")):
        if record.type == "A":
            return IPv4Address(record.texts[0])
    if is_googles(host):
        raise OperatorError(
            f"{host} is a name of Google's own and no third party; paths to those are not traced yet. "
            "The metadata server's is, by its address: 169.254.169.254"
        )
    raise OperatorError(
        f"{host or url} is no IPv4 address, has none in the DNS zones that the source sees, and is no third "
        "party of this region. "
        f"See them: fogbank internet list. Add it: fogbank internet add {host or 'HOST'}"
    )


def disposition(trace: Trace) -> str:
    """Say how a trace ends: DELIVERED, FORWARDED, DROPPED with its cause, or several of these."""
    return " or ".join(dict.fromkeys(_ending(branch) for branch in trace.branches))


def _ending(branch: Branch) -> str:
    match branch.disposition:
        case Dropped(cause=cause):
            return f"DROPPED: {cause}"
        case HandedOver():
            return "FORWARDED"
        case Delivered():
            return "DELIVERED"


def _probe_json(packet: ProbeResult, out_of_ports: NetnsName | None) -> Json:
    return {
        "verdict": packet.verdict,
        "seconds": round(packet.seconds, 6),
        "sourcePort": packet.source_port,
        "drop": {"netns": out_of_ports, "reason": PORTS_EXHAUSTED, "description": _NO_PORT}
        if out_of_ports
        else None,
        "sightings": [
            {
                "netns": packet.netns,
                "device": packet.device,
                "direction": packet.direction,
                "source": f"{packet.source}:{packet.source_port}",
                "destination": f"{packet.destination}:{packet.destination_port}",
                "microseconds": round(packet.seconds * 1e6),
            }
            for packet in packet.captured_packets
        ],
    }
