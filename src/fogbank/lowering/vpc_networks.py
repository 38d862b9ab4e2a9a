"""One VPC network as a whole: everything that its members and the endpoints of all features make together.

Addresses are given first, then come routes, the interfaces themselves, firewall rules and Cloud NAT. What a
step depends on is compared with the last time by identity, so a step is only taken for what changed.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fogbank.lowering.cloud_nat import held_translations, nat_fragments
from fogbank.lowering.endpoints import Endpoint, region_mark
from fogbank.lowering.feature import NetworkContext
from fogbank.lowering.firewall import (
    DIRECTIONS,
    Direction,
    EffectiveRule,
    RuleSet,
    applies,
    policy_fragment,
    port_security_fragment,
)
from fogbank.lowering.fragments import Fragment, UnitKey
from fogbank.lowering.google_access import google_access_fragment
from fogbank.lowering.members import Members, SourceKey, added, values
from fogbank.lowering.netns_names import device_to, vpc_netns
from fogbank.lowering.peering import peering_fragment
from fogbank.lowering.routes import (
    StaticRoutes,
    Views,
    route_fragment,
    routes_of,
    views_fragment,
    views_of,
)
from fogbank.lowering.vpc import network_fragment
from fogbank.network.address_manager import AddressManager
from fogbank.network.addressing import usable
from fogbank.network.topology import Link, NetnsName, Port, Topology
from fogbank.resources.names import ResourceName

Changes = dict[UnitKey, Fragment | None]
Profile = frozenset[str]
Endpoints = Mapping[SourceKey, tuple[Endpoint, ...]]

Inside = Callable[[SourceKey, NetworkContext, tuple[Endpoint, ...]], Fragment | None]
"""Lowers what a source is inside a network."""

STAGE = 1
"""Networks come after what every region has, and before instances."""

(
    _NETWORK,
    _SUBNETWORKS,
    _ROUTES,
    _INTERFACES,
    _PORT_SECURITY,
    _POLICIES,
    _GATEWAYS,
    _GOOGLE,
    _PEERINGS,
    _VIEWS,
) = range(10)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a network is lowered in: ``inside`` asks the features, ``observed`` holds what to keep.

    ``reobserved`` says that addresses and port blocks may be held otherwise than they were last given.
    """

    inside: Inside
    observed: Topology
    reobserved: bool


@dataclass(frozen=True, slots=True)
class VpcNetwork:
    """A network as it was lowered last: its members and what was made of them."""

    members: Members
    context: NetworkContext
    endpoints: Endpoints
    rules: RuleSet
    profiles: frozenset[Profile]
    views: Views

    @property
    def keeps(self) -> bool:
        """Whether addresses or port blocks that exist are kept here."""
        return bool(self.members.gateways) or any(
            each.address is None for each in values(self.members.interfaces)
        )


def lower_network(
    name: ResourceName,
    members: Members,
    before: VpcNetwork | None,
    changed: AbstractSet[SourceKey],
    around: Surroundings,
) -> tuple[VpcNetwork | None, Changes]:
    """Lower a network whose ``changed`` sources are not as ``before``; None when it does not exist."""
    if not members.itself:
        return None, _removed(name, before)
    endpoints = _endpoints(name, members, before, around)
    rules = _rules(name, members, before, changed, endpoints)
    profiles = _profiles(rules, endpoints, before)
    context = _context(name, members, before, _forwarders(members, endpoints))
    views = _views(context, endpoints, before)
    made = VpcNetwork(members, context, endpoints, rules, profiles, views)
    changes: Changes = {}
    if before is None:
        changes[_unit(name, _NETWORK)] = network_fragment(name)
    if before is None or before.context.routes is not made.context.routes:
        changes[_unit(name, _ROUTES)] = route_fragment(made.context.routes)
    if before is None or before.context.routes is not context.routes or before.views != views:
        changes[_unit(name, _VIEWS)] = views_fragment(context.routes, views)
    moved = _moved(made, before)
    _attachments(made, before, changed | moved, around.inside, changes)
    _port_security(made, before, moved, changes)
    _policies(made, before, changed, changes)
    _gateways(made, before, around, changes)
    _google(made, before, changes)
    _peerings(made, before, changes)
    return made, changes


