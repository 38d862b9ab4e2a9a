"""Once a minute: ask whoever measures for samples, and measure the gateways of Cloud NAT.

A gateway's connections are the kernel's tracked flows at this moment; packets dropped for want of ports are
counted per network, so they are a gateway's when it is the only one there (behaviour/monitoring.md#metrics).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from fogbank.control.controller import Controller, Runtime
from fogbank.dataplane.driver import Driver, TrackedFlow
from fogbank.errors import DriverError
from fogbank.network.topology import NetnsName
from fogbank.resources.compute import Router
from fogbank.resources.instances import instance_at
from fogbank.resources.log_entries import time_of
from fogbank.resources.projects import project_number
from fogbank.resources.time_series import Key, Sample, Value, labels
from fogbank.resources.world import Resource, World
from fogbank.services.compute.nat_status import Working, addresses_missing, working
from fogbank.services.monitoring.controller.machines import MachineMeters, machine_sample
from fogbank.services.monitoring.metrics import METRICS

SAMPLE_SECONDS = 60.0
"""How far samples are apart (behaviour/monitoring.md#metrics)."""

PROTOCOLS = {6: "TCP", 17: "UDP", 1: "ICMP"}
_EXHAUSTED, _UNINVITED = "ports-exhausted", "inbound"

log = logging.getLogger(__name__)


def make_controller(runtime: Runtime) -> "Monitoring":
    """Make the controller of Cloud Monitoring."""
    return Monitoring(runtime)


@dataclass(frozen=True, slots=True)
class Observed:
    """What the kernel says about one network: its flows, packets dropped so far for want of ports, and those
    that came uninvited.
    """

    flows: tuple[TrackedFlow, ...] = ()
    exhausted: int = 0
    uninvited: int = 0


class Monitoring(Controller):
    """Takes samples."""

    name = "monitoring"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._series = runtime, runtime.time_series
        self._sampled = time_of(runtime.clock.now()) / 1e9
        self._dropped: dict[tuple[NetnsName, str], int] = {}
        self._machines = MachineMeters(runtime)
        self._skipped = asyncio.Event()

    async def run(self) -> None:
        """Sample every minute, and when time was skipped, until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._skipped.wait(), SAMPLE_SECONDS)
            self._skipped.clear()
            try:
                await self.sample()
            except Exception:  # a bug: the next sample may work
                log.exception("a sample for Cloud Monitoring failed")

    def reconcile(self) -> None:
        """Sample now: time was skipped."""
        self._skipped.set()

    async def sample(self) -> None:
        """Take one sample of everything."""
        samples = [each for source in tuple(self._series.sources) for each in source()]
        samples += await self._gateways()
        samples += await self._machines.samples()
        start, self._sampled = self._sampled, time_of(self._runtime.clock.now()) / 1e9
        if self._sampled > start:
            self._series.add(samples, start, self._sampled)

    async def _gateways(self) -> list[Sample]:
        world = self._runtime.store.world
        routers = [(found, Router.of(found)) for found in world.all("compute.routers")]
        routers = [(found, router) for found, router in routers if router.nats]
        if not routers:
            return []
        networks = sorted({_netns(router) for _, router in routers})
        seen = await asyncio.to_thread(_observe, self._runtime.driver, networks)
        alone = Counter(_netns(router) for _, router in routers for _ in router.nats)
        samples: list[Sample] = []
        for found, router in routers:
            netns = _netns(router)
            for work in working(world, self._runtime.loop.observed, router):
                gateway = _Gateway(world, found, router, work)
                samples += gateway.samples(seen[netns])
                failed = addresses_missing(work) > 0
                samples.append(gateway.sample("nat_allocation_failed", failed))
                samples += gateway.samples_of_machines(world, seen[netns])
                if alone[netns] == 1:
                    dropped = self._since_before(netns, _UNINVITED, seen[netns].uninvited)
                    samples.append(gateway.sample("dropped_received_packets_count", dropped))
                # Where first packets are decided on, refusals are counted flow by flow.
                if alone[netns] == 1 and not any(each.hands_over for each in work.translations):
                    dropped = self._since_before(netns, _EXHAUSTED, seen[netns].exhausted)
                    samples.append(
                        gateway.sample("dropped_sent_packets_count", dropped, reason="OUT_OF_RESOURCES")
                    )
        return samples

    def _since_before(self, netns: NetnsName, reason: str, total: int) -> int:
        before = self._dropped.get((netns, reason), 0)
        self._dropped[netns, reason] = total
        return total - before if total >= before else total


def _netns(router: Router) -> NetnsName:
    return NetnsName(f"vpc/{router.network.project}/{router.network.id}")


def _observe(driver: Driver, networks: Iterable[NetnsName]) -> dict[NetnsName, Observed]:
    seen = {}
    for netns in networks:
        try:
            drops = driver.drops(netns)
            seen[netns] = Observed(driver.flows(netns), drops.get(_EXHAUSTED, 0), drops.get(_UNINVITED, 0))
        except DriverError as error:  # it is not built yet, or went meanwhile
            log.debug("%s is not measured: %s", netns, error)
            seen[netns] = Observed()
    return seen


@dataclass(frozen=True, slots=True)
class _Gateway:
    """One gateway, as a monitored resource."""

    _world: World
    resource: Resource
    router: Router
    work: Working

    def samples(self, seen: Observed) -> Iterator[Sample]:
        """Measure ports and connections."""
        ports = Counter({str(address): 0 for address in self.work.active.values()})
        for block in (block for each in self.work.translations for block in each.all_blocks):
            ports[str(block.outside)] += len(block.ports)
        for address, count in sorted(ports.items()):
            yield self.sample("allocated_ports", count, nat_ip=address)
        flows = self._flows(seen)
        for protocol in PROTOCOLS.values():
            own = [each for each in flows if PROTOCOLS.get(each.protocol) == protocol]
            yield self.sample("open_connections", len(own), ip_protocol=protocol)
            yield self.sample("port_usage", _most_ports(own), ip_protocol=protocol)

    def samples_of_machines(self, world: World, seen: Observed) -> Iterator[Sample]:
        """Measure the ports and connections of each virtual machine that it serves."""
        flows = self._flows(seen)
        for nat in self.work.translations:
            address = nat.inside.network_address
            machine = instance_at(world, self.router.network, address)
            if machine is None:
                continue
            own = [each for each in flows if each.source == address]
            ports: Counter[str] = Counter()
            for block in nat.all_blocks:
                ports[str(block.outside)] += len(block.ports)
            for outside, count in sorted(ports.items()):
                yield self._of_machine(machine, "allocated_ports", count, nat_ip=outside)
            for number, protocol in PROTOCOLS.items():
                carried = [each for each in own if each.protocol == number]
                yield self._of_machine(machine, "open_connections", len(carried), ip_protocol=protocol)
                yield self._of_machine(machine, "port_usage", _most_ports(carried), ip_protocol=protocol)

    def _of_machine(self, machine: Resource, metric: str, value: Value, **metric_labels: str) -> Sample:
        gateway = {
            "nat_project_number": str(project_number(self._world, self.router.name.project)),
            "router_id": str(self.resource.body.get("id", "")),
            "nat_gateway_name": self.work.gateway.name,
        }
        return machine_sample(machine, f"nat/{metric}", "GAUGE", value, gateway | metric_labels)

    def _flows(self, seen: Observed) -> list[TrackedFlow]:
        """Return the flows that this gateway translates."""
        work = self.work
        outsides = {*work.active.values(), *work.draining.values(), *work.ruled.values()}
        return [
            each
            for each in seen.flows
            if each.translated_source in outsides and each.translated_source != each.source
        ]

    def sample(self, metric: str, value: Value, **metric_labels: str) -> Sample:
        """Make a sample of one of the gateway's metrics."""
        project = self.router.name.project
        place = {
            "project_id": project,
            "region": self.router.region,
            "router_id": str(self.resource.body.get("id", "")),
            "gateway_name": self.work.gateway.name,
        }
        name = f"router.googleapis.com/nat/{metric}"
        key = Key(project, name, labels(metric_labels), "nat_gateway", labels(place))
        return Sample(key, "DELTA" if METRICS[name].kind == "DELTA" else "GAUGE", value)


def _most_ports(flows: Iterable[TrackedFlow]) -> int:
    """Return how many ports one client uses at most to one endpoint."""
    used = Counter((each.source, each.destination, each.destination_port) for each in flows)
    return max(used.values(), default=0)
