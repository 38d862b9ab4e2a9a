"""A busy connector gets a machine more, and what goes through it notices nothing."""

import asyncio
import contextlib
import socket
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests import worlds
from tests.lowered import lower
from tests.no_data import NO_DATA
from tests.private_world import Lab

from fogbank.clock import Clock
from fogbank.control.controller import Runtime
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.lowering.fragments import Lowered
from fogbank.lowering.netns_names import connector_netns, hub_netns, instance_netns, site_netns
from fogbank.network.addressing import ANYWHERE
from fogbank.network.topology import Listener, NetnsName, Route, Topology, Workload
from fogbank.resources.decisions import Decision
from fogbank.resources.fleet import Fleet
from fogbank.resources.sites import BUILTIN_SITES
from fogbank.resources.vpcaccess import read_connector
from fogbank.resources.world import Put, World
from fogbank.services.vpcaccess.controller import Connectors
from fogbank.store.journal import Journal
from fogbank.store.store import Store

SITE = BUILTIN_SITES["ifconfig.me"]
NAME = worlds.connector_id("cloud-run-connector")
SECONDS = 1.0
"""What the mean is taken over here; a minute in a region."""
CONNECTIONS = 24


def slow_article() -> tuple[World, Fleet]:
    """Article 000 with machines of 50 Mbit/s."""
    world, fleet = worlds.article()
    connector = world.get(NAME)
    return world.after([Put(connector.with_body(machineType="f1-micro"))]), fleet


class OnlyNetwork:
    """Compiles without containers and servers, which this world has not."""

    def compile(self, world: World, fleet: Fleet, observed: Topology) -> Lowered:
        lowered = lower(world, fleet, observed)
        kept = [e for e in lowered.topology if not isinstance(e, Workload | Listener)]
        return replace(lowered, topology=Topology.of(kept))

    def preview(self, world: World, fleet: Fleet, observed: Topology) -> Lowered:
        return self.compile(world, fleet, observed)


@pytest.mark.netns
def test_a_busy_connector_grows_stays_grown_and_keeps_its_flows(lab: Lab, tmp_path: Path) -> None:
    asyncio.run(grow(lab, tmp_path))


async def grow(lab: Lab, folder: Path) -> None:
    world, fleet = slow_article()
    (instance,) = (instance_netns(each) for each in fleet.instances)
    clock, store = Clock(), Store(Journal(folder / "world.sqlite"))
    logbook = Logbook(folder / "log.jsonl", clock)
    loop = ControlLoop(store, lab.driver, OnlyNetwork(), (), clock)
    runtime = Runtime(store, loop, lab.driver, clock, logbook, lambda image, _project: image, NO_DATA)
    connectors = Connectors(runtime, seconds=SECONDS)
    changes = tuple(Put(each) for members in world.collections.values() for each in members.values())
    await store.commit(lambda _world: Decision(changes))
    loop.set_fleet("run", fleet.instances)
    await loop.turn()
    assert loop.explain() == []

    def machines() -> int:
        return read_connector(store.world.get(NAME)).instances

    with lab.listen(site_netns(SITE.host), SITE.address, 9000) as server:
        flows = [lab.connect(instance, SITE.address, 9000) for _ in range(CONNECTIONS)]
        await connectors.sample()
        assert (machines(), connectors.status()["connectors"][0]["machines"]) == (2, 2)
        for _ in range(5):  # a machine with little time to spare floods less than it could
            await asyncio.to_thread(flood, lab, instance, SECONDS)
            await connectors.sample()
            if machines() > 2:
                break
        await loop.turn()
        assert (machines(), connectors.status()["connectors"][0]["machines"]) == (3, 3)
        assert 0 < connectors.status()["connectors"][0]["megabitsPerSecond"] < 110
        spread = lab.driver.observe().elements["route", hub_netns(NAME), str(ANYWHERE)]
        assert isinstance(spread, Route)
        assert len(spread.hops) == 3
        assert [alive(flow) for flow in flows] == [True] * CONNECTIONS
        assert len(server.peers) == CONNECTIONS
        flows += [lab.connect(instance, SITE.address, 9000) for _ in range(CONNECTIONS)]
        assert lab.driver.flows(connector_netns(NAME, 2)), "new flows use the new machine too"
    clock.advance(timedelta(hours=1))
    await connectors.sample()
    assert machines() == 3
    assert connectors.status()["connectors"][0]["megabitsPerSecond"] < 0.1
    logbook.close()
    await store.close()


def flood(lab: Lab, netns: NetnsName, seconds: float) -> None:
    """Send more than two machines can forward, as many flows."""
    senders = [lab.driver.open_socket(netns, socket.SOCK_DGRAM) for _ in range(16)]
    for sender in senders:
        sender.connect((str(SITE.address), 9))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for sender in senders:
            with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
                sender.send(bytes(1200), socket.MSG_DONTWAIT)
        time.sleep(0.001)
    for sender in senders:
        sender.close()


def alive(flow: socket.socket) -> bool:
    """Return whether what is said comes back."""
    try:
        flow.settimeout(2)
        flow.sendall(b"still there?")
        return flow.recv(100) == b"still there?"
    except OSError:
        return False
