"""Measures what the machines of connectors forward, and gives a connector that is busy another machine.

Every few seconds the kernel's counters are read; the rule looks at their mean over a minute of the region's
clock. A machine more is a promise, so it goes through the store like a client's change, and a restart keeps
it. The rate of a machine holds in each direction, so the busier direction counts. Machines only come, one at
a time, when those there are forward too much; none ever goes.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fogbank.control.controller import Controller, Runtime
from fogbank.control.periodic import every
from fogbank.errors import DriverError
from fogbank.lowering.netns_names import ETH0, ETH1, connector_netns
from fogbank.network.topology import DeviceName, NetnsName, Port
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.time_series import Key, Kind, Sample, labels
from fogbank.resources.vpcaccess import CONNECTORS, Connector, read_connector
from fogbank.services.vpcaccess.connectors import scale_out

log = logging.getLogger(__name__)

SAMPLE_SECONDS = 5.0

MACHINE_UTILISATION = 0.6
"""The share of their rate that a connector's machines may forward before one more comes.

See behaviour/serverless-vpc-access.md#scaling.
"""

MACHINE_SECONDS = 60.0
"""The time over which what a connector forwards is averaged (behaviour/serverless-vpc-access.md#scaling)."""


def make_controller(runtime: Runtime) -> "Connectors":
    """Make the controller of connectors."""
    return Connectors(runtime)


def desired_machines(machines: int, maximum: int, bits_per_second: float, rate: int) -> int:
    """Decide how many machines a connector should have.

    ``bits_per_second`` is what all of them forwarded on average, ``rate`` what one of them can.
    """
    crowded = bits_per_second > MACHINE_UTILISATION * machines * rate
    return max(machines, min(machines + 1, maximum)) if crowded else machines


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    toward_network: int
    toward_instances: int


class Meter:
    """What the machines of one connector forwarded in the last ``seconds``.

    The time before the first sample counts as idle.
    """

    def __init__(self, seconds: float = MACHINE_SECONDS) -> None:
        self._seconds = seconds
        self._last: dict[Port, tuple[int, int]] = {}
        self._totals: dict[DeviceName, int] = {ETH0: 0, ETH1: 0}
        self._packets: dict[DeviceName, int] = {ETH0: 0, ETH1: 0}
        self._samples: deque[_Sample] = deque()

    def note(self, at: float, sent: Mapping[Port, tuple[int, int]]) -> None:
        """Take in the bytes and packets that each device had sent at ``at``; a new one starts at 0."""
        for port, (total, packets) in sent.items():
            before, packets_before = self._last.get(port, (0, 0))
            self._totals[port.device] += total - before if total >= before else total
            self._packets[port.device] += packets - packets_before if packets >= packets_before else packets
            self._last[port] = total, packets
        self._samples.append(_Sample(at, self._totals[ETH1], self._totals[ETH0]))
        while len(self._samples) > 1 and self._samples[1].at <= at - self._seconds:
            self._samples.popleft()

    def totals(self) -> Mapping[str, int]:
        """Return what went toward the network (sent) and toward instances since the start, by metric."""
        return {
            "sent_bytes_count": self._totals[ETH1],
            "received_bytes_count": self._totals[ETH0],
            "sent_packets_count": self._packets[ETH1],
            "received_packets_count": self._packets[ETH0],
        }

    def bits_per_second(self, now: float) -> float:
        """Return the mean of the busier direction."""
        if not self._samples:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        busier = max(
            last.toward_network - first.toward_network, last.toward_instances - first.toward_instances
        )
        return busier * 8 / max(self._seconds, now - first.at)


class Connectors(Controller):
    """The load of every connector, and its growth. ``seconds`` is what the mean is taken over."""

    name = "vpcaccess"

    def __init__(self, runtime: Runtime, *, seconds: float = MACHINE_SECONDS) -> None:
        self._store, self._loop, self._driver = runtime.store, runtime.loop, runtime.driver
        self._clock, self._logbook, self._seconds = runtime.clock, runtime.logbook, seconds
        self._meters: dict[ResourceName, Meter] = {}
        self._measured: dict[ResourceName, Mapping[str, int]] = {}
        runtime.time_series.sources.append(self.samples)

    async def run(self) -> None:
        """Measure every few seconds until cancelled."""
        await every(SAMPLE_SECONDS, self.sample)

    async def sample(self) -> None:
        """Read the counters once, and let grow what is too busy."""
        connectors = self._connectors()
        self._meters = {each.name: self._meters.get(each.name) or Meter(self._seconds) for each in connectors}
        if not connectors:
            return
        namespaces = {each.name: self._machines(each) for each in connectors}
        sent = await asyncio.to_thread(
            self._read, [netns for found in namespaces.values() for netns in found]
        )
        now = self._clock.seconds()
        for each in connectors:
            found = set(namespaces[each.name])
            meter = self._meters[each.name]
            meter.note(now, {port: total for port, total in sent.items() if port.netns in found})
            if len(found) == each.instances:
                await self._scale(each, meter.bits_per_second(now))

    def status(self) -> Mapping[str, list[dict[str, Any]]]:
        """List the connectors with their machines and what they forward."""
        now = self._clock.seconds()
        rows = [
            {
                "name": each.name.path,
                "machines": len(self._machines(each)),
                "maximum": each.max_instances,
                "megabitsPerSecond": round(self._megabits(each.name, now), 3),
            }
            for each in self._connectors()
        ]
        return {"connectors": rows}

    def samples(self) -> Iterator[Sample]:
        """Measure the connectors for Cloud Monitoring (behaviour/monitoring.md#metrics)."""
        before, self._measured = self._measured, {}
        for each in self._connectors():
            meter = self._meters.get(each.name)
            totals = self._measured[each.name] = meter.totals() if meter else {}
            yield _measure(each, "instances", "GAUGE", len(self._machines(each)))
            for metric, total in totals.items():
                yield _measure(each, metric, "DELTA", total - before.get(each.name, {}).get(metric, 0))

    def log_names(self) -> Iterable[str]:
        """Name every connector: what it scaled out to is in its log."""
        return [_log_name(resource.name) for resource in self._store.world.all(CONNECTORS)]

    def _megabits(self, name: ResourceName, now: float) -> float:
        meter = self._meters.get(name)
        return meter.bits_per_second(now) / 1e6 if meter else 0.0

    def _connectors(self) -> list[Connector]:
        found = map(read_connector, self._store.world.all(CONNECTORS))
        return sorted(found, key=lambda connector: connector.name)

    def _machines(self, connector: Connector) -> list[NetnsName]:
        """Name the machines of a connector that exist."""
        namespaces = (connector_netns(connector.name, number) for number in range(connector.instances))
        return [netns for netns in namespaces if ("netns", netns) in self._loop.observed.elements]

    def _read(self, namespaces: Iterable[NetnsName]) -> dict[Port, tuple[int, int]]:
        sent: dict[Port, tuple[int, int]] = {}
        for netns in namespaces:
            try:
                interface_counters = self._driver.interface_counters(netns)
            except DriverError as error:  # it went meanwhile; the next sample knows
                log.debug("%s is not measured: %s", netns, error)
                continue
            sent |= {
                Port(netns, device): (
                    interface_counters[device].sent,
                    interface_counters[device].sent_packets,
                )
                for device in (ETH0, ETH1)
                if device in interface_counters
            }
        return sent

    async def _scale(self, connector: Connector, bits_per_second: float) -> None:
        machines, maximum = connector.instances, connector.max_instances
        wanted = desired_machines(machines, maximum, bits_per_second, connector.rate)
        if wanted <= machines:
            return
        committed = await self._store.commit(lambda world: Decision(scale_out(world, connector.name, wanted)))
        if committed.decision.changes:
            self._logbook.append(
                _log_name(connector.name),
                "system",
                f"Scaled out to {wanted} of at most {maximum} machines: "
                f"{bits_per_second / 1e6:.1f} Mbit/s on average are too much for {machines}.",
                "INFO",
            )


def _measure(connector: Connector, metric: str, kind: Kind, value: int) -> Sample:
    place = {
        "project_id": connector.name.project,
        "location": connector.region,
        "connector_name": connector.name.id,
    }
    name = f"vpcaccess.googleapis.com/connector/{metric}"
    return Sample(Key(connector.name.project, name, (), "vpc_access_connector", labels(place)), kind, value)


def _log_name(connector: ResourceName) -> str:
    return f"connector/{connector.id}"
