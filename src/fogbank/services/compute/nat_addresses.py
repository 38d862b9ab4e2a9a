"""Addresses that gateways take for themselves: one at first, more as they need ports, fewer when they do not.

See behaviour/cloud-nat.md#addresses.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from ipaddress import IPv4Address

from fogbank.resources.compute import AUTO_NAT_ADDRESSES, NatGateway, Router, StaticAddress
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Change, Delete, Put, Resource, World
from fogbank.services.compute import address_choice
from fogbank.services.compute.addresses import NAT_AUTO, reserved
from fogbank.services.contract import Call

_PREFIX = "nat-auto-ip-"

Held = Mapping[str, list[str]]
"""Gateway name → paths of the addresses that it made for itself."""


def with_addresses(
    world: World, call: Call, router: Resource, wanted: Mapping[str, int]
) -> tuple[Resource, tuple[Change, ...]]:
    """Give each automatic gateway in ``wanted`` at least so many addresses, and take those of others away.

    An address whose tier is another than the gateway's goes, too. ``router`` is as it would become.
    """
    held: Held = router.private.get(AUTO_NAT_ADDRESSES, {})
    tiers = {nat["name"]: nat.get("autoNetworkTier", "PREMIUM") for nat in router.body.get("nats", ())}
    kept = {
        name: [path for path in held.get(name, ()) if _tier(world, path) == tiers[name]] for name in wanted
    }
    gone = [path for name, paths in held.items() for path in paths if path not in kept.get(name, ())]
    made: list[Resource] = []
    place = router.name.path.rpartition("/routers/")[0]
    for gateway, count in wanted.items():
        for _ in range(count - len(kept[gateway])):
            name = _another_name(call, f"{place}/addresses/{_PREFIX}", kept[gateway], len(made))
            taken = [StaticAddress.of(each).address for each in made]
            fields = {"address": str(address_choice.external(world, also_taken=taken)), "purpose": NAT_AUTO}
            made.append(reserved(call, name, {"networkTier": tiers[gateway]}, fields))
            kept[gateway].append(name.path)
    return _holding(router, kept), (*map(_delete, gone), *map(Put, made))


def _another_name(call: Call, prefix: str, kept: list[str], made: int) -> ResourceName:
    serial, number = _number(call, kept)
    microseconds = int(call.now.timestamp() * 1_000_000) + made
    return ResourceName("compute.addresses", f"{prefix}{serial}-{number}-{microseconds}")


def _number(call: Call, kept: list[str]) -> tuple[str, int]:
    """Return a gateway's number, and the index of its next address."""
    if not kept:
        return str(10_000_000 + call.new_id() % 90_000_000), 0
    parts = [path.rpartition(_PREFIX)[2].split("-") for path in kept]
    return parts[0][0], max(int(index) for _, index, _ in parts) + 1


def _tier(world: World, path: str) -> str:
    found = world.find(ResourceName("compute.addresses", path))
    return str(found.body["networkTier"]) if found else ""


def _holding(router: Resource, held: Held) -> Resource:
    private = {key: value for key, value in router.private.items() if key != AUTO_NAT_ADDRESSES}
    some = {name: paths for name, paths in held.items() if paths}
    return replace(router, private=private | ({AUTO_NAT_ADDRESSES: some} if some else {}))


def _delete(path: str) -> Change:
    return Delete(ResourceName("compute.addresses", path))


def adjusted(
    world: World, call: Call, automatic: NatGateway, needed: int, used: AbstractSet[IPv4Address]
) -> tuple[Change, ...]:
    """Have an automatic gateway hold ``needed`` addresses, at least one, and none less that is ``used``.

    Nothing changes when it is gone or has them.
    """
    found, gateway = world.find(automatic.router), automatic.name
    if found is None or all(nat.name != gateway or not nat.auto for nat in Router.of(found).nats):
        return ()
    held: Held = found.private.get(AUTO_NAT_ADDRESSES, {})
    paths = held.get(gateway, [])
    if len(paths) < needed:
        wanted = {name: len(each) for name, each in held.items()} | {gateway: needed}
        grown, changes = with_addresses(world, call, found, wanted)
        return (*changes, Put(grown))
    dropped = _unused(world, paths, len(paths) - max(needed, 1), used)
    if not dropped:
        return ()
    kept = {**held, gateway: [path for path in paths if path not in dropped]}
    return (*map(_delete, dropped), Put(_holding(found, kept)))


def _unused(world: World, paths: list[str], most: int, used: AbstractSet[IPv4Address]) -> list[str]:
    found = ((path, world.find(ResourceName("compute.addresses", path))) for path in reversed(paths))
    free = [path for path, address in found if address and StaticAddress.of(address).address not in used]
    return free[:most]