def _unit(network: ResourceName, step: int, source: str = "") -> UnitKey:
    return (STAGE, network.path, step, source)


def failed_network(name: ResourceName, before: VpcNetwork | None, failed: Fragment) -> Changes:
    """Take away the network as it was lowered last; ``failed`` stands for it."""
    return _removed(name, before) | {_unit(name, _NETWORK): failed}


def _removed(name: ResourceName, before: VpcNetwork | None) -> Changes:
    if before is None:
        return {_unit(name, _NETWORK): None}
    units = [_unit(name, _NETWORK), _unit(name, _ROUTES), _unit(name, _GOOGLE), _unit(name, _VIEWS)]
    units += [_attachment_unit(name, source) for source in before.members.attached]
    units += [_unit(name, _PORT_SECURITY, _text(source)) for source in before.endpoints]
    units += [_policy_unit(name, profile, each) for profile in before.profiles for each in DIRECTIONS]
    units += [_gateway_unit(name, each.router.name) for each in values(before.members.gateways)]
    units += [_unit(name, _PEERINGS, each.path) for each in values(before.members.peers)]
    return dict.fromkeys(units)


def _text(source: SourceKey) -> str:
    number, collection, path = source
    return f"{number:03} {collection} {path}"


def _context(
    name: ResourceName, members: Members, before: VpcNetwork | None, forwarders: frozenset[IPv4Address]
) -> NetworkContext:
    mtu, table = next(values(members.itself)).mtu, _table(name, members, before, forwarders)
    if before and before.context.mtu == mtu and before.context.routes is table:
        return before.context
    return NetworkContext(name, mtu, table)


def _forwarders(members: Members, endpoints: Endpoints) -> frozenset[IPv4Address]:
    """List the addresses of endpoints that forward, among those that routes lead to."""
    wanted = {each.via for each in values(members.routes) if each.via}
    if not wanted:
        return frozenset()
    return frozenset(
        each.address
        for found in endpoints.values()
        for each in found
        if each.forwards and each.address in wanted
    )


def _views(context: NetworkContext, endpoints: Endpoints, before: VpcNetwork | None) -> Views:
    if before and before.endpoints is endpoints and before.context.routes is context.routes:
        return before.views
    made = views_of(context.routes, (each for found in endpoints.values() for each in found))
    return before.views if before and before.views == made else made


def _table(
    name: ResourceName, members: Members, before: VpcNetwork | None, forwarders: frozenset[IPv4Address]
) -> StaticRoutes:
    same = before is not None and before.context.routes.forwarders == forwarders
    if before and same and _same_routes(members, before.members):
        return before.context.routes
    lanes = (values(members.routes), values(members.subnetworks), values(members.imported))
    read = routes_of(name, *lanes, forwarders)
    return before.context.routes if before and before.context.routes == read else read


def _same_routes(one: Members, other: Members) -> bool:
    return (
        one.routes is other.routes and one.subnetworks is other.subnetworks and one.imported is other.imported
    )


def _endpoints(
    name: ResourceName, members: Members, before: VpcNetwork | None, around: Surroundings
) -> Endpoints:
    if before and not around.reobserved and _same_places(members, before.members):
        return before.endpoints
    asking = any(each.address is None for each in values(members.interfaces))
    addresses = _addresses(name, members, around.observed) if asking else {}
    previous = dict(before.members.interfaces) if before else {}
    found: dict[SourceKey, tuple[Endpoint, ...]] = {}
    for source, interfaces in members.interfaces:
        fixed = all(each.address is not None for each in interfaces)
        if before and fixed and previous.get(source) is interfaces:
            found[source] = before.endpoints[source]
            continue
        made = tuple(
            Endpoint(
                each.netns,
                name,
                each.region,
                address,
                each.marks | {region_mark(each.region)},
                each.owner,
                each.closed,
                each.nat,
                each.aliases,
                each.forwards,
                each.shared,
            )
            for each in interfaces
            if (address := each.address or addresses.get(each.netns))
        )
        known = before.endpoints.get(source) if before else None
        found[source] = known if known is not None and known == made else made
    return found


