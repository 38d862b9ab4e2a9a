"""What Cloud NAT gateways do while the region runs: take and return addresses, move ports, write logs.

After each pass of the control loop the network shows which endpoints lack ports, and an automatic gateway
gets addresses for them. Every second the kernel's flows show how busy each endpoint of a dynamic gateway is,
and the first packets that were decided on become log entries. What changes is a promise, so it goes through
the store.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.control.controller import Controller, Runtime
from fogbank.dataplane.driver import FirstPacket, TrackedFlow
from fogbank.errors import ApiError, DriverError
from fogbank.lowering.netns_names import vpc_netns
from fogbank.network.nat import addresses_for
from fogbank.network.topology import NetnsName, SourceNat
from fogbank.resources.compute import NatGateway, Router
from fogbank.resources.decisions import Decision
from fogbank.resources.log_entries import time_of
from fogbank.resources.time_series import Sample
from fogbank.resources.world import World
from fogbank.services.compute.controller.nat_log import NatLog
from fogbank.services.compute.dynamic_ports import Allocation, Ports, allocate
from fogbank.services.compute.nat_addresses import adjusted
from fogbank.services.compute.nat_status import Working, working
from fogbank.services.contract import Call

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often flows and first packets are looked at (behaviour/cloud-nat.md#dynamic-port-allocation)."""

PORT_PROTOCOLS = (6, 17)


def make_controller(runtime: Runtime) -> "CloudNat":
    """Make the controller of Cloud NAT."""
    return CloudNat(runtime)


