"""Cloud DNS as the World has it: managed zones, their record sets, and what a name resolves to.

A private zone that a VPC network sees answers for its whole suffix: what it does not have does not exist,
whatever the internet says (https://cloud.google.com/dns/docs/vpc-name-res-order). Names are in lower case
and end with a dot.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv4Address

from fogbank.network.addressing import FRONT_END, PRIVATE_GOOGLE, RESTRICTED_GOOGLE
from fogbank.resources.dns_policies import (
    ForwardingTarget,
    alternative_servers,
    forwarding_targets,
    response_rule,
)
from fogbank.resources.indexes import Index
from fogbank.resources.instances import instance_at, instance_named, interfaces_of, internal_name
from fogbank.resources.names import ResourceName
from fogbank.resources.sites import find_site
from fogbank.resources.world import Json, Resource, World

ZONES = "dns.managedZones"
RECORD_SETS = "dns.resourceRecordSets"

_MOST_ALIASES = 16
"""CNAMEs that one answer follows."""

_INTERNET = ""

_TTL_SECONDS = 5
"""Of the region's own names: short, so that a third party that was removed is soon gone everywhere."""

_GOOGLES = (".run.app.", ".googleapis.com.")
_ACCOUNTS = "accounts.google.com."
_VIRTUAL = {
    "private.googleapis.com.": PRIVATE_GOOGLE,
    "restricted.googleapis.com.": RESTRICTED_GOOGLE,
}
"""Public names whose addresses only networks with Private Google Access reach."""
_INTERNAL = ".internal."
_REVERSE = ".in-addr.arpa."
_INTERNAL_TTL_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class RecordSet:
    """The records of one ``type`` at ``name``: their texts as in a zone file, and for how many seconds."""

    name: str
    type: str
    ttl: int
    texts: tuple[str, ...]


def address_record(name: str, addresses: Iterable[IPv4Address], kind: str) -> tuple[RecordSet, ...]:
    """Make the answer about a ``name`` that has addresses and nothing else."""
    return (RecordSet(name, "A", _TTL_SECONDS, tuple(map(str, addresses))),) if kind == "A" else ()


@dataclass(frozen=True, slots=True)
class Forward:
    """What another name server knows: ``network`` asks the ``targets`` in order about ``name`` and ``kind``.

    ``before`` are the aliases that led there. ``note`` is told the records that came, None for no such name.
    """

    network: ResourceName
    name: str
    kind: str
    targets: tuple[ForwardingTarget, ...]
    before: tuple[RecordSet, ...] = ()
    note: Callable[[tuple[RecordSet, ...] | None], None] | None = field(default=None, compare=False)


Resolution = tuple[RecordSet, ...] | None | Forward
"""Records, nothing of the type (empty), no such name (None), or who must be asked."""

Answers = Callable[[IPv4Address, str, str], Resolution]
"""What ``(client, name, type)`` resolves to.

Names come in lower case with the last dot; types as text, ``A``.
"""


def zone_name(project: str, zone: str) -> ResourceName:
    """Name a managed zone."""
    return ResourceName(ZONES, f"projects/{project}/managedZones/{zone}")


def record_set_name(zone: ResourceName, name: str, kind: str) -> ResourceName:
    """Name a record set of ``zone``."""
    return ResourceName(RECORD_SETS, f"{zone.path}/rrsets/{name}/{kind}")


def records_of(world: World, zone: ResourceName) -> Iterator[Resource]:
    """List the record sets of ``zone`` by name."""
    return world.all(RECORD_SETS, f"{zone.path}/rrsets/")


def known(resolution: Resolution) -> tuple[RecordSet, ...]:
    """List the records that the region itself knows: what is forwarded, only the kernel can tell."""
    return () if resolution is None or isinstance(resolution, Forward) else resolution


def resolve(world: World, network: ResourceName | None, name: str, kind: str = "A") -> Resolution:
    """Resolve ``name`` as somebody in ``network`` sees it, or on the internet when that is None.

    CNAMEs are followed, each in the same order of zones. The answer is empty when the name has nothing of
    this ``kind``, and None when there is no such name.
    """
    found: list[RecordSet] = []
    for _ in range(_MOST_ALIASES):
        answer = _resolve_once(world, network, name, kind)
        if answer is None:
            return tuple(found) or None
        if isinstance(answer, Forward):
            return replace(answer, before=tuple(found))
        found += answer
        if not answer or kind == "CNAME" or answer[-1].type != "CNAME":
            break
        name = answer[-1].texts[0].lower()
    return tuple(found)


def _resolve_once(world: World, network: ResourceName | None, name: str, kind: str) -> Resolution:
    if network is not None:
        rule = response_rule(world, network, name)
        if rule is not None and (data := rule.body.get("localData")):
            return _local(data, name, kind)
        if targets := alternative_servers(world, network):
            return Forward(network, name, kind, targets)
        private = _closest_zone(world, network.path, name)
        if private is not None:
            return _in_private(world, network, private, name, kind)
    if name in _VIRTUAL:
        return address_record(name, _VIRTUAL[name], kind)
    if network and (internal := _internal(world, network, name, kind)) is not None:
        return internal
    if (known := _own_address(world, name)) is not None:
        return address_record(name, (known,), kind)
    public = _closest_zone(world, _INTERNET, name)
    return _in_zone(world, public, name, kind) if public else None


