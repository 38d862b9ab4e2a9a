"""On-premises networks: what an operator has outside Google, behind a VPN device with a public address.

Each is a resource (``onprem.networks``, path ``onprem/NAME``) with one host, a web server that keeps a record
of whom it saw, like a third party. `lowering` gives it namespaces; the device is the same program as Google's
gateways.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network

from fogbank.errors import OperatorError
from fogbank.resources.compute import read_address, read_range
from fogbank.resources.names import ResourceName
from fogbank.resources.sites import NETWORK, Site, find_site, free_address, parse_network, sites
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World

ONPREM = "onprem.networks"

HOST_NUMBER, DEVICE_NUMBER = 10, 1
"""Of a network's first range, the numbers of its host and of the device's side toward it."""
_SMALLEST = 28
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class BgpSession:
    """What a device is to say by BGP, and to whom: its own ``address`` in the tunnel, and its peer's."""

    address: IPv4Interface
    peer: IPv4Address
    peer_asn: int


@dataclass(frozen=True, slots=True)
class OnpremTunnel:
    """A device's tunnel to the gateway at ``peer``.

    ``remote`` is what lies behind it: as configured, or with a ``session`` what BGP has told. ``key`` is the
    session's.
    """

    peer: IPv4Address
    remote: tuple[IPv4Network, ...]
    established: bool
    session: BgpSession | None = None
    secret: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class OnpremNetwork:
    """A network outside Google: its ``ranges``, and the public ``address`` of its VPN device."""

    name: ResourceName
    server: str
    address: IPv4Address
    ranges: tuple[IPv4Network, ...]
    asn: int
    tunnels: tuple[OnpremTunnel, ...]

    @classmethod
    def of(cls, resource: Resource) -> "OnpremNetwork":
        """Read an ``onprem.networks`` resource."""
        body, secrets = resource.body, resource.private["secrets"]
        return cls(
            resource.name,
            f"onprem-{resource.id:x}",
            read_address(body["address"]),
            tuple(map(read_range, body["ranges"])),
            body["asn"],
            tuple(_tunnel(each, *secrets[each["peer"]]) for each in body["tunnels"]),
        )

    @property
    def host_name(self) -> str:
        """The name of its web server, under which its log is kept."""
        return f"web.{self.name.id}.onprem"

    @property
    def host_address(self) -> IPv4Address:
        """The address of its web server."""
        return self.ranges[0][HOST_NUMBER]

    @property
    def device_address(self) -> IPv4Address:
        """The address of its VPN device toward its own hosts."""
        return self.ranges[0][DEVICE_NUMBER]


def _tunnel(body: Json, secret: str, key: str) -> OnpremTunnel:
    bgp = body.get("bgp")
    session = (
        BgpSession(IPv4Interface(bgp["address"]), read_address(bgp["peerAddress"]), bgp["peerAsn"])
        if bgp
        else None
    )
    remote = tuple(map(read_range, body.get("learned" if bgp else "remoteRanges", ())))
    return OnpremTunnel(read_address(body["peer"]), remote, body["established"], session, secret, key)


def onprem_name(name: str) -> ResourceName:
    """Name the resource of an on-premises network."""
    return ResourceName(ONPREM, f"onprem/{name}")


def onprem_networks(world: World) -> tuple[OnpremNetwork, ...]:
    """List all on-premises networks, by name."""
    return tuple(map(OnpremNetwork.of, world.all(ONPREM)))


def find_onprem(world: World, name: str) -> OnpremNetwork:
    """Find an on-premises network; OperatorError when there is none of this name."""
    return OnpremNetwork.of(_get(world, name))


def _get(world: World, name: str) -> Resource:
    found = world.find(onprem_name(name))
    if found is None:
        raise OperatorError(f"There is no on-premises network {name}. See them all: fogbank onprem list")
    return found


def find_web_server(world: World, host: str) -> Site | None:
    """Find a third party, or the host of an on-premises network, by name."""
    host = host.lower().rstrip(".")
    for each in onprem_networks(world) if host.endswith(".onprem") else ():
        if each.host_name == host:
            return Site(host, each.host_address)
    return find_site(world, host)


