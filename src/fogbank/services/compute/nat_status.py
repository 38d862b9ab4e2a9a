"""What the gateways of a router do right now, read from the network that the kernel holds.

See behaviour/cloud-nat.md#status.

The mapping is the kernel's word: a client shows here when its translation exists, with the ports that it has.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network

from fogbank.network.addressing import first_free
from fogbank.network.nat import addresses_for
from fogbank.network.topology import PortBlock, SourceNat, Topology, TranslationRule, UnservedClient
from fogbank.resources.compute import NatGateway, Router, StaticAddress, Subnetwork
from fogbank.resources.names import ResourceName
from fogbank.resources.nat_rules import NatRule
from fogbank.resources.vpcaccess import Connector, connectors_in
from fogbank.resources.world import Json, World
from fogbank.services.compute import nats
from fogbank.services.compute.names import named
from fogbank.services.compute.vpn.router_status import bgp_status
from fogbank.services.contract import Call, List, Method, Read

UPLINK = "ext"
"""The device by which a network's router reaches the internet."""


@dataclass(frozen=True, slots=True)
class Working:
    """A gateway, the addresses behind its names, and what the kernel holds for it.

    ``unserved`` are the clients that have no ports.
    """

    gateway: NatGateway
    active: Mapping[ResourceName, IPv4Address]
    draining: Mapping[ResourceName, IPv4Address]
    ruled: Mapping[ResourceName, IPv4Address]
    translations: tuple[SourceNat, ...]
    unserved: tuple[UnservedClient, ...] = ()

    @property
    def ports(self) -> int:
        """The ports that its clients have, and those that they lack, beside those of rules."""
        return _count(block for each in self.translations for block in each.blocks) + (
            len(self.unserved) * self.gateway.ports
        )

    @property
    def used(self) -> frozenset[IPv4Address]:
        """The addresses on which clients have ports."""
        return frozenset(block.outside for each in self.translations for block in each.all_blocks)


def working(world: World, observed: Topology, router: Router) -> Iterator[Working]:
    """Find what each gateway of ``router`` does."""
    netns = f"vpc/{router.network.project}/{router.network.id}"
    found = [each for each in observed.of_kind(SourceNat) if (each.netns, each.device) == (netns, UPLINK)]
    waiting = [each for each in observed.of_kind(UnservedClient) if each.netns == netns]
    for gateway in router.nats:
        active = _resolve(world, gateway.addresses)
        draining = _resolve(world, gateway.draining)
        ruled = _resolve(world, (name for rule in gateway.rules for name in rule.outsides))
        own = {*active.values(), *draining.values()}
        mine = sorted((each for each in found if each.outside in own), key=lambda each: each.inside)
        ranges = served_ranges(world, gateway) if waiting else ()
        unserved = [each for each in waiting if any(each.inside.subnet_of(part) for part in ranges)]
        yield Working(gateway, active, draining, ruled, tuple(mine), tuple(unserved))


def _resolve(world: World, names: Iterable[ResourceName]) -> Mapping[ResourceName, IPv4Address]:
    return {name: StaticAddress.of(world.get(name)).address for name in names}


def served_ranges(world: World, gateway: NatGateway) -> tuple[IPv4Network, ...]:
    """List the ranges whose packets the gateway translates."""
    place = f"projects/{gateway.network.project}/regions/{gateway.region}/"
    served = [
        each
        for found in world.all("compute.subnetworks", place)
        for each in gateway.covers(Subnetwork.of(found))
    ]
    # A connector without a subnetwork of the user's has a hidden one, which only "all" can mean.
    hidden = (
        each.range
        for each in connectors_in(world, gateway.network)
        if each.region == gateway.region and each.subnet is None and gateway.coverage != nats.LIST
    )
    return (*served, *hidden)


def _count(blocks: Iterable[PortBlock]) -> int:
    return sum(len(block.ports) for block in blocks)


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
    rules = [_rule_mapping(each) for each in translation.rules if each.blocks]
    return {
        "sourceVirtualIp": str(translation.inside.network_address),
        **_ranges(translation.blocks, work.draining.values()),
    } | ({"ruleMappings": rules} if rules else {})


def _ranges(blocks: Iterable[PortBlock], draining: Collection[IPv4Address]) -> Json:
    held = [each for each in blocks if each.outside not in draining]
    drained = [each for each in blocks if each.outside in draining]
    mapping: Json = {
        "natIpPortRanges": [f"{each.outside}:{each.ports}" for each in held],
        "numTotalNatPorts": _count(held),
    }
    if drained:
        mapping |= {
            "drainNatIpPortRanges": [f"{each.outside}:{each.ports}" for each in drained],
            "numTotalDrainNatPorts": _count(drained),
        }
    return mapping


def _rule_mapping(rule: TranslationRule) -> Json:
    return {"ruleNumber": rule.number, **_ranges(rule.blocks, ())}


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
            mode = "AUTO" if each.gateway.auto else "MANUAL"
            yield {
                "natName": each.gateway.name,
                "natIpInfoMappings": [
                    {
                        "natIp": str(address),
                        "mode": mode,
                        "usage": "IN_USE" if address in each.used else "UNUSED",
                    }
                    for address in (*each.active.values(), *each.draining.values(), *each.ruled.values())
                ],
            }


def router_status(world: World, call: Call) -> Json:
    """Return the state of a router and its gateways."""
    router = _router(world, call)
    result: Json = {"network": router.network.self_link}
    result |= bgp_status(world, world.get(router.name), call.now)
    statuses = [_status(each) for each in working(world, call.observed, router)]
    if statuses:
        result["natStatus"] = statuses
    return {"kind": "compute#routerStatusResponse", "result": result}


def _status(work: Working) -> Json:
    gateway = work.gateway
    active = [str(address) for address in work.active.values()]
    status: Json = {
        "name": gateway.name,
        "minExtraNatIpsNeeded": addresses_missing(work),
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
    if gateway.rules:
        status["ruleStatus"] = [_rule_status(work, each) for each in gateway.rules]
    return status


def _rule_status(work: Working, rule: NatRule) -> Json:
    found = [each for nat in work.translations for each in nat.rules if each.number == rule.number]
    ports = _count(block for each in found for block in each.blocks)
    lacking = work.gateway.ports * sum(not each.blocks for each in found)
    status: Json = {
        "ruleNumber": rule.number,
        "activeNatIps": [str(work.ruled[name]) for name in rule.addresses],
        "minExtraIpsNeeded": max(0, addresses_for(ports + lacking) - len(rule.addresses)),
        "numVmEndpointsWithNatMappings": sum(bool(each.blocks) for each in found),
    }
    if rule.draining:
        status["drainNatIps"] = [str(work.ruled[name]) for name in rule.draining]
    return status


def addresses_missing(work: Working) -> int:
    """Count the addresses that would be needed for every client to get its ports."""
    return max(0, addresses_for(work.ports) - len(work.active)) if work.unserved else 0


METHODS: dict[str, Method] = {
    "routers.getNatMappingInfo": List(mapping_info, items="result", permission="compute.routers.get"),
    "routers.getNatIpInfo": Read(
        lambda world, call: {"result": list(ip_info(world, call))}, "compute.routers.get"
    ),
    "routers.getRouterStatus": Read(router_status, "compute.routers.get"),
}
