"""VPC flow logs: what the kernel counted of connections becomes entries of Cloud Logging.

When the interval of a subnetwork ends, by the region's clock, the counters of its network are taken, and its
records are written (behaviour/vpc.md#flow-logs). Between two intervals nothing is done, and nothing at all
while no subnetwork has flow logs.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from secrets import SystemRandom

from fogbank.control.controller import Controller, Runtime
from fogbank.dataplane.driver import CountedFlow
from fogbank.errors import DriverError
from fogbank.lowering.netns_names import vpc_netns
from fogbank.network.topology import NetnsName
from fogbank.resources.compute import Subnetwork
from fogbank.resources.log_entries import Entry, log_name, time_of, time_text
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.controller.flow_records import SECOND, FlowLogConfig, FlowRecord, Interval
from fogbank.services.compute.controller.log_endpoints import LogEndpoint, LogEndpoints

log = logging.getLogger(__name__)

LOG = "compute.googleapis.com/vpc_flows"
LOOK_SECONDS = 1.0
"""How long to wait at most while there are flow logs: the region's clock may be advanced."""

_PORTED = frozenset({6, 17, 132})


def make_controller(runtime: Runtime) -> "FlowLogs":
    """Make the controller of VPC flow logs."""
    return FlowLogs(runtime)


class FlowLogs(Controller):
    """Writes the flow logs of all subnetworks; ``random`` gives numbers from 0 to 1, for sampling."""

    name = "flow-logs"

    def __init__(self, runtime: Runtime, random: Callable[[], float] | None = None) -> None:
        self._runtime, self._random = runtime, random or SystemRandom().random
        self._woken = asyncio.Event()
        self._intervals: dict[ResourceName, Interval] = {}
        self._read: tuple[World, Mapping[ResourceName, list[FlowLogConfig]]] | None = None
        self._numbered = 0
        runtime.loop.after_pass(self._woken.set)

    async def run(self) -> None:
        """Write what is due until cancelled."""
        while True:
            try:
                wait = await self.look()
            except Exception:  # a bug: the next look may work
                log.exception("flow logs could not be written")
                wait = LOOK_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), wait)
            self._woken.clear()

    def reconcile(self) -> None:
        """Look now: time was skipped."""
        self._woken.set()

    async def look(self) -> float | None:
        """Write the records of intervals that are over.

        Return the seconds until the next one is, or LOOK_SECONDS; None when there are no flow logs.
        """
        world, now = self._runtime.store.world, time_of(self._runtime.clock.now())
        networks = self._configs(world)
        wanted = {config.subnetwork for configs in networks.values() for config in configs}
        for gone in self._intervals.keys() - wanted:
            del self._intervals[gone]
        for network, configs in networks.items():
            for config in configs:
                if config.subnetwork not in self._intervals:
                    self._intervals[config.subnetwork] = Interval.at(config, now)
            if any(self._intervals[each.subnetwork].is_over(each, now) for each in configs):
                await self._take(world, network, configs)
        now = time_of(self._runtime.clock.now())
        ends = [
            self._intervals[each.subnetwork].end(each) for configs in networks.values() for each in configs
        ]
        return min(LOOK_SECONDS, max(0.0, (min(ends) - now) / SECOND)) if ends else None

    def _configs(self, world: World) -> Mapping[ResourceName, list[FlowLogConfig]]:
        """Read which subnetworks have flow logs, by their network."""
        if self._read is not None and self._read[0] is world:
            return self._read[1]
        found: dict[ResourceName, list[FlowLogConfig]] = {}
        for resource in world.all("compute.subnetworks"):
            if resource.body.get("logConfig", {}).get("enable"):
                subnetwork = Subnetwork.of(resource)
                config = FlowLogConfig.of(resource, subnetwork.ranges)
                found.setdefault(subnetwork.network, []).append(config)
        self._read = world, found
        return found

    async def _take(self, world: World, network: ResourceName, configs: Iterable[FlowLogConfig]) -> None:
        """Take the counters of a network, and write what is due."""
        flows = await asyncio.to_thread(self._counted, vpc_netns(network))
        now = time_of(self._runtime.clock.now())
        offset = int(self._runtime.clock.offset.total_seconds() * SECOND)
        endpoints = LogEndpoints(world, self._runtime.loop.lowered.owners, network)
        for config in configs:
            interval = self._intervals[config.subnetwork]
            interval.count(config, flows, offset, now)
            if interval.is_over(config, now):
                self._intervals[config.subnetwork] = Interval.at(config, now)
                self._write(world.get(config.subnetwork), config, interval, endpoints, now)

    def _counted(self, netns: NetnsName) -> tuple[CountedFlow, ...]:
        try:
            return self._runtime.driver.take_flow_counts(netns)
        except (DriverError, OSError) as error:  # it is not built yet, or went meanwhile
            log.debug("%s is not counted: %s", netns, error)
            return ()

    def _write(
        self,
        subnetwork: Resource,
        config: FlowLogConfig,
        interval: Interval,
        endpoints: LogEndpoints,
        now: int,
    ) -> None:
        project = subnetwork.name.project
        for record in interval.records.values():
            is_source = record.reporter == "SRC"
            source = endpoints.at(record.direction.source)
            destination = endpoints.at(record.direction.destination)
            payload = _payload(record) | _metadata(source, destination)
            if config.keep is not None and not config.keep(payload):
                continue
            if config.sampling < 1 and self._random() >= config.sampling:
                continue
            self._numbered += 1
            entry = {
                "insertId": f"flow{now:x}{self._numbered:x}",
                "logName": log_name(project, LOG),
                "resource": subnetwork_resource(subnetwork, source if is_source else destination),
                "timestamp": time_text(now),
                "receiveTimestamp": time_text(now),
                "severity": "DEFAULT",
                "jsonPayload": {
                    key: value
                    for key, value in payload.items()
                    if key in _BASE or config.includes(key)
                },
            }  # fmt: skip
            self._runtime.log_entries.append(project, entry)


