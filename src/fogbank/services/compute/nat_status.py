"""What the gateways of a router do right now, read from the network that the kernel holds.

See behaviour/cloud-nat.md#status.

The mapping is the kernel's word: a client shows here when its translation exists, with the ports that it has.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address

from fogbank.network.addressing import first_free
from fogbank.network.nat import blocks_per_address
from fogbank.network.topology import SourceNat, Topology
from fogbank.resources.compute import NatGateway, Router, StaticAddress, Subnetwork
from fogbank.resources.names import ResourceName
from fogbank.resources.vpcaccess import Connector, connectors_in
from fogbank.resources.world import Json, World
from fogbank.services.compute import nats
from fogbank.services.compute.names import named
from fogbank.services.contract import Call, List, Method, Read

UPLINK = "ext"
"""The device by which a network's router reaches the internet."""


@dataclass(frozen=True, slots=True)
class Working:
    """A gateway, the addresses behind its names, and the translations that the kernel holds for it."""

    gateway: NatGateway
    active: Mapping[ResourceName, IPv4Address]
    draining: Mapping[ResourceName, IPv4Address]
    translations: tuple[SourceNat, ...]


def working(world: World, observed: Topology, router: Router) -> Iterator[Working]:
    """Find what each gateway of ``router`` does."""
    netns = f"vpc/{router.network.project}/{router.network.id}"
    found = [each for each in observed.of_kind(SourceNat) if (each.netns, each.device) == (netns, UPLINK)]
    for gateway in router.nats:
        active = _resolve(world, gateway.addresses)
        draining = _resolve(world, gateway.draining)
        own = {*active.values(), *draining.values()}
        mine = sorted((each for each in found if each.outside in own), key=lambda each: each.inside)
        yield Working(gateway, active, draining, tuple(mine))


def _resolve(world: World, names: Iterable[ResourceName]) -> Mapping[ResourceName, IPv4Address]:
    return {name: StaticAddress.of(world.get(name)).address for name in names}


def _router(world: World, call: Call) -> Router:
    return Router.of(world.get(named(world, call, "routers", call["router"])))


def mapping_info(world: World, call: Call) -> Iterable[Json]:
    """List the clients of a router's gateways with their ports."""
    router = _router(world, call)
    names = instance_names(world, router)
    wanted = call.parameters.get("natName")
    mappings: dict[IPv4Address, list[Json]] = {}
    for each in working(world, call.observed, router):
        if wanted in {None, "", each.gateway.name}:
            for translation in each.translations:
                inside = translation.inside.network_address
                mappings.setdefault(inside, []).append(_mapping(each, translation))
    return [
        ({"instanceName": names[inside]} if inside in names else {}) | {"interfaceNatMappings": entries}
        for inside, entries in sorted(mappings.items())
    ]


def _mapping(work: Working, translation: SourceNat) -> Json:
    ports = translation.ports
    shown = [f"{translation.outside}:{ports}"] if ports else []
    drains = translation.outside in work.draining.values()
    count = len(ports) if ports else 0
    mapping: Json = {
        "sourceVirtualIp": str(translation.inside.network_address),
        "natIpPortRanges": [] if drains else shown,
        "numTotalNatPorts": 0 if drains else count,
    }
    if drains:
        mapping |= {"drainNatIpPortRanges": shown, "numTotalDrainNatPorts": count}
    return mapping


def instance_names(world: World, router: Router) -> Mapping[IPv4Address, str]:
    """Name the machines that a router's gateways may serve, by their address."""
    return {
        address: instance_name(connector, address)
        for connector in connectors_in(world, router.network)
        if connector.region == router.region
        for address in first_free(connector.range, (), connector.instances)
    }


def instance_name(connector: Connector, address: IPv4Address) -> str:
    """Name a connector's machine as Google does: ``aet-uscentral1-NAME-1a2b``.

    See behaviour/cloud-nat.md#status.
    """
    digest = blake2b(f"{connector.name.path}/{address}".encode(), digest_size=2).hexdigest()
    return f"aet-{connector.region.replace('-', '')}-{connector.name.id}-{digest}"


def ip_info(world: World, call: Call) -> Iterable[Json]:
    """List the addresses of a router's gateways, and whether any client has ports on them."""
    wanted = call.parameters.get("natName")
    for each in working(world, call.observed, _router(world, call)):
        if wanted in {None, "", each.gateway.name}:
            used = {translation.outside for translation in each.translations}
            mode = "AUTO" if each.gateway.auto else "MANUAL"
            yield {
                "natName": each.gateway.name,
                "natIpInfoMappings": [
                    {
                        "natIp": str(address),
                        "mode": mode,
                        "usage": "IN_USE" if address in used else "UNUSED",
                    }
                    for address in (*each.active.values(), *each.draining.values())
                ],
            }


def router_status(world: World, call: Call) -> Json:
    """Return the state of a router and its gateways."""
    router = _router(world, call)
    result: Json = {"network": router.network.self_link}
    statuses = [_status(world, each) for each in working(world, call.observed, router)]
    if statuses:
        result["natStatus"] = statuses
    return {"kind": "compute#routerStatusResponse", "result": result}


def _status(world: World, work: Working) -> Json:
    gateway = work.gateway
    active = [str(address) for address in work.active.values()]
    status: Json = {
        "name": gateway.name,
        "minExtraNatIpsNeeded": addresses_missing(world, gateway),
        "numVmEndpointsWithNatMappings": len({each.inside for each in work.translations}),
    }
    if gateway.auto:
        return status | {"autoAllocatedNatIps": active}
    status |= {
        "userAllocatedNatIps": active,
        "userAllocatedNatIpResources": [name.self_link for name in work.active],
    }
    if work.draining:
        status["drainUserAllocatedNatIps"] = [str(address) for address in work.draining.values()]
    return status


def addresses_missing(world: World, gateway: NatGateway) -> int:
    """Count the addresses that would be needed for every client to get its ports."""
    clients, room = len(list(_clients(world, gateway))), blocks_per_address(gateway.ports)
    needed = -(-clients // room) if room else clients
    return max(0, needed - len(gateway.addresses))


def _clients(world: World, gateway: NatGateway) -> Iterator[IPv4Address]:
    """List the addresses of machines that the gateway should serve."""
    place = f"projects/{gateway.network.project}/regions/{gateway.region}/"
    served = [
        each
        for found in world.all("compute.subnetworks", place)
        for each in gateway.covers(Subnetwork.of(found))
    ]
    for connector in connectors_in(world, gateway.network):
        # A connector without a subnetwork of the user's has a hidden one, which only "all" can mean.
        hidden = connector.subnet is None and gateway.coverage != nats.LIST
        if connector.region == gateway.region and (
            hidden or any(connector.range.subnet_of(each) for each in served)
        ):
            yield from first_free(connector.range, (), connector.instances)


METHODS: dict[str, Method] = {
    "routers.getNatMappingInfo": List(mapping_info, items="result", permission="compute.routers.get"),
    "routers.getNatIpInfo": Read(
        lambda world, call: {"result": list(ip_info(world, call))}, "compute.routers.get"
    ),
    "routers.getRouterStatus": Read(router_status, "compute.routers.get"),
}
