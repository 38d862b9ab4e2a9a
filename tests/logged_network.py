"""A network of two virtual machines behind a gateway, with every log on, as a control loop builds it.

Containers and servers are left out: tests and benchmarks send what they want from the machines' namespaces.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from tests import worlds
from tests.lowered import lower
from tests.no_data import NO_DATA
from tests.private_world import Lab

from fogbank.clock import Clock
from fogbank.control.controller import Runtime
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.lowering.fragments import Lowered
from fogbank.lowering.netns_names import instance_netns, site_netns, vpc_netns
from fogbank.network.topology import Listener, NetnsName, Topology, Workload
from fogbank.resources.decisions import Decision
from fogbank.resources.fleet import Fleet
from fogbank.resources.instances import machine_id
from fogbank.resources.log_entries import Search
from fogbank.resources.sites import BUILTIN_SITES
from fogbank.resources.world import Put, World
from fogbank.services.compute.controller.firewall_log import FirewallLog
from fogbank.services.compute.controller.flow_log import FlowLogs
from fogbank.services.compute.controller.nat import CloudNat
from fogbank.store.journal import Journal
from fogbank.store.log_entries import LogEntries
from fogbank.store.store import Store

SITE = BUILTIN_SITES["ifconfig.me"]
SITE_NETNS = site_netns(SITE.host)
VPC = vpc_netns(worlds.network_name())
MACHINES = {"one": IPv4Address("10.8.0.5"), "two": IPv4Address("10.9.0.6")}
FLOW_LOGS = {
    "enable": True,
    "aggregationInterval": "INTERVAL_5_SEC",
    "flowSampling": 1.0,
    "metadata": "EXCLUDE_ALL_METADATA",
}


def logged_world(ports: int = 128) -> World:
    """Make the World; each machine has so many ports."""
    logging = {"enable": True, "filter": "ALL"}
    return worlds.world(
        worlds.network(),
        worlds.default_route(),
        worlds.subnetwork("front", "10.8.0.0/24", logs=FLOW_LOGS),
        worlds.subnetwork("back", "10.9.0.0/24", logs=FLOW_LOGS),
        worlds.address("origin", "203.0.113.7"),
        worlds.router("router", [worlds.nat(addresses=["origin"], minPortsPerVm=ports, logConfig=logging)]),
        worlds.machine("one", "10.8.0.5", "front", gateway="10.8.0.1"),
        worlds.machine("two", "10.9.0.6", "back", gateway="10.9.0.1"),
        worlds.firewall("inside", sourceRanges=["10.0.0.0/8"], logConfig={"enable": True}),
    )


class OnlyNetwork:
    """Compiles without containers and servers."""

    def compile(self, world: World, fleet: Fleet, observed: Topology) -> Lowered:
        lowered = lower(world, fleet, observed)
        kept = [e for e in lowered.topology if not isinstance(e, Workload | Listener)]
        return replace(lowered, topology=Topology.of(kept))

    def preview(self, world: World, fleet: Fleet, observed: Topology) -> Lowered:
        return self.compile(world, fleet, observed)


@dataclass(frozen=True)
class LoggedNetwork:
    """The network as it stands, and who writes its logs."""

    runtime: Runtime
    nat: CloudNat
    flow_logs: FlowLogs
    firewall_log: FirewallLog
    places: dict[IPv4Address, NetnsName]
    """The namespaces of the machines, by their addresses."""

    async def payloads(self) -> dict[str, list[dict[str, Any]]]:
        """Read the payloads of all entries, by log (``nat_flows``)."""
        found = await self.runtime.log_entries.search(Search((worlds.P,), lambda _entry: True, 100_000))
        payloads: dict[str, list[dict[str, Any]]] = {}
        for entry in found.entries:
            payloads.setdefault(entry["logName"].rpartition("%2F")[2], []).append(entry["jsonPayload"])
        return payloads


@asynccontextmanager
async def logged_network(lab: Lab, folder: Path, ports: int = 128) -> AsyncIterator[LoggedNetwork]:
    """Build the network."""
    made, clock, store = logged_world(ports), Clock(), Store(Journal(folder / "world.sqlite"))
    logbook = Logbook(folder / "log.jsonl", clock)
    loop = ControlLoop(store, lab.driver, OnlyNetwork(), (), clock)
    logs = LogEntries(None, clock.now)
    runtime = Runtime(
        store, loop, lab.driver, clock, logbook, lambda image, _project: image, NO_DATA, log_entries=logs
    )
    nat, flow_logs, firewall_log = CloudNat(runtime), FlowLogs(runtime), FirewallLog(runtime)
    changes = tuple(Put(each) for members in made.collections.values() for each in members.values())
    await store.commit(lambda _world: Decision(changes))
    await loop.turn()
    assert loop.explain() == []
    await flow_logs.look()
    places = {
        MACHINES[each.name.id]: instance_netns(machine_id(each.id)) for each in made.all("compute.instances")
    }
    yield LoggedNetwork(runtime, nat, flow_logs, firewall_log, places)
    await logs.close()
    logbook.close()
    await store.close()
