"""The VPC networks that zones and policies are bound to, and the name servers that they forward to."""

from collections.abc import Iterable, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from fogbank.errors import not_built
from fogbank.resources.authorization import denied
from fogbank.resources.names import ResourceName, parse_compute_reference
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.dns.refusals import bad, invalid

_LINK_LOCAL = IPv4Network("169.254.0.0/16")


def read_network(world: World, call: Call, url: object, field: str, permission: str) -> ResourceName:
    """Read the network that ``url`` names; the caller needs a ``permission`` on it."""
    try:
        network = parse_compute_reference(str(url or ""), "networks", call["project"], "global")
    except ValueError:
        raise invalid(field, url) from None
    beside = ResourceName("compute.policies", network.path)
    if not call.access.allows(world, call.principal, f"dns.networks.{permission}", network.project, beside):
        raise denied(f"dns.networks.{permission}", network.path, service="dns")
    if world.find(network) is None:
        raise invalid(field, url)
    return network


def read_networks(
    world: World, call: Call, given: Iterable[Json], field: str, permission: str
) -> list[ResourceName]:
    """Read all networks of ``field``, each once."""
    found = [
        read_network(world, call, each.get("networkUrl"), f"{field}[{place}].networkUrl", permission)
        for place, each in enumerate(given)
    ]
    return list(dict.fromkeys(found))


def read_targets(given: Json | None, field: str, kind: str) -> Json | None:
    """Read the name servers of a ``field`` of this ``kind``; None when it names none."""
    servers: Sequence[Json] = (given or {}).get("targetNameServers") or ()
    if (given or {}).get("outboundEndpoints"):
        raise not_built("dns outbound endpoints")
    targets = [
        _target(each, f"{field}.targetNameServers[{place}]", kind) for place, each in enumerate(servers)
    ]
    if len({each["ipv4Address"] for each in targets}) < len(targets):
        raise bad(f"Invalid value for '{field}.targetNameServers': an address is there twice.", "invalid")
    return {"kind": kind, "targetNameServers": targets} if targets else None


def _target(given: Json, field: str, kind: str) -> Json:
    for other in ("ipv6Address", "domainName"):
        if given.get(other):
            raise not_built(f"dns name servers with {other}")
    try:
        address = IPv4Address(str(given.get("ipv4Address") or ""))
    except AddressValueError:
        raise invalid(f"{field}.ipv4Address", given.get("ipv4Address")) from None
    if address in _LINK_LOCAL or address.is_loopback or address.is_unspecified or address.is_multicast:
        raise invalid(f"{field}.ipv4Address", address)
    return {
        "kind": f"{kind}{'NameServerTarget' if 'Zone' in kind else 'TargetNameServer'}",
        "ipv4Address": str(address),
        "forwardingPath": given.get("forwardingPath") or "default",
    }