def new_onprem(
    world: World,
    name: str,
    *,
    ranges: Iterable[str],
    address: str,
    asn: int,
    now: datetime,
    new_id: Callable[[], int],
) -> Put:
    """Decide how to add an on-premises network; OperatorError when something in it cannot be."""
    if not _NAME.fullmatch(name):
        raise OperatorError(f"{name!r} is not a name. Give lower-case letters, digits and hyphens: office")
    if world.find(onprem_name(name)):
        raise OperatorError(f"{name} already exists. Remove it first: fogbank onprem remove {name}")
    found = tuple(map(parse_network, ranges))
    if not found or found[0].prefixlen > _SMALLEST:
        raise OperatorError(f"Give at least one range, the first of them of at least a /{_SMALLEST}.")
    taken = {each.address for each in onprem_networks(world)}
    body = {
        "name": name,
        "address": str(_address(world, address, taken) if address else free_address(world, taken)),
        "ranges": [str(each) for each in found],
        "asn": asn,
        "tunnels": [],
    }
    return Put(Resource(onprem_name(name), new_id(), now, body, {"secrets": {}}))


def _address(world: World, text: str, taken: set[IPv4Address]) -> IPv4Address:
    try:
        address = IPv4Address(text)
    except AddressValueError as error:
        raise OperatorError(f"{text!r} is not an IPv4 address.") from error
    if address not in NETWORK or address in taken | {each.address for each in sites(world)}:
        raise OperatorError(f"{address} is not free: give an address of {NETWORK} that nobody has, or none.")
    return address


def remove_onprem(world: World, name: str) -> Delete:
    """Decide how to take an on-premises network away."""
    return Delete(_get(world, name).name)


def connected(
    world: World,
    name: str,
    peer: str,
    *,
    secret: str,
    remote: Iterable[str],
    bgp: Mapping[str, str] | None,
) -> Put:
    """Decide how to give a device a tunnel to the gateway at ``peer``, or another one than it has.

    ``bgp`` has ``address`` (with prefix length), ``peerAddress``, ``peerAsn`` and perhaps ``key``; else
    ``remote`` ranges are sent into the tunnel.
    """
    resource = _get(world, name)
    try:
        gateway = IPv4Address(peer)
    except AddressValueError as error:
        raise OperatorError(f"{peer!r} is not an IPv4 address.") from error
    if not secret:
        raise OperatorError("A tunnel needs the shared secret of its other end: --secret")
    entry: Json = {"peer": str(gateway), "established": False}
    if bgp:
        entry["bgp"] = _session(bgp)
    else:
        ranges = [str(parse_network(each)) for each in remote]
        if not ranges:
            raise OperatorError("Say what is behind the tunnel: --remote-range CIDR, or --bgp.")
        entry["remoteRanges"] = ranges
    others = [each for each in resource.body["tunnels"] if each["peer"] != entry["peer"]]
    keyed = [secret, bgp.get("key", "") if bgp else ""]
    secrets = resource.private["secrets"] | {entry["peer"]: keyed}
    return Put(replace(resource.with_body(tunnels=[*others, entry]), private={"secrets": secrets}))


def _session(bgp: Mapping[str, str]) -> Json:
    try:
        return {
            "address": str(IPv4Interface(bgp["address"])),
            "peerAddress": str(IPv4Address(bgp["peerAddress"])),
            "peerAsn": int(bgp["peerAsn"]),
        }
    except (KeyError, ValueError) as error:
        raise OperatorError(
            "--bgp wants its own address, its peer's and the peer's ASN: 169.254.0.2/30 169.254.0.1 64512"
        ) from error


def disconnected(world: World, name: str, peer: str) -> Put:
    """Decide how to take a device's tunnel to ``peer`` away."""
    resource = _get(world, name)
    others = [each for each in resource.body["tunnels"] if each["peer"] != peer]
    if len(others) == len(resource.body["tunnels"]):
        raise OperatorError(f"{name} has no tunnel to {peer}.")
    secrets = {each["peer"]: resource.private["secrets"][each["peer"]] for each in others}
    return Put(replace(resource.with_body(tunnels=others), private={"secrets": secrets}))


def onprem_seen(
    world: World,
    network: ResourceName,
    peer: IPv4Address,
    *,
    established: bool,
    learned: Iterable[IPv4Network],
) -> tuple[Change, ...]:
    """Write what a device's tunnel does; nothing when that is known, or the tunnel is gone."""
    resource = world.find(network)
    if resource is None:
        return ()
    tunnels = [dict(each) for each in resource.body["tunnels"]]
    for each in tunnels:
        if each["peer"] == str(peer):
            each["established"] = established
            if "bgp" in each:
                each["learned"] = sorted(map(str, learned))
    return (Put(resource.with_body(tunnels=tunnels)),) if tunnels != resource.body["tunnels"] else ()
