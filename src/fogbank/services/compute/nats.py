"""NAT gateways: Google's defaults and refusals for the ``nats`` of a router.

See behaviour/cloud-nat.md#gateways.

A gateway is one entry of a router, given anew with every change. What the network cannot do yet (private NAT,
proxies, IPv6) is refused by name; the same fields with their defaults are kept and shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fogbank.errors import in_use, invalid_value, not_built, required_field
from fogbank.resources.compute import (
    FEWEST_DYNAMIC_PORTS,
    MOST_DYNAMIC_PORTS,
    NatGateway,
    Router,
    Subnetwork,
    power_of_two,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.addresses import NAT_AUTO
from fogbank.services.compute.bodies import number, one_of
from fogbank.services.compute.names import check_name
from fogbank.services.compute.nat_rules import check_draining, complete_rules, rule_links
from fogbank.services.compute.references import find_referred
from fogbank.services.contract import Call

LIST = "LIST_OF_SUBNETWORKS"
COVERAGES = ("ALL_SUBNETWORKS_ALL_IP_RANGES", "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES", LIST)
ALLOCATIONS = ("AUTO_ONLY", "MANUAL_ONLY")
RANGES = ("ALL_IP_RANGES", "PRIMARY_IP_RANGE", "LIST_OF_SECONDARY_IP_RANGES")
FILTERS = ("ERRORS_ONLY", "TRANSLATIONS_ONLY", "ALL")
FEWEST_PORTS, MOST_PORTS = 2, 65536
FEWEST_MOST_PORTS = 64
TIME_WAIT = 120

_TIMEOUTS = (
    "udpIdleTimeoutSec",
    "icmpIdleTimeoutSec",
    "tcpEstablishedIdleTimeoutSec",
    "tcpTransitoryIdleTimeoutSec",
    "tcpTimeWaitTimeoutSec",
)
_UNBUILT: dict[str, tuple[object, ...]] = {
    "type": ("PUBLIC",),
    "endpointTypes": (["ENDPOINT_TYPE_VM"],),
    "sourceSubnetworkIpRangesToNat64": (),
    "nat64Subnetworks": (),
}


@dataclass(frozen=True, slots=True)
class NatEntry:
    """One gateway of a request: where it stands in the body, and what it was before, if it existed."""

    field: str
    body: Json
    before: Json | None


def complete(world: World, call: Call, nats: Sequence[Json], before: Sequence[Json]) -> list[Json]:
    """Check the gateways of a router one by one, and fill in Google's defaults."""
    known = {each["name"]: each for each in before}
    found: list[Json] = []
    for index, nat in enumerate(nats):
        field = f"resource.nats[{index}]"
        if not nat.get("name"):
            raise required_field(f"{field}.name")
        check_name(f"{field}.name", nat["name"])
        if any(each["name"] == nat["name"] for each in found):
            raise invalid_value(f"{field}.name", nat["name"], "The router has another NAT of this name.")
        found.append(_gateway(world, call, NatEntry(field, nat, known.get(nat["name"]))))
    return found


def _gateway(world: World, call: Call, entry: NatEntry) -> Json:
    _refuse_unbuilt(entry)
    body, field = entry.body, entry.field
    one_of(f"{field}.autoNetworkTier", body.get("autoNetworkTier", "PREMIUM"), ("PREMIUM", "STANDARD"))
    return {
        "name": body["name"],
        "type": "PUBLIC",
        **_sources(world, call, entry),
        **_outside(world, call, entry),
        **_rules(world, call, entry),
        **(_dynamic_ports(entry) if body.get("enableDynamicPortAllocation") else _ports(entry)),
        **_timeouts(entry),
        **_logging(entry),
        "enableEndpointIndependentMapping": bool(body.get("enableEndpointIndependentMapping")),
        "endpointTypes": ["ENDPOINT_TYPE_VM"],
        "autoNetworkTier": body.get("autoNetworkTier", "PREMIUM"),
    }


def _refuse_unbuilt(entry: NatEntry) -> None:
    for name, harmless in _UNBUILT.items():
        value = entry.body.get(name)
        if value and value not in harmless:
            raise not_built(f"compute.routers with {entry.field.removeprefix('resource.')}.{name}")


def _sources(world: World, call: Call, entry: NatEntry) -> Json:
    """Check which ranges are translated."""
    name = "sourceSubnetworkIpRangesToNat"
    coverage, listed = entry.body.get(name), entry.body.get("subnetworks") or []
    if not coverage:
        raise required_field(f"{entry.field}.{name}")
    one_of(f"{entry.field}.{name}", coverage, COVERAGES)
    if coverage == LIST and not listed:
        raise required_field(f"{entry.field}.subnetworks")
    if coverage != LIST and listed:
        raise invalid_value(
            f"{entry.field}.subnetworks", listed, f"Subnetworks may only be named with {LIST}."
        )
    if not listed:
        return {name: coverage}
    served = [_served(world, call, f"{entry.field}.subnetworks[{i}]", each) for i, each in enumerate(listed)]
    return {name: coverage, "subnetworks": served}


