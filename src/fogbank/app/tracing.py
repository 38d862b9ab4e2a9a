"""Tracing: from what a person asks (``run/production`` to a URL) to a path, and the packet that proves it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Any
from urllib.parse import urlsplit

from fogbank.control.instances import Instances
from fogbank.control.loop import ControlLoop
from fogbank.errors import OperatorError
from fogbank.lowering.spaces import instance_space
from fogbank.network.sightings import Probe
from fogbank.network.topology import SpaceName
from fogbank.paths.compare import compare, seen
from fogbank.paths.explain import explain, to_json
from fogbank.paths.predict import predict
from fogbank.paths.trace import Dropped, Flow, Trace
from fogbank.resources.sites import find_site
from fogbank.resources.world import World

Json = dict[str, Any]
SendProbe = Callable[[Flow, frozenset[SpaceName]], Probe]
"""Send one real packet for a flow and watch these spaces; blocks."""

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Tracer:
    """Answers ``fogbank trace``."""

    world: Callable[[], World]
    loop: ControlLoop
    instances: Instances
    send: SendProbe

    async def trace(self, source: str, url: str, *, probe: bool) -> Json:
        """Predict the path from ``source`` to ``url``; with ``probe`` send a packet and compare."""
        start = self._start(source)
        destination, port = self._destination(url)
        flow = Flow(start, destination, port)
        trace = predict(self.loop.observed, flow)
        owners = self.loop.lowered.owners
        answer: Json = {
            "predicted": {"disposition": disposition(trace), **to_json(trace, owners)},
            "lines": list(explain(trace, owners)),
            "observed": None,
            "differences": [],
        }
        if probe:
            watched = frozenset(hop.space for branch in trace.branches for hop in branch.hops)
            packet = await asyncio.to_thread(self.send, flow, watched)
            answer["observed"] = _probe_json(packet)
            answer["differences"] = list(compare(trace, seen(packet)))
        return answer

    def _start(self, source: str) -> SpaceName:
        """Find an instance of ``run/SERVICE``, ``run/SERVICE/REVISION``, or with that id."""
        kind, _, rest = source.partition("/")
        service, _, revision = rest.partition("/")
        ready = [copy for copy in self.instances.copies.values() if copy.state == "ready"]
        for copy in ready:
            of_service = kind == "run" and copy.revision.service.id == service
            if copy.instance.id == source or (of_service and revision in ("", copy.revision.name.id)):
                return instance_space(copy.instance.id)
        known = sorted({f"run/{copy.revision.service.id}" for copy in ready})
        hint = f"These do: {', '.join(known)}." if known else "Deploy a service first."
        raise OperatorError(f"No instance of {source} runs. {hint}")

    def _destination(self, url: str) -> tuple[IPv4Address, int]:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        host = parts.hostname or ""
        try:
            port = parts.port or _PORTS.get(parts.scheme, 80)
        except ValueError as error:
            raise OperatorError(f"{url}: {error}") from error
        try:
            return IPv4Address(host), port
        except AddressValueError:
            site = find_site(self.world(), host)
        if site is None:
            raise OperatorError(
                f"{host or url} is no IPv4 address and no third party of this region. "
                f"See them: fogbank internet list. Add it: fogbank internet add {host or 'HOST'}"
            )
        return site.address, port


def disposition(trace: Trace) -> str:
    """Say how a trace ends: DELIVERED, DROPPED with its causes, or both when its branches differ."""
    ends = [
        f"DROPPED: {branch.disposition.cause}" if isinstance(branch.disposition, Dropped) else "DELIVERED"
        for branch in trace.branches
    ]
    return " or ".join(dict.fromkeys(ends))


def _probe_json(packet: Probe) -> Json:
    return {
        "verdict": packet.verdict,
        "seconds": round(packet.seconds, 6),
        "sourcePort": packet.source_port,
        "sightings": [
            {
                "space": sighting.space,
                "device": sighting.device,
                "direction": sighting.direction,
                "source": f"{sighting.source}:{sighting.source_port}",
                "destination": f"{sighting.destination}:{sighting.destination_port}",
                "microseconds": round(sighting.seconds * 1e6),
            }
            for sighting in packet.sightings
        ],
    }