def _same_places(one: Members, other: Members) -> bool:
    return (
        one.interfaces is other.interfaces
        and one.subnetworks is other.subnetworks
        and one.reserved is other.reserved
    )


def _addresses(name: ResourceName, members: Members, observed: Topology) -> Mapping[NetnsName, IPv4Address]:
    """Say which address every interface has, by its machine."""
    found = {each.netns: each.address for each in values(members.interfaces) if each.address}
    manager = AddressManager()
    manager.take(each.gateway for each in values(members.subnetworks))
    manager.take(values(members.reserved))
    manager.take(found.values())
    asking: dict[IPv4Network, list[NetnsName]] = {}
    for each in values(members.interfaces):
        if each.address is None and each.within is not None:
            asking.setdefault(each.within, []).append(each.netns)
    for within, holders in asking.items():
        given = manager.assign(within, holders, _held_addresses(name, within, observed))
        found |= {holder: address for holder, address in zip(holders, given, strict=True) if address}
    return found


def _held_addresses(
    name: ResourceName, within: IPv4Network, observed: Topology
) -> Mapping[NetnsName, IPv4Address]:
    """Find which machines have addresses of a range now."""
    found: dict[NetnsName, IPv4Address] = {}
    for address in map(IPv4Address, usable(within) if observed.elements else ()):
        left = Port(vpc_netns(name), device_to(address))
        link = observed.elements.get(Link(left, left).key)
        if isinstance(link, Link):
            found[link.right.netns] = address
    return found


def _rules(
    name: ResourceName,
    members: Members,
    before: VpcNetwork | None,
    changed: AbstractSet[SourceKey],
    endpoints: Endpoints,
) -> RuleSet:
    """Put the rules in order; nobody asks for them where there is no endpoint."""
    if not endpoints:
        return RuleSet(name)
    if not before or not before.endpoints:
        return RuleSet(name).changed((), values(members.rules))
    gone, come = _changed_rules(members, before, changed)
    return before.rules.changed(gone, come) if gone or come else before.rules


def _changed_rules(
    members: Members, before: VpcNetwork, changed: AbstractSet[SourceKey]
) -> tuple[list[EffectiveRule], list[EffectiveRule]]:
    """List the rules that are gone, and those that came."""
    if members.rules is before.members.rules:
        return [], []
    gone = [rule for source in changed for rule in added(before.members.rules, source)]
    come = [rule for source in changed for rule in added(members.rules, source)]
    return gone, come


def _profiles(rules: RuleSet, endpoints: Endpoints, before: VpcNetwork | None) -> frozenset[Profile]:
    if before and endpoints is before.endpoints and rules.targets is before.rules.targets:
        return before.profiles
    return frozenset(rules.profile(each) for found in endpoints.values() for each in found)


def _moved(made: VpcNetwork, before: VpcNetwork | None) -> set[SourceKey]:
    """Name the sources whose endpoints are other ones than before."""
    if before and made.endpoints is before.endpoints:
        return set()
    known: Endpoints = before.endpoints if before else {}
    return {
        key for key in made.endpoints.keys() | known.keys() if made.endpoints.get(key) is not known.get(key)
    }


def _attachments(
    made: VpcNetwork,
    before: VpcNetwork | None,
    changed: AbstractSet[SourceKey],
    inside: Inside,
    changes: Changes,
) -> None:
    """Lower what sources are inside the network: those that changed, and when its context did those with
    interfaces.
    """
    members, context = made.members, made.context
    if before is None:
        changed = changed | set(members.attached)
    elif before.context is not context:
        changed = changed | made.endpoints.keys()
    for source in changed:
        fragment = None
        if members.attaches(source):
            fragment = inside(source, context, made.endpoints.get(source, ()))
        changes[_attachment_unit(context.name, source)] = fragment