def _served(world: World, call: Call, field: str, body: Json) -> Json:
    """Check one subnetwork of a list, and which of its ranges are chosen."""
    if not body.get("name"):
        raise required_field(f"{field}.name")
    subnetwork = find_referred(world, f"{field}.name", body["name"], "subnetworks", call)
    chosen = body.get("sourceIpRangesToNat") or [RANGES[0]]
    for each in chosen:
        one_of(f"{field}.sourceIpRangesToNat", each, RANGES)
    # The only legal pair is primary and listed secondary (behaviour/cloud-nat.md#gateways).
    if len(chosen) > 1 and sorted(chosen) != sorted(RANGES[1:]):
        raise invalid_value(f"{field}.sourceIpRangesToNat", chosen, "The values cannot be combined.")
    served: Json = {"name": subnetwork.name.self_link, "sourceIpRangesToNat": list(chosen)}
    names = body.get("secondaryIpRangeNames") or []
    if bool(names) != (RANGES[2] in chosen):
        raise invalid_value(
            f"{field}.secondaryIpRangeNames", names, f"They belong to {RANGES[2]}, which needs them."
        )
    known = {each.name for each in Subnetwork.of(subnetwork).secondary}
    for name in names:
        if name not in known:
            raise invalid_value(
                f"{field}.secondaryIpRangeNames", name, "The subnetwork has no secondary range of this name."
            )
    return served | ({"secondaryIpRangeNames": list(names)} if names else {})


def _outside(world: World, call: Call, entry: NatEntry) -> Json:
    """Check the addresses that packets leave with."""
    field, body = entry.field, entry.body
    allocation = body.get("natIpAllocateOption")
    if not allocation:
        raise required_field(f"{field}.natIpAllocateOption")
    one_of(f"{field}.natIpAllocateOption", allocation, ALLOCATIONS)
    active = _addresses(world, call, f"{field}.natIps", body.get("natIps") or ())
    draining = _addresses(world, call, f"{field}.drainNatIps", body.get("drainNatIps") or ())
    if allocation == "AUTO_ONLY":
        for name, given in (("natIps", active), ("drainNatIps", draining)):
            if given:
                raise invalid_value(f"{field}.{name}", given[0], "AUTO_ONLY chooses the addresses itself.")
        return {"natIpAllocateOption": allocation}
    if not active:
        raise required_field(f"{field}.natIps")
    before = entry.before or {}
    held = (*before.get("natIps", ()), *before.get("drainNatIps", ()))
    check_draining(f"{field}.drainNatIps", draining, active, held)
    outside: Json = {"natIpAllocateOption": allocation, "natIps": active}
    return outside | ({"drainNatIps": draining} if draining else {})


def _rules(world: World, call: Call, entry: NatEntry) -> Json:
    """Check the rules; an address belongs to one of them or to the gateway itself."""
    made = complete_rules(
        entry.field,
        entry.body,
        entry.before,
        lambda field, references: _addresses(world, call, field, references),
    )
    own = _addresses(world, call, f"{entry.field}.natIps", entry.body.get("natIps") or ())
    own += _addresses(world, call, f"{entry.field}.drainNatIps", entry.body.get("drainNatIps") or ())
    for link in rule_links(made):
        if link in own:
            raise invalid_value(
                f"{entry.field}.rules", link, "The address is used twice, by a rule and otherwise by the NAT."
            )
        own.append(link)
    return made


def _addresses(world: World, call: Call, field: str, references: Sequence[str]) -> list[str]:
    links: list[str] = []
    for index, reference in enumerate(references):
        address = find_referred(world, f"{field}[{index}]", reference, "addresses", call)
        if address.body["addressType"] != "EXTERNAL" or address.body.get("purpose") == NAT_AUTO:
            raise invalid_value(f"{field}[{index}]", reference, "Must be a reserved external address.")
        if address.name.self_link in links:
            raise invalid_value(f"{field}[{index}]", reference, "The address is given twice.")
        links.append(address.name.self_link)
    return links


def _ports(entry: NatEntry) -> Json:
    ports: Json = {}
    for name in ("minPortsPerVm", "maxPortsPerVm"):
        if entry.body.get(name):
            ports[name] = count = number(entry.body[name])
            if not FEWEST_PORTS <= count <= MOST_PORTS:
                raise invalid_value(
                    f"{entry.field}.{name}", count, f"Must be between {FEWEST_PORTS} and {MOST_PORTS}."
                )
    return ports


