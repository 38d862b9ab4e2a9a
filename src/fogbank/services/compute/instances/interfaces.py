"""Network interfaces of an instance: which subnetwork, which addresses, from what a client asks for.

An interface gets the lowest free address of its subnetwork unless it asks for one. An access config is an
external address, translated one to one: a reserved one, or one of the pool until the instance stops.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import NoReturn

from fogbank.errors import ApiError, invalid_value, not_built, shown
from fogbank.resources.compute import Network, Subnetwork, refer
from fogbank.resources.compute_indexes import external_address, in_network, router_with_address
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.instances import (
    addresses_of_instances,
    alias_ranges_in,
    instance_with_address,
    instance_with_external,
)
from fogbank.resources.machine_types import MachineType
from fogbank.resources.network_users import subnetwork_users
from fogbank.resources.operations import OperationError
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute import address_choice
from fogbank.services.compute.bodies import one_of, refuse_unbuilt
from fogbank.services.compute.decisions import OperationFailed
from fogbank.services.compute.names import by_id, project_of, region_of
from fogbank.services.compute.references import find_referred, reference
from fogbank.services.compute.subnetworks import is_automatic
from fogbank.services.contract import Call

NETWORK_TIERS = ("PREMIUM", "STANDARD")
UNBUILT: dict[str, tuple[object, ...]] = {
    "stackType": ("IPV4_ONLY",),
    "ipv6AccessConfigs": (),
    "ipv6Address": (),
    "aliasIpv6Ranges": (),
    "internalIpv6PrefixLength": (),
    "networkAttachment": (),
    "serviceClassId": (),
    "parentNicName": (),
    "vlan": (),
    "igmpQuery": ("IGMP_QUERY_DISABLED",),
    "enableVpcScopedDns": (),
}
_ACCESS_UNBUILT: dict[str, tuple[object, ...]] = {
    "setPublicPtr": (),
    "publicPtrDomainName": (),
    "externalIpv6": (),
    "securityPolicy": (),
    "ipCollection": (),
}
_NIC_TYPES = ("GVNIC", "VIRTIO_NET")
_FEWEST, _MOST = 2, 8
_PURPOSES = frozenset({"GCE_ENDPOINT", "SHARED_LOADBALANCER_VIP"})


@dataclass(slots=True)
class Taken:
    """What one call has given out already, and no World knows yet."""

    internal: set[tuple[str, IPv4Address]] = field(default_factory=set)
    external: set[IPv4Address] = field(default_factory=set)
    aliases: list[tuple[str, IPv4Network]] = field(default_factory=list)

    def in_subnetwork(self, subnetwork: Resource) -> Iterable[IPv4Address]:
        """List the addresses of a subnetwork among them."""
        link = subnetwork.name.self_link
        return [address for within, address in self.internal if within == link]


@dataclass(frozen=True, slots=True)
class Making:
    """What is asked while a call makes or changes interfaces: the World, the call, what it gave out."""

    world: World
    call: Call
    taken: Taken = field(default_factory=Taken)


def most_interfaces(machine: MachineType) -> int:
    """Return how many interfaces a machine may have (behaviour/compute-instances.md#interfaces)."""
    return max(_FEWEST, min(machine.cpus, _MOST))


def complete(making: Making, wanted: Sequence[Json], machine: MachineType) -> list[Json]:
    """Fill in the interfaces that an instance is to have."""
    if not wanted:
        raise invalid_value("resource.networkInterfaces", "", "At least one network interface is required.")
    if len(wanted) > most_interfaces(machine):
        why = (
            f"Too many network interfaces specified: the machine type has at most {most_interfaces(machine)}."
        )
        raise invalid_value("resource.networkInterfaces", len(wanted), why)
    made: list[Json] = []
    for index, body in enumerate(wanted):
        interface = _interface(making, index, body)
        if any(each["network"] == interface["network"] for each in made):
            why = "Networks must be distinct for NICs attached to a VM."
            raise invalid_value(f"resource.networkInterfaces[{index}]", shown(body), why)
        made.append(interface)
    return made


def _interface(making: Making, index: int, body: Json) -> Json:
    where = f"resource.networkInterfaces[{index}]"
    refuse_unbuilt("instances.networkInterfaces", body, UNBUILT)
    subnetwork = _subnetwork(making, where, body)
    interface: Json = {
        "kind": "compute#networkInterface",
        "name": f"nic{index}",
        "network": subnetwork.body["network"],
        "subnetwork": subnetwork.name.self_link,
        "networkIP": str(_address(making, where, subnetwork, body.get("networkIP"))),
        "stackType": "IPV4_ONLY",
    }
    if kind := body.get("nicType"):
        one_of(f"{where}.nicType", kind, _NIC_TYPES)
        interface["nicType"] = kind
    if "queueCount" in body:
        interface["queueCount"] = body["queueCount"]
    if aliases := body.get("aliasIpRanges"):
        interface["aliasIpRanges"] = alias_ranges(making, where, subnetwork, aliases)
    configs = body.get("accessConfigs", ())
    if len(configs) > 1:
        why = "At most one access config currently supported."
        raise invalid_value(f"{where}.accessConfigs", shown(configs), why)
    if configs:
        interface["accessConfigs"] = [
            access_config(making, f"{where}.accessConfigs[{number}]", each)
            for number, each in enumerate(configs)
        ]
    return fingerprinted(interface)


def fingerprinted(interface: Json) -> Json:
    """Add the fingerprint of its present content to an interface."""
    return interface | {"fingerprint": fingerprint(interface)}


def _subnetwork(making: Making, where: str, body: Json) -> Resource:
    """Find the subnetwork of an interface: the one named, or the region's own of an auto mode network."""
    world, call = making.world, making.call
    project = project_of(world, call)
    named = body.get("network")
    if body.get("subnetwork"):
        found = find_referred(world, f"{where}.subnetwork", body["subnetwork"], "subnetworks", call)
        if found.body.get("purpose", "PRIVATE") != "PRIVATE":
            why = f"Cannot use a subnetwork with purpose {found.body['purpose']} for instances."
            raise invalid_value(f"{where}.subnetwork", found.name.path, why)
        if named:
            belongs = by_id(world, reference(f"{where}.network", named, "networks", project))
            if belongs.self_link != found.body["network"]:
                why = "Specified subnetwork does not belong to the network."
                raise invalid_value(f"{where}.subnetwork", found.name.path, why)
        return found
    network = world.get(by_id(world, reference(f"{where}.network", named or "default", "networks", project)))
    if network.name.project != project:
        why = "Cross project referencing is not allowed for this resource."
        raise invalid_value(f"{where}.network", network.name.path, why)
    region = region_of(call)
    own = (
        each
        for each in in_network(world, "subnetworks", network.name)
        if each.name.region == region and is_automatic(each)
    )
    automatic = next(own, None)
    if automatic is None or not Network.of(network).auto:
        why = "Subnetwork should be specified for custom subnetmode network"
        raise invalid_value(where, shown(body), why)
    return find_referred(world, f"{where}.subnetwork", automatic.name.path, "subnetworks", call)


def _address(making: Making, where: str, subnetwork: Resource, wanted: object) -> IPv4Address:
    """Choose the internal address of an interface."""
    world, taken = making.world, making.taken
    view, name = Subnetwork.of(subnetwork), subnetwork.name
    for user in subnetwork_users(world, view.network, name):
        message = f"The subnetwork resource '{name.path}' is already being used by '{user.path}'"
        raise OperationFailed(OperationError(400, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", message))
    if not wanted:
        try:
            address = address_choice.first_free_of(world, subnetwork, view, taken.in_subnetwork(subnetwork))
        except ApiError as error:  # Google notices it while it makes the instance
            code = "IP_SPACE_EXHAUSTED_WITH_DETAILS"
            raise OperationFailed(OperationError(400, code, error.message)) from None
    else:
        address = _wanted(making, f"{where}.networkIP", view, wanted)
        others = taken.in_subnetwork(subnetwork)
        if address in others or not _is_free(world, subnetwork, address):
            _occupied(address)
    taken.internal.add((name.self_link, address))
    return address


def _read_address(making: Making, where: str, wanted: object) -> IPv4Address:
    """Read an address, or that of the resource which reserves it."""
    text = str(wanted)
    if "/" in text:
        text = find_referred(making.world, where, text, "addresses", making.call).body["address"]
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise invalid_value(where, wanted, "Must be a valid IP address.") from None


def _wanted(making: Making, where: str, view: Subnetwork, wanted: object) -> IPv4Address:
    """Read the internal address that an interface asks for."""
    address = _read_address(making, where, wanted)
    if address not in view.range or address in view.reserved:
        why = f"Requested internal IP address is outside the subnetwork/network range {view.range}."
        raise invalid_value(where, wanted, why)
    return address


def _is_free(world: World, subnetwork: Resource, address: IPv4Address) -> bool:
    """Return whether an instance may have an address: nobody else has it, unless it is reserved for that."""
    if instance_with_address(world, subnetwork.name, address) is not None:
        return False
    if any(address in each for each, _ in alias_ranges_in(world, subnetwork.name)):
        return False
    for each in address_choice.reserved_resources(world, subnetwork.name, address):
        if each.body.get("purpose") not in _PURPOSES:
            return False
    return True


def _occupied(address: IPv4Address) -> NoReturn:
    """Refuse an address that somebody has; Google notices it while it makes the instance."""
    message = f"IP '{address}' is already being used by another resource."
    raise OperationFailed(OperationError(400, "IP_IN_USE_BY_ANOTHER_RESOURCE", message))


def alias_ranges(making: Making, where: str, subnetwork: Resource, wanted: Sequence[Json]) -> list[Json]:
    """Fill in alias ranges: a range, an address or a length, of the primary range or a secondary one."""
    view, found = Subnetwork.of(subnetwork), []
    for index, body in enumerate(wanted):
        field = f"{where}.aliasIpRanges[{index}]"
        name = body.get("subnetworkRangeName")
        within = view.range
        if name:
            within = next((each.range for each in view.secondary if each.name == name), within)
            if within is view.range:
                why = f"Subnetwork '{subnetwork.name.path}' has no secondary range '{name}'."
                raise invalid_value(f"{field}.subnetworkRangeName", name, why)
        free = _Free(making, subnetwork, within)
        chosen = _alias(f"{field}.ipCidrRange", free, str(body.get("ipCidrRange") or "/32"))
        making.taken.aliases.append((subnetwork.name.self_link, chosen))
        found.append({"ipCidrRange": str(chosen)} | ({"subnetworkRangeName": name} if name else {}))
    return found


@dataclass(frozen=True, slots=True)
class _Free:
    """What is free of the range ``within`` of a subnetwork."""

    making: Making
    subnetwork: Resource
    within: IPv4Network

    def has(self, block: IPv4Network) -> bool:
        """Return whether nobody has an address of ``block``."""
        world, taken, name = self.making.world, self.making.taken, self.subnetwork.name
        if any(block.overlaps(each) for each, _ in alias_ranges_in(world, name)):
            return False
        if any(link == name.self_link and block.overlaps(each) for link, each in taken.aliases):
            return False
        view = Subnetwork.of(self.subnetwork)
        if not block.subnet_of(view.range):
            return True
        if any(each in block for each in (*view.reserved, *taken.in_subnetwork(self.subnetwork))):
            return False
        if any(block.overlaps(each) for each in address_choice.reserved_in(world, name)):
            return False
        return not any(IPv4Address(number) in block for number in addresses_of_instances(world, name))


def _alias(field: str, free: _Free, text: str) -> IPv4Network:
    """Choose an alias range: the one that ``text`` says, or the first free one of a length (``/24``)."""
    within = free.within
    if text.startswith("/"):
        length = int(text[1:]) if text[1:].isdigit() else 0
        if not within.prefixlen <= length <= within.max_prefixlen:
            raise invalid_value(field, text, f"The range {within} has no block of this size.")
        chosen = next((each for each in within.subnets(new_prefix=length) if free.has(each)), None)
        if chosen is None:
            message = f"IP space of '{free.subnetwork.name.path}' is exhausted."
            raise OperationFailed(OperationError(400, "IP_SPACE_EXHAUSTED", message))
        return chosen
    try:
        chosen = IPv4Network(text)
    except ValueError:
        raise invalid_value(field, text, "Must be an IPv4 address or range.") from None
    if not chosen.subnet_of(within):
        raise invalid_value(field, text, f"The alias IP range must be in {within}.")
    if not free.has(chosen):
        message = f"Alias IP range '{chosen}' is already being used by another resource."
        raise OperationFailed(OperationError(400, "IP_IN_USE_BY_ANOTHER_RESOURCE", message))
    return chosen


def access_config(making: Making, where: str, body: Json) -> Json:
    """Fill in an access config; without an address it takes one from the pool."""
    refuse_unbuilt("instances.networkInterfaces.accessConfigs", body, _ACCESS_UNBUILT)
    kind = body.get("type", "ONE_TO_ONE_NAT")
    if kind != "ONE_TO_ONE_NAT":
        raise not_built(f"compute.instances.networkInterfaces.accessConfigs with type={kind}")
    tier = body.get("networkTier", NETWORK_TIERS[0])
    one_of(f"{where}.networkTier", tier, NETWORK_TIERS)
    address = _external(making, f"{where}.natIP", body.get("natIP"))
    making.taken.external.add(address)
    return {
        "kind": "compute#accessConfig",
        "type": kind,
        "name": body.get("name") or "External NAT",
        "natIP": str(address),
        "networkTier": tier,
    }


def _external(making: Making, where: str, wanted: object) -> IPv4Address:
    world, call, taken = making.world, making.call, making.taken
    if not wanted:
        return address_choice.external(world, also_taken=taken.external)
    address = _read_address(making, where, wanted)
    region, project = region_of(call), project_of(world, call)
    reserved = external_address(world, str(address))
    if reserved is None or (reserved.name.region, reserved.name.project) != (region, project):
        why = f"The specified external IP address '{address}' was not found in region '{region}'."
        raise invalid_value(where, wanted, why)
    user = instance_with_external(world, str(address))
    if user is not None or address in taken.external or router_with_address(world, reserved.name):
        message = f"External IP address: {address} is already in-use."
        raise OperationFailed(OperationError(400, "EXTERNAL_IP_ADDRESS_IN_USE", message))
    return address


def released(world: World, interfaces: Iterable[Json]) -> list[Json]:
    """Return interfaces as those of a stopped instance: external addresses that nobody reserved are gone.

    See behaviour/compute-instances.md#external-addresses.
    """
    return [fingerprinted(_released(world, each)) for each in interfaces]


def _released(world: World, interface: Json) -> Json:
    configs = interface.get("accessConfigs")
    if not configs:
        return interface
    kept = [
        each if external_address(world, each.get("natIP", "")) else _without_address(each) for each in configs
    ]
    return interface | {"accessConfigs": kept}


def _without_address(config: Json) -> Json:
    return {key: value for key, value in config.items() if key != "natIP"}


def regained(world: World, interfaces: Iterable[Json]) -> list[Json]:
    """Return interfaces as those of an instance that starts: each access config has an address again."""
    taken: set[IPv4Address] = set()
    found: list[Json] = []
    for interface in interfaces:
        configs: list[Json] = []
        for config in interface.get("accessConfigs", ()):
            if "natIP" in config:
                configs.append(config)
                continue
            address = address_choice.external(world, also_taken=taken)
            taken.add(address)
            configs.append(config | {"natIP": str(address)})
        found.append(fingerprinted(interface | ({"accessConfigs": configs} if configs else {})))
    return found


def gateways(world: World, interfaces: Iterable[Json]) -> Json:
    """Return the gateways of interfaces, by the interfaces' names."""
    return {each["name"]: subnetwork_of(world, each).body["gatewayAddress"] for each in interfaces}


def subnetwork_of(world: World, interface: Json) -> Resource:
    """Return the subnetwork of a stored interface."""
    return world.get(refer(interface["subnetwork"], "subnetworks", "regions"))