def _local(data: Json, name: str, kind: str) -> tuple[RecordSet, ...]:
    """Read a response policy's own records: of the type, else its alias."""
    sets = {each["type"]: each for each in data["localDatas"]}
    found = sets.get(kind) or sets.get("CNAME")
    if found is None:
        return ()
    return (RecordSet(name, found["type"], int(found.get("ttl", 0)), tuple(found["rrdatas"])),)


def _in_private(
    world: World, network: ResourceName, zone: Resource, name: str, kind: str, *, peered: bool = False
) -> Resolution:
    """Ask a private zone: its records, its targets, or the network whose view it shows.

    That network's view is without the zones that it is itself shown by peering.
    """
    if peer := zone.private.get("peer"):
        other = ResourceName("compute.networks", peer)
        found = None if peered else _closest_zone(world, peer, name)
        return _in_private(world, other, found, name, kind, peered=True) if found else None
    if targets := forwarding_targets(zone.body.get("forwardingConfig")):
        return Forward(network, name, kind, targets)
    return _in_zone(world, zone, name, kind)


def _internal(world: World, network: ResourceName, name: str, kind: str) -> tuple[RecordSet, ...] | None:
    """Resolve the internal name of an instance, or the name of an internal address; None for other names.

    Both mean something in the network of the instance's first interface only
    (behaviour/compute-instances.md#internal-names).
    """
    if name.endswith(_REVERSE):
        found = instance_at(world, network, address) if (address := _reversed(name)) else None
        if found is None or kind != "PTR":
            return None if found is None else ()
        return (RecordSet(name, "PTR", _INTERNAL_TTL_SECONDS, (f"{internal_name(found.name)}.",)),)
    if not name.endswith(_INTERNAL):
        return None
    found = instance_named(world, name.rstrip("."))
    first = next(iter(interfaces_of(found)), None) if found else None
    if first is None or first.network != network:
        return None
    return address_record(name, (first.address,), kind)


def _reversed(name: str) -> IPv4Address | None:
    """Read the address that a name of ``in-addr.arpa`` is about; None when it is none."""
    try:
        return IPv4Address(".".join(reversed(name.removesuffix(_REVERSE).split("."))))
    except AddressValueError:
        return None


def _own_address(world: World, name: str) -> IPv4Address | None:
    """Find a name that is in nobody's zone: one of Google's, or a third party's."""
    if name.endswith(_GOOGLES) or name == _ACCOUNTS:
        return FRONT_END  # a wildcard, as Google's: whether the service exists, HTTP tells
    site = find_site(world, name.rstrip("."))
    return site.address if site else None


def answering_zone(world: World, network: ResourceName | None, name: str) -> Resource | None:
    """Find the zone that answers about ``name`` in ``network`` (None: on the internet), if there is one."""
    private = _closest_zone(world, network.path, name) if network else None
    return private or _closest_zone(world, _INTERNET, name)


def _closest_zone(world: World, where: str, name: str) -> Resource | None:
    """Find the zone with the longest suffix of ``name``; of several the oldest: it registered first."""
    labels = name.split(".")
    for start in range(len(labels) - 1):
        suffix = ".".join(labels[start:])
        zones = list(world.by(_BY_VIEW, (where, suffix)))
        if zones:
            return min(zones, key=lambda zone: (zone.created, zone.id))
    return None


def _in_zone(world: World, zone: Resource, name: str, kind: str) -> tuple[RecordSet, ...] | None:
    """Look ``name`` up in one zone, by the wildcard above it when it is not there (RFC 4592)."""
    origin = zone.body["dnsName"]
    if _has_name(world, zone, name):
        return _at(world, zone, name, name, kind)
    above = name
    while above != origin:
        above = above.partition(".")[2]
        wildcard = f"*.{above}"
        if _has_name(world, zone, wildcard):
            return _at(world, zone, wildcard, name, kind)
        if _has_name(world, zone, above):  # the closest name that exists has no wildcard
            return None
    return None


def _has_name(world: World, zone: Resource, name: str) -> bool:
    return next(iter(world.by(_BY_ANCESTOR, (zone.name.path, name))), None) is not None


def _at(world: World, zone: Resource, owner: str, name: str, kind: str) -> tuple[RecordSet, ...]:
    for each in (kind, "CNAME"):
        found = world.find(record_set_name(zone.name, owner, each))
        if found is not None:
            body = found.body
            return (RecordSet(name, each, int(body.get("ttl", 0)), tuple(body["rrdatas"])),)
    return ()


def _views(zone: Resource) -> Iterator[tuple[str, str]]:
    """Tell from where a zone is seen: the internet, or each of its networks."""
    origin = zone.body["dnsName"]
    if zone.body["visibility"] == "public":
        yield (_INTERNET, origin)
    for network in zone.private.get("networks", ()):
        yield (network, origin)


def _ancestors(records: Resource) -> Iterator[tuple[str, str]]:
    """List the names that exist because of a record set: its own and those between it and its zone."""
    zone, _, rest = records.name.path.partition("/rrsets/")
    labels = rest.rpartition("/")[0].split(".")
    for start in range(len(labels) - 1):
        yield (zone, ".".join(labels[start:]))


_BY_VIEW: Index[Resource] = Index(ZONES, _views)
_BY_ANCESTOR: Index[Resource] = Index(RECORD_SETS, _ancestors)
