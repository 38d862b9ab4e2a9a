"""The programs of all VPN gateways, Google's and those on premises, and the state of every tunnel.

A program runs while its gateway has a tunnel. Whatever happens, one function (:meth:`VpnController.look`)
tells each charon what it should have, asks what it has, and writes in the World what follows: routes are
lowered from there. So a tunnel that dies takes its routes along, and one that comes back brings them.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Controller, Runtime, TraceSource
from fogbank.control.periodic import every
from fogbank.control.progress import Failure
from fogbank.control.server_containers import Server, ServerContainers
from fogbank.dataplane.driver import Drifted, Event, WorkloadExited, WorkloadWrote
from fogbank.errors import DriverError
from fogbank.lowering.netns_names import site_netns
from fogbank.resources.bgp import BgpRouter, Session
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.onprem import ONPREM, onprem_networks, onprem_seen
from fogbank.resources.vpn import TUNNELS
from fogbank.resources.world import Change, Put, Resource, World, changed_members
from fogbank.services.compute.controller.vpn.associations import (
    DETAILS,
    ESTABLISHED,
    Told,
    bring_up,
    failure_told_by,
)
from fogbank.services.compute.controller.vpn.bgp_configuration import Heard
from fogbank.services.compute.controller.vpn.bgpd import give_addresses, speak
from fogbank.services.compute.controller.vpn.devices import Connection, Device, devices
from fogbank.services.compute.controller.vpn.program import folder
from fogbank.services.compute.vpn.router_bgp import sessions_seen
from fogbank.services.compute.vpn.tunnels import tunnel_seen

log = logging.getLogger(__name__)

START_SECONDS = 30.0
"""How long charon has to answer after its container started."""
ASK_SECONDS = 0.02
ROUTERS = "compute.routers"
_ADVERTISED = (ROUTERS, "compute.subnetworks", "compute.networks")
"""What decides what is advertised."""
LOOK_SECONDS = 0.5
"""How often tunnels are looked at."""


def make_controller(runtime: Runtime) -> "VpnController":
    """Make the controller of VPN gateways."""
    return VpnController(runtime)


class VpnController(Controller):
    """All gateways' programs."""

    name = "vpn"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._store = runtime, runtime.store
        self._servers = ServerContainers(
            "vpn", runtime, answers=self._answers, ready=self._came_up, refused=self._look_soon
        )
        self._devices: dict[str, Device] = {}
        self._told: dict[str, Told] = {}
        self._failures: dict[str, str] = {}
        """By connection, what charon's log said since it was up last."""
        self._up: dict[str, bool] = {}
        """By connection, what the log was told last."""
        self._looking = False
        self._tasks = BackgroundTasks("work on VPN gateways")
        self._store.watch_changes(self._world_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        self._update()
        await asyncio.gather(self._servers.run(), every(LOOK_SECONDS, self.look))

    def reconcile(self) -> None:
        """Look at all gateways again."""
        self._update()

    def status(self) -> Mapping[str, list[dict[str, Any]]]:
        """List the programs."""
        rows = [
            {
                "gateway": device.server.owner.path,
                "address": str(device.connections[0].local),
                "tunnels": len(device.connections),
                "state": self._servers.phase(server) or "stopped",
            }
            for server, device in self._devices.items()
        ]
        return {"vpn": rows} if rows else {}

    def explain(self) -> Iterable[tuple[ResourceName, Failure]]:
        """List gateways whose programs die or cannot be had."""
        yield from self._servers.explain()

    def handle(self, event: Event) -> bool:
        """Log what programs write, and start those again that end."""
        if isinstance(event, Drifted):
            return False
        server = self._servers.find(event.name)
        if server is None:
            return False
        match event:
            case WorkloadWrote(stream=stream, line=line):
                self._runtime.logbook.append(_log_name(server), stream, line)
                if (found := failure_told_by(line)) is not None:
                    self._failures[found[0]] = found[1]
            case WorkloadExited(status=status, requested=requested):
                self._told.pop(event.name, None)
                if not requested:
                    text = f"The VPN gateway's program exited with status {status}."
                    self._runtime.logbook.append(_log_name(server), "system", text)
                self._servers.exited(event)
                self._look_soon()
        return True

    def log_names(self) -> Iterable[str]:
        """Name every gateway with a tunnel."""
        return [_log_name(each.server) for each in self._devices.values()]

    def trace_sources(self) -> Iterable[TraceSource]:
        """List the hosts of on-premises networks."""
        for each in onprem_networks(self._store.world):
            yield TraceSource(each.host_name, site_netns(each.host_name), each.name)

    def _world_changed(self, changes: Sequence[Change]) -> None:
        told_by = (TUNNELS, ONPREM, *(_ADVERTISED if self._devices else ()))
        if any(any(changed_members(changes, each)) for each in told_by):
            self._update()

    def _update(self) -> None:
        before = self._devices
        self._devices = {each.server.id: each for each in devices(self._store.world)}
        known = {each.id for device in self._devices.values() for each in device.connections}
        self._failures = {key: why for key, why in self._failures.items() if key in known}
        self._servers.want(each.server for each in self._devices.values())
        if _settings(before) != _settings(self._devices):
            self._look_soon()

    def _look_soon(self) -> None:
        if self._devices:
            self._tasks.spawn(self.look())

    async def look(self) -> None:
        """Tell every program what it should have, and write what its tunnels do."""
        if self._looking or not self._devices:
            return
        self._looking = True
        try:
            for server, device in tuple(self._devices.items()):
                await self._look_at(server, device)
        finally:
            self._looking = False

    async def _look_at(self, server: str, device: Device) -> None:
        log_name = _log_name(device.server)
        up: frozenset[str] = frozenset()
        said: Mapping[IPv4Address, Heard] = {}
        if self._servers.phase(server) == "ready":
            told = self._told.setdefault(server, Told())
            try:
                up, said = await asyncio.to_thread(self._tell, device, told)
            except DriverError as error:  # it has ended just now, or refuses: it is told again
                log.info("%s: %s", server, error)
                self._told.pop(server, None)
        for connection in device.connections:
            learned = _learned(device, connection, said)
            await self._write(connection, log_name, learned, up=connection.id in up)
        for owner in {each.name: each for each in device.owners}.values():
            if owner.name.collection == ROUTERS:
                await self._write_sessions(device, owner, said)

    def _tell(self, device: Device, told: Told) -> tuple[frozenset[str], Mapping[IPv4Address, Heard]]:
        """Tell a gateway's charon and bgpd what they should have; return what they say. It blocks."""
        place = self._runtime.data.path(folder(device.server.id), "")
        up = bring_up(place, device, told)
        if not device.bgp:
            return up, {}
        try:
            if device.routes:
                give_addresses(place, (each.local for each in device.neighbors))
            said = speak(place, device.connections[0].local, device.neighbors, told.bgp)
        except DriverError as error:  # it begins, or refuses: it is told again; tunnels are as they are
            log.info("%s: %s", device.server.id, error)
            return up, {}
        return up, said

    async def _write_sessions(
        self, device: Device, owner: Resource, said: Mapping[IPv4Address, Heard]
    ) -> None:
        """Write what a router's peers on this gateway say."""
        own = [n for n, of in zip(device.neighbors, device.owners, strict=True) if of.name == owner.name]
        now = int(self._runtime.clock.now().timestamp())

        def seen(world: World) -> Decision:
            router = world.find(owner.name)
            if router is None or router.id != owner.id:
                return Decision()
            before = {each.name: each.session for each in BgpRouter.of(router).peers}
            sessions = {
                each.name: _session(before[each.name], said.get(each.address), now).kept
                for each in own
                if each.name in before
            }
            changed = sessions_seen(router, sessions)
            return Decision((Put(changed),) if changed else ())

        if seen(self._store.world).changes:
            await self._store.commit(seen)

    async def _write(
        self, connection: Connection, log_name: str, learned: tuple[IPv4Network, ...], *, up: bool
    ) -> None:
        """Write what a tunnel does, when that is not what stands there."""
        if up:
            self._failures.pop(connection.id, None)
        resource = connection.resource
        if resource.name.collection == ONPREM:

            def seen(world: World) -> Decision:
                return Decision(
                    onprem_seen(world, resource.name, connection.remote, established=up, learned=learned)
                )
        else:
            status = ESTABLISHED if up else self._why_down(connection)

            def seen(world: World) -> Decision:
                return Decision(tunnel_seen(world, resource, status, DETAILS[status]))

        if seen(self._store.world).changes:
            if self._up.get(connection.id) is not up:
                self._up[connection.id] = up
                text = (
                    f"The tunnel from {connection.local} to {connection.remote} is {'up' if up else 'down'}."
                )
                self._runtime.logbook.append(log_name, "system", text)
            await self._store.commit(seen)

    def _why_down(self, connection: Connection) -> str:
        if connection.id in self._failures:
            return self._failures[connection.id]
        found = self._store.world.find(connection.resource.name)
        before = found.body["status"] if found else ""
        was_up = before in {ESTABLISHED, "NO_INCOMING_PACKETS"}
        return "NO_INCOMING_PACKETS" if was_up else "FIRST_HANDSHAKE"

    async def _answers(self, server: Server) -> bool:
        """Wait until charon answers."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        place, nothing = self._runtime.data.path(folder(server.id), ""), Device(server, ())
        while asyncio.get_running_loop().time() < deadline:
            try:
                await asyncio.to_thread(bring_up, place, nothing, Told())
            except DriverError:
                await asyncio.sleep(ASK_SECONDS)
            else:
                return True
        return False

    async def _came_up(self, server: Server) -> None:
        self._told.pop(server.id, None)
        self._look_soon()


def _settings(found: Mapping[str, Device]) -> dict[str, tuple[object, ...]]:
    return {server: device.settings for server, device in found.items()}


def _learned(
    device: Device, connection: Connection, said: Mapping[IPv4Address, Heard]
) -> tuple[IPv4Network, ...]:
    """List what an on-premises device has learned over one of its tunnels."""
    for each in device.neighbors:
        if each.name == str(connection.remote) and each.address in said:
            return tuple(route.destination for route in said[each.address].learned)
    return ()


def _session(before: Session, now_said: Heard | None, now: int) -> Session:
    """Return what is kept of a session; one that goes on keeps when it began."""
    if now_said is None:
        return Session()
    since = (before.since or now) if now_said.up else None
    return Session(now_said.state, since, now_said.learned if now_said.up else ())


def _log_name(server: Server) -> str:
    """Name a gateway as ``fogbank logs`` does: ``vpn/GATEWAY/INTERFACE``, ``vpn/NETWORK`` on premises."""
    number = server.id.rpartition("-")[2]
    return f"vpn/{server.owner.id}" + ("" if server.owner.collection == ONPREM else f"/{number}")