_BASE = frozenset({"connection", "reporter", "start_time", "end_time", "bytes_sent", "packets_sent"})


def _payload(record: FlowRecord) -> Json:
    """Say what every record says; 64-bit numbers are texts."""
    return {
        "connection": connection(
            record.direction.protocol,
            (record.direction.source, record.direction.source_port),
            (record.direction.destination, record.direction.destination_port),
        ),
        "reporter": record.reporter,
        "start_time": time_text(record.first),
        "end_time": time_text(record.last),
        "bytes_sent": str(record.carried.bytes),
        "packets_sent": str(record.carried.packets),
    }


def connection(protocol: int, source: tuple[object, int], destination: tuple[object, int]) -> Json:
    """Describe a 5-tuple; only protocols that have ports show them."""
    found: Json = {"src_ip": str(source[0]), "dest_ip": str(destination[0]), "protocol": protocol}
    if protocol in _PORTED:
        found |= {"src_port": source[1], "dest_port": destination[1]}
    return found


def _metadata(source: LogEndpoint, destination: LogEndpoint) -> Json:
    found = {
        f"{side}_{name}": details
        for side, end in (("src", source), ("dest", destination))
        for name, details in (
            ("instance", end.instance_details()),
            ("vpc", end.vpc_details()),
            ("serverless_details", end.serverless_details()),
        )
    }
    return {name: details for name, details in found.items() if details}


def subnetwork_resource(subnetwork: Resource, reporter: LogEndpoint) -> Entry:
    """Describe the subnetwork that an entry is about, and where its endpoint is."""
    return {
        "type": "gce_subnetwork",
        "labels": {
            "project_id": subnetwork.name.project,
            "subnetwork_id": str(subnetwork.body["id"]),
            "subnetwork_name": subnetwork.name.id,
            "location": reporter.zone or f"{subnetwork.name.region}-a",
        },
    }