def _attachment_unit(network: ResourceName, source: SourceKey) -> UnitKey:
    return _unit(network, _SUBNETWORKS if source[1] == "compute.subnetworks" else _INTERFACES, _text(source))


def _port_security(
    made: VpcNetwork, before: VpcNetwork | None, moved: AbstractSet[SourceKey], changes: Changes
) -> None:
    name, rules = made.context.name, made.rules
    same = before is not None and before.rules.marks == rules.marks and before.views is made.views
    for source in moved if same else moved | made.endpoints.keys():
        endpoints = made.endpoints.get(source)
        unit = _unit(name, _PORT_SECURITY, _text(source))
        changes[unit] = port_security_fragment(rules, endpoints, made.views) if endpoints else None


def _policies(
    made: VpcNetwork, before: VpcNetwork | None, changed: AbstractSet[SourceKey], changes: Changes
) -> None:
    """Lower the policies whose rules changed, or that are new."""
    name, rules = made.context.name, made.rules
    known: frozenset[Profile] = before.profiles if before else frozenset()
    gone, come = _changed_rules(made.members, before, changed) if before else ([], [])
    for profile in made.profiles:
        for direction in DIRECTIONS:
            if profile not in known or any(
                rule.direction == direction and applies(rule, profile) for rule in (*gone, *come)
            ):
                changes[_policy_unit(name, profile, direction)] = policy_fragment(rules, direction, profile)
    for profile in known - made.profiles:
        changes |= {_policy_unit(name, profile, direction): None for direction in DIRECTIONS}


def _policy_unit(network: ResourceName, profile: Profile, direction: Direction) -> UnitKey:
    return _unit(network, _POLICIES, f"{' '.join(sorted(profile))} {DIRECTIONS.index(direction)}")


def _gateways(made: VpcNetwork, before: VpcNetwork | None, around: Surroundings, changes: Changes) -> None:
    """Lower the Cloud NAT gateways; those of no other network reach its endpoints."""
    name, members = made.context.name, made.members
    if before and not around.reobserved and _same_clients(made, before):
        return
    if before:
        for gateways in values(before.members.gateways):
            changes[_gateway_unit(name, gateways.router.name)] = None
    if not members.gateways:
        return
    endpoints = [each for found in made.endpoints.values() for each in found]
    held = held_translations(name, endpoints, around.observed)
    covered = tuple(values(members.subnetworks))
    for router, fragment in nat_fragments(values(members.gateways), endpoints, covered, held):
        changes[_gateway_unit(name, router)] = fragment


def _google(made: VpcNetwork, before: VpcNetwork | None, changes: Changes) -> None:
    """Lower Private Google Access, which depends on no endpoint."""
    members, context = made.members, made.context
    if (
        before
        and before.members.subnetworks is members.subnetworks
        and before.members.gateways is members.gateways
        and before.context.routes is context.routes
    ):
        return
    subnetworks = tuple(values(members.subnetworks))
    changes[_unit(context.name, _GOOGLE)] = google_access_fragment(
        context.name, context.routes, subnetworks, values(members.gateways)
    )


def _peerings(made: VpcNetwork, before: VpcNetwork | None, changes: Changes) -> None:
    """Lower this side of every peering, when peers or what they offer changed."""
    members, context = made.members, made.context
    if before and before.members.peers is members.peers and before.context is context:
        return
    for peer in values(before.members.peers) if before else ():
        changes[_unit(context.name, _PEERINGS, peer.path)] = None
    for peer in values(members.peers):
        imported = context.routes.imported
        fragment = peering_fragment(context.name, peer, context.mtu, imported)
        changes[_unit(context.name, _PEERINGS, peer.path)] = fragment


def _same_clients(one: VpcNetwork, other: VpcNetwork) -> bool:
    return (
        one.endpoints is other.endpoints
        and one.members.gateways is other.members.gateways
        and one.members.subnetworks is other.members.subnetworks
    )


def _gateway_unit(network: ResourceName, router: ResourceName) -> UnitKey:
    return _unit(network, _GATEWAYS, router.path)