def _dynamic_ports(entry: NatEntry) -> Json:
    """Check dynamic port allocation (behaviour/cloud-nat.md#dynamic-port-allocation)."""
    if entry.body.get("enableEndpointIndependentMapping"):
        raise invalid_value(
            f"{entry.field}.enableEndpointIndependentMapping",
            True,
            "It cannot be combined with dynamic port allocation.",
        )
    ports = _ports(entry)
    fewest = ports.get("minPortsPerVm")
    if fewest is not None and (fewest < FEWEST_DYNAMIC_PORTS or power_of_two(fewest) != fewest):
        raise invalid_value(
            f"{entry.field}.minPortsPerVm",
            fewest,
            f"With dynamic port allocation it must be a power of two of at least {FEWEST_DYNAMIC_PORTS}.",
        )
    most, least = ports.get("maxPortsPerVm", MOST_DYNAMIC_PORTS), fewest or FEWEST_DYNAMIC_PORTS
    if most < FEWEST_MOST_PORTS or power_of_two(most) != most or most <= least:
        raise invalid_value(
            f"{entry.field}.maxPortsPerVm",
            most,
            f"It must be a power of two of at least {FEWEST_MOST_PORTS} and more than minPortsPerVm.",
        )
    return {**ports, "enableDynamicPortAllocation": True}


def _timeouts(entry: NatEntry) -> Json:
    timeouts: Json = {}
    for name in _TIMEOUTS:
        if entry.body.get(name) is not None:
            timeouts[name] = seconds = number(entry.body[name])
            if seconds < 1:
                raise invalid_value(f"{entry.field}.{name}", seconds, "Must be at least one second.")
    timeouts["effectiveTcpTimeWaitTimeoutSec"] = timeouts.get("tcpTimeWaitTimeoutSec", TIME_WAIT)
    return timeouts


def _logging(entry: NatEntry) -> Json:
    config = entry.body.get("logConfig")
    if config is None:
        return {}
    chosen = config.get("filter") or "ALL"
    one_of(f"{entry.field}.logConfig.filter", chosen, FILTERS)
    return {"logConfig": {"enable": bool(config.get("enable", False)), "filter": chosen}}


def check_together(world: World, router: Resource) -> None:
    """Refuse gateways that would serve a range twice or share an address, on this router or another.

    ``router`` is as it would become.
    """
    mine = Router.of(router)
    if not mine.nats:
        return
    place = router.name.path.rpartition("/routers/")[0] + "/"
    others = [
        nat
        for each in world.all("compute.routers", place)
        if each.name != router.name
        for nat in Router.of(each).nats
    ]
    for index, nat in enumerate(mine.nats):
        rivals = [*others, *mine.nats[:index]]
        _check_addresses(nat, rivals)
        neighbours = [each for each in rivals if each.network == nat.network]
        _check_ranges(world, f"resource.nats[{index}]", nat, neighbours)


def _check_addresses(nat: NatGateway, rivals: Sequence[NatGateway]) -> None:
    owners = {address: each for each in rivals for address in each.outsides}
    for address in nat.outsides:
        if address in owners:
            raise in_use("address", address.path, owners[address].router.path)


def _check_ranges(world: World, field: str, nat: NatGateway, rivals: Sequence[NatGateway]) -> None:
    for rival in rivals:
        if LIST not in {nat.coverage, rival.coverage} or nat.coverage != rival.coverage:
            raise invalid_value(
                f"{field}.sourceSubnetworkIpRangesToNat",
                nat.coverage,
                f"NAT '{rival.name}' of router '{rival.router.id}' already serves this network and region, "
                "and one of the two serves all subnetworks.",
            )
    for index, served in enumerate(nat.subnetworks):
        subnetwork = Subnetwork.of(world.get(served.subnetwork))
        if subnetwork.network != nat.network:
            raise invalid_value(
                f"{field}.subnetworks[{index}].name",
                subnetwork.name.self_link,
                "The subnetwork is in another network than the router.",
            )
        for rival in rivals:
            if set(served.covers(subnetwork)) & set(rival.covers(subnetwork)):
                raise _served_twice(f"{field}.subnetworks[{index}].name", subnetwork.name, rival)
        if any(each.subnetwork == served.subnetwork for each in nat.subnetworks[:index]):
            raise _served_twice(f"{field}.subnetworks[{index}].name", subnetwork.name, nat)


def _served_twice(field: str, subnetwork: ResourceName, rival: NatGateway) -> Exception:
    return invalid_value(
        field,
        subnetwork.self_link,
        f"The subnetwork is already configured for NAT '{rival.name}' of router '{rival.router.id}'.",
    )


def automatic_gateways(router: Resource) -> Iterator[NatGateway]:
    """List the gateways of a router that choose their addresses themselves."""
    return (nat for nat in Router.of(router).nats if nat.auto)
