"""Endpoints: from what a test names to where its packet starts and which address it goes to."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from fogbank.control.controller import TraceSource
from fogbank.lowering.netns_names import INTERNET, site_netns, vpc_netns
from fogbank.network.filtering import ICMP, TCP, UDP
from fogbank.network.topology import Link, NetnsName, Port, PortSecurity, Topology
from fogbank.paths.trace import Flow
from fogbank.resources.names import ResourceName
from fogbank.resources.sites import sites
from fogbank.resources.world import Json, World

_PROTOCOLS = {"TCP": TCP, "UDP": UDP, "ICMP": ICMP}
_NETWORKS = "compute.networks"


class NotTraceableError(Exception):
    """A test cannot be analysed; ``cause`` is in Google's words (AbortInfo.cause)."""

    def __init__(self, cause: str, text: str, resource: str = "") -> None:
        super().__init__(text)
        self.cause, self.resource = cause, resource


@dataclass(frozen=True, slots=True)
class Ends:
    """The flow of a test; ``source`` is what would send it, if that runs here."""

    flow: Flow
    source: TraceSource | None


def find_ends(test: Json, world: World, observed: Topology, sources: Iterable[TraceSource]) -> Ends:
    """Find both ends of a test; NotTraceableError when one is not there."""
    known = list(sources)
    start, source, address = _start(test["source"], world, observed, known)
    to, port = _destination(test["destination"], world)
    flow = Flow(start, to, port, _PROTOCOLS[test["protocol"]], address)
    return Ends(flow, source)


def _start(
    end: Json, world: World, observed: Topology, sources: Iterable[TraceSource]
) -> tuple[NetnsName, TraceSource | None, IPv4Address | None]:
    if revision := end.get("cloudRunRevision", {}).get("uri"):
        found = _revision(relative(revision), sources)
    elif instance := end.get("instance"):
        found = next((each for each in sources if each.resource.path == relative(instance)), None)
    else:
        return (*_at_address(end, world, observed), _address(end["ipAddress"]))
    if found is None:
        named = relative(revision or end["instance"])
        raise NotTraceableError("SOURCE_ENDPOINT_NOT_FOUND", f"{named} does not run.", named)
    return found.netns, found, None


def _revision(path: str, sources: Iterable[TraceSource]) -> TraceSource | None:
    """Find a running instance of ``projects/P/locations/L/revisions/R``."""
    parent, _, identifier = path.partition("/revisions/")
    return next(
        (
            each
            for each in sources
            if each.resource.path.startswith(f"{parent}/") and identifier in each.parts
        ),
        None,
    )


def _at_address(end: Json, world: World, observed: Topology) -> tuple[NetnsName, None]:
    address = _address(end["ipAddress"])
    for network in _networks(end, world):
        if (netns := _holder(observed, vpc_netns(network), address)) is not None:
            return netns, None
    for site in sites(world):
        if site.address == address:
            return site_netns(site.host), None
    if end.get("networkType") == "INTERNET":
        return INTERNET, None
    raise NotTraceableError(
        "SOURCE_IP_ADDRESS_NOT_IN_SOURCE_NETWORK" if end.get("network") else "UNKNOWN_IP",
        f"Nothing has the address {address}.",
        end.get("network", ""),
    )


def _networks(end: Json, world: World) -> Iterable[ResourceName]:
    """List the networks that an address may be of: the one that is named, else those of the project."""
    if network := end.get("network"):
        return [ResourceName(_NETWORKS, relative(network))]
    project = end.get("projectId")
    return [each.name for each in world.all(_NETWORKS) if project in {None, each.name.project}]


def _holder(observed: Topology, router: NetnsName, address: IPv4Address) -> NetnsName | None:
    """Return the namespace that has ``address`` behind a network's router."""
    secured = (each for each in observed.of_kind(PortSecurity) if each.netns == router)
    device = next((each.device for each in secured if each.address == address), None)
    near = Port(router, device) if device else None
    for link in observed.of_kind(Link) if near else ():
        if near in (link.left, link.right):
            return link.right.netns if link.left == near else link.left.netns
    return None


def _destination(end: Json, world: World) -> tuple[IPv4Address, int]:
    port = int(end.get("port") or 0)
    if instance := end.get("instance"):
        found = world.find(ResourceName("compute.instances", relative(instance)))
        if found is None:
            raise _no_destination(instance)
        return IPv4Address(found.body["networkInterfaces"][0]["networkIP"]), port
    if redis := end.get("redisInstance"):
        found = world.find(ResourceName("redis.instances", relative(redis)))
        if found is None or not found.body.get("host"):
            raise _no_destination(redis)
        return IPv4Address(found.body["host"]), port or found.body["port"]
    if "ipAddress" not in end:
        text = "A Cloud Run revision is reached by its URL."
        raise NotTraceableError("DESTINATION_CLOUD_RUN_SERVICE_REVISION_UNSUPPORTED", text)
    return _address(end["ipAddress"]), port


def _no_destination(uri: str) -> NotTraceableError:
    named = relative(uri)
    return NotTraceableError("DESTINATION_ENDPOINT_NOT_FOUND", f"{named} does not exist.", named)


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError as error:
        raise NotTraceableError("UNKNOWN_IP", f"{text!r} is no IPv4 address.") from error


def relative(uri: str) -> str:
    """Give the path of a URI: ``projects/…``."""
    return uri[uri.index("projects/") :] if "projects/" in uri else uri