@dataclass(frozen=True, slots=True)
class Use:
    """What clients use: ``busiest`` is how many ports for the destination for which a client uses most."""

    busiest: Mapping[IPv4Address, int]
    ports: Mapping[IPv4Address, frozenset[tuple[IPv4Address, int]]]

    @classmethod
    def of(cls, flows: Iterable[TrackedFlow]) -> "Use":
        """Count translated flows of protocols with ports."""
        counts: Counter[tuple[IPv4Address, int, IPv4Address, int]] = Counter()
        ports: dict[IPv4Address, set[tuple[IPv4Address, int]]] = {}
        for each in flows:
            if each.protocol in PORT_PROTOCOLS and each.translated_source != each.source:
                counts[each.source, each.protocol, each.destination, each.destination_port] += 1
                ports.setdefault(each.source, set()).add((each.translated_source, each.translated_port))
        most: dict[IPv4Address, int] = {}
        for (client, *_), count in counts.items():
            most[client] = max(count, most.get(client, 0))
        return cls(most, {client: frozenset(each) for client, each in ports.items()})

    def needed(self, nat: SourceNat) -> int:
        """Count the ports of a client, in the order of its blocks, up to the last one that is in use."""
        used = self.ports.get(nat.inside.network_address, frozenset())
        before, needed = 0, 0
        for block in nat.blocks:
            inside = [port for address, port in used if address == block.outside and port in block.ports]
            if inside:
                needed = before + max(inside) - block.ports.first + 1
            before += len(block.ports)
        return needed


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the kernel says about one network."""

    use: Use
    packets: tuple[FirstPacket, ...]


class CloudNat(Controller):
    """Keeps the gateways of all networks going."""

    name = "nat"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._woken = asyncio.Event()
        self._looked_at: tuple[object, ...] = ()
        self._allocations: dict[str, Allocation] = {}
        self._log = NatLog(runtime.log_entries.append)
        runtime.loop.after_pass(self._woken.set)
        runtime.time_series.sources.append(self.samples)

    async def run(self) -> None:
        """Work after each pass, and every second while a gateway needs it, until cancelled."""
        while True:
            try:
                watched = await self.look()
            except Exception:  # a bug: the next look may work
                log.exception("Cloud NAT could not be looked after")
                watched = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS if watched else None)
            self._woken.clear()

    def reconcile(self) -> None:
        """Look now: time was skipped."""
        self._woken.set()

    def samples(self) -> Iterator[Sample]:
        """Measure refused packets by reason for Cloud Monitoring (behaviour/monitoring.md#metrics)."""
        return self._log.samples()

    async def look(self) -> bool:
        """Do what is to be done now; return whether flows and first packets must be looked at again soon."""
        world = self._runtime.store.world
        routers = [router for found in world.all("compute.routers") if (router := Router.of(found)).nats]
        if any(nat.auto for router in routers for nat in router.nats):
            await self._take_addresses(world, routers)
        watched = [router for router in routers if any(map(_is_watched, router.nats))]
        if watched:
            await self._watch(world, watched)
        return bool(watched)

    async def _take_addresses(self, world: World, routers: Iterable[Router]) -> None:
        """Give automatic gateways the addresses that their endpoints need."""
        loop = self._runtime.loop
        state = (world, loop.lowered, loop.observed)
        if all(one is other for one, other in zip(state, self._looked_at, strict=False)) and self._looked_at:
            return
        self._looked_at = state
        for router in routers:
            standing = working(world, loop.observed, router)
            for wanted, now in zip(working(world, loop.lowered.topology, router), standing, strict=True):
                if not wanted.gateway.auto:
                    continue
                needed, used = addresses_for(wanted.ports), wanted.used | now.used
                held = len(wanted.active)
                if held < needed or (held > max(needed, 1) and len(used) < held):
                    await self._commit_addresses(wanted.gateway, needed, used)

    async def _commit_addresses(self, gateway: NatGateway, needed: int, used: frozenset[IPv4Address]) -> None:
        call = Call(
            "compute.v1.routers.patch", {}, {}, "", self._runtime.clock.now(), lambda: secrets.randbits(62)
        )
        try:
            await self._runtime.store.commit(
                lambda world: Decision(adjusted(world, call, gateway, needed, used))
            )
        except ApiError as error:  # no address is left: its endpoints stay without ports
            log.warning("%s got no further address: %s", gateway.id, error.message)

    async def _watch(self, world: World, routers: list[Router]) -> None:
        networks = {vpc_netns(router.network) for router in routers}
        seen = await asyncio.to_thread(self._see, networks)
        now = self._runtime.clock.seconds()
        for router in routers:
            here = seen[vpc_netns(router.network)]
            for work in working(world, self._runtime.loop.observed, router):
                if work.gateway.dynamic:
                    await self._move_ports(work, here, now)
                if here.packets:
                    self._note(world, work, here.packets)

    def _see(self, networks: Iterable[NetnsName]) -> dict[NetnsName, _Seen]:
        driver, seen = self._runtime.driver, {}
        for netns in networks:
            try:
                seen[netns] = _Seen(Use.of(driver.flows(netns)), driver.first_packets(netns))
            except DriverError as error:  # it is not built yet, or went meanwhile
                log.debug("%s is not looked at: %s", netns, error)
                seen[netns] = _Seen(Use({}, {}), ())
        return seen

    async def _move_ports(self, work: Working, seen: _Seen, now: float) -> None:
        """Give busy endpoints of a dynamic gateway more ports, and idle ones fewer."""
        gateway = work.gateway
        has = {
            each.inside.network_address: sum(len(b.ports) for b in each.blocks) for each in work.translations
        }
        needed = {each.inside.network_address: seen.use.needed(each) for each in work.translations}
        full = {each.source for each in seen.packets if each.refused == "OUT_OF_RESOURCES"}
        used = {**seen.use.busiest, **{client: has[client] for client in full if client in has}}
        allocation = self._allocations.setdefault(gateway.id, Allocation())
        ports = allocation.desired(gateway, Ports(has, used, needed), now)
        if dict(gateway.grown) != ports:
            await self._runtime.store.commit(
                lambda world: Decision(allocate(world, gateway.router, gateway.name, ports))
            )

    def _note(self, world: World, work: Working, packets: Iterable[FirstPacket]) -> None:
        clients = {each.inside.network_address for each in work.translations}
        own = [each for each in packets if each.source in clients]
        if own:
            moment = time_of(self._runtime.clock.now())
            self._log.write(world, self._runtime.loop.lowered.owners, work, own, moment)


def _is_watched(gateway: NatGateway) -> bool:
    """Return whether flows or first packets of a gateway matter to this controller."""
    return bool(
        gateway.dynamic
        or gateway.logs
        or gateway.rules
        or gateway.endpoint_independent
        or gateway.ports > 128
    )
