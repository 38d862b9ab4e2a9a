"""Dynamic port allocation: how many ports each endpoint of a gateway should have.

See behaviour/cloud-nat.md#dynamic-port-allocation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from fogbank.resources.compute import GROWN_NAT_PORTS, NatGateway, Router
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Change, Put, World

IDLE_SECONDS = 600.0
"""How long an endpoint must need few ports before it loses half of them."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of endpoints: those that each ``has``, those ``used`` for its busiest destination, and how many
    of what it has are ``needed`` so that no port in use goes.
    """

    has: Mapping[IPv4Address, int]
    used: Mapping[IPv4Address, int]
    needed: Mapping[IPv4Address, int]


@dataclass(slots=True)
class Allocation:
    """Since when endpoints of one gateway need less than they have, in seconds of the region's time."""

    idle_since: dict[IPv4Address, float] = field(default_factory=dict)

    def desired(self, gateway: NatGateway, ports: Ports, now: float) -> dict[IPv4Address, int]:
        """Say how many ports each endpoint should have, of those that should have more than the minimum."""
        for client in self.idle_since.keys() - ports.has.keys():
            del self.idle_since[client]
        grown = dict(gateway.grown)
        wanted = {
            client: self._wanted(gateway, client, ports, grown.get(client, gateway.ports), now)
            for client in ports.has
        }
        return {client: count for client, count in wanted.items() if count > gateway.ports}

    def _wanted(self, gateway: NatGateway, client: IPv4Address, ports: Ports, asked: int, now: float) -> int:
        """Say what one endpoint should have; what it was ``asked`` to have may not have come yet."""
        has, used = ports.has[client], ports.used.get(client, 0)
        if used * 4 >= has or has <= gateway.ports:
            self.idle_since.pop(client, None)
            return min(has * 2, gateway.most_ports) if used * 8 >= has * 7 and has == asked else asked
        half = max(has // 2, gateway.ports)
        idle = now - self.idle_since.setdefault(client, now) >= IDLE_SECONDS
        if has > asked or not idle or ports.needed[client] > half:
            return asked
        self.idle_since[client] = now
        return half


def allocate(
    world: World, router: ResourceName, gateway: str, ports: Mapping[IPv4Address, int]
) -> tuple[Change, ...]:
    """Note what the endpoints of a dynamic gateway should have; nothing when it is gone or so already."""
    found = world.find(router)
    if found is None or all(nat.name != gateway or not nat.dynamic for nat in Router.of(found).nats):
        return ()
    grown = dict(found.private.get(GROWN_NAT_PORTS, {}))
    wanted = {str(client): count for client, count in sorted(ports.items())}
    if grown.get(gateway, {}) == wanted:
        return ()
    grown[gateway] = wanted
    return (Put(replace(found, private=found.private | {GROWN_NAT_PORTS: grown})),)
