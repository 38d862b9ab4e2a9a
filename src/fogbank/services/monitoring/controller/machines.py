"""What virtual machines send and get, and what firewalls kept from them: counters of their network's router.

Each interface of a machine is a device of the router, whose counters the kernel has anyway; packets that
ingress rules dropped are counted by destination (behaviour/monitoring.md#metrics).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from fogbank.control.controller import Runtime
from fogbank.dataplane.driver import Driver, InterfaceCounters
from fogbank.errors import DriverError
from fogbank.lowering.netns_names import device_to, vpc_netns
from fogbank.network.topology import DeviceName, NetnsName
from fogbank.resources.instances import INSTANCES, VirtualMachine
from fogbank.resources.time_series import Key, Kind, Sample, Value, labels
from fogbank.resources.world import Resource

log = logging.getLogger(__name__)

_REFUSED = "firewall/dropped_packets_count"
_NETWORK = "instance/network"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the kernel says about one network."""

    devices: Mapping[DeviceName, InterfaceCounters] = field(default_factory=dict)
    refused: Mapping[IPv4Address, int] = field(default_factory=dict)


class MachineMeters:
    """Measures all machines that are on."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._before: dict[tuple[str, str, IPv4Address], int] = {}

    async def samples(self) -> list[Sample]:
        """Measure what was counted since the last time."""
        found = [
            (resource, machine)
            for resource in self._runtime.store.world.all(INSTANCES)
            if (machine := VirtualMachine.of(resource)).powered
        ]
        networks = {vpc_netns(each.network) for _, machine in found for each in machine.interfaces}
        seen = await asyncio.to_thread(_see, self._runtime.driver, sorted(networks)) if networks else {}
        before, self._before = self._before, {}
        samples: list[Sample] = []
        for resource, machine in found:
            totals: Counter[str] = Counter()
            for each in machine.interfaces:
                for metric, total in _totals(seen[vpc_netns(each.network)], each.address):
                    key = machine.machine, metric, each.address
                    known = before.get(key, 0)
                    totals[metric] += total - known if total >= known else total
                    self._before[key] = total
            samples += (_delta(resource, metric, count) for metric, count in totals.items())
        return samples


def _totals(seen: _Seen, address: IPv4Address) -> Iterator[tuple[str, int]]:
    """List the counters of one interface; what the router receives, the machine sent."""
    counters = seen.devices.get(device_to(address), InterfaceCounters(0, 0))
    yield f"{_NETWORK}/sent_bytes_count", counters.received
    yield f"{_NETWORK}/received_bytes_count", counters.sent
    yield f"{_NETWORK}/sent_packets_count", counters.received_packets
    yield f"{_NETWORK}/received_packets_count", counters.sent_packets
    yield _REFUSED, seen.refused.get(address, 0)


def _see(driver: Driver, networks: Iterable[NetnsName]) -> dict[NetnsName, _Seen]:
    found = {}
    for netns in networks:
        try:
            found[netns] = _Seen(driver.interface_counters(netns), driver.refused_packets(netns))
        except DriverError as error:  # it is not built yet, or went meanwhile
            log.debug("the machines of %s are not measured: %s", netns, error)
            found[netns] = _Seen()
    return found


def _delta(machine: Resource, metric: str, count: int) -> Sample:
    more = {} if metric == _REFUSED else {"loadbalanced": "false"}
    return machine_sample(machine, metric, "DELTA", count, {"instance_name": machine.name.id, **more})


def machine_sample(
    machine: Resource, metric: str, kind: Kind, value: Value, metric_labels: Mapping[str, str]
) -> Sample:
    """Make a sample of a metric of Compute Engine's, of one machine."""
    place = {
        "project_id": machine.name.project,
        "instance_id": str(machine.id),
        "zone": machine.name.segment("zones") or "",
    }
    name = f"compute.googleapis.com/{metric}"
    key = Key(machine.name.project, name, labels(metric_labels), "gce_instance", labels(place))
    return Sample(key, kind, value)
