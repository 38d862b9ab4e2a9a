"""NAT logs: what became of the first packets of connections, as entries of Cloud Logging.

See behaviour/cloud-nat.md#logs. Refusals are counted for Cloud Monitoring, whether they are logged or not.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.dataplane.driver import FirstPacket
from fogbank.lowering.netns_names import device_to, vpc_netns
from fogbank.network.topology import Key, Link, Port
from fogbank.resources.compute import NatGateway, Router, Subnetwork
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.log_entries import Entry, log_name, time_text
from fogbank.resources.names import ResourceName
from fogbank.resources.time_series import Key as SeriesKey
from fogbank.resources.time_series import Sample, labels
from fogbank.resources.world import Json, World
from fogbank.services.compute.nat_status import Working, instance_names

LOG = "compute.googleapis.com/nat_flows"
ENTRIES_PER_SECOND = 100
"""What one endpoint may log in a second of the region's time (behaviour/cloud-nat.md#logs)."""

_LOGGED_PROTOCOLS = {6, 17}
_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP"}
_SECOND = 1_000_000_000

Owners = Mapping[Key, frozenset[ResourceName]]


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """What a log calls a client."""

    instance: str
    zone: str
    subnetwork: str


class NatLog:
    """Writes entries by ``append`` (project, entry), and counts what was refused."""

    def __init__(self, append: Callable[[str, Entry], None]) -> None:
        self._append = append
        self._seconds: dict[IPv4Address, tuple[int, int]] = {}
        self._refused: Counter[SeriesKey] = Counter()
        self._numbered = 0

    def write(
        self, world: World, owners: Owners, work: Working, packets: Iterable[FirstPacket], moment: int
    ) -> None:
        """Note what became of ``packets`` of a gateway's clients; ``moment`` in nanoseconds since 1970."""
        router = world.find(work.gateway.router)
        if router is None:
            return
        gateway_labels = {
            "project_id": work.gateway.router.project,
            "region": work.gateway.region,
            "router_id": str(router.body["id"]),
            "gateway_name": work.gateway.name,
        }
        known: dict[IPv4Address, _Endpoint] = {}
        names = instance_names(world, Router.of(router))
        for packet in packets:
            if packet.refused:
                self._count(packet, gateway_labels)
            if packet.protocol not in _LOGGED_PROTOCOLS or not self._within_rate(packet.source, moment):
                continue
            if _wanted(work.gateway, packet):
                endpoint = known.get(packet.source)
                if endpoint is None:
                    endpoint = _endpoint(world, owners, work.gateway, packet.source, names)
                    known[packet.source] = endpoint
                self._numbered += 1
                entry = _entry(work.gateway, gateway_labels, packet, endpoint)
                times = {"timestamp": time_text(moment), "receiveTimestamp": time_text(moment)}
                self._append(
                    work.gateway.router.project,
                    {"insertId": f"nat{moment:x}{self._numbered:x}", **times, **entry},
                )

    def _within_rate(self, client: IPv4Address, moment: int) -> bool:
        second, count = self._seconds.get(client, (0, 0))
        now = moment // _SECOND
        count = count + 1 if second == now else 1
        self._seconds[client] = now, count
        return count <= ENTRIES_PER_SECOND

    def _count(self, packet: FirstPacket, gateway_labels: Mapping[str, str]) -> None:
        kind = {"ip_protocol": _PROTOCOLS.get(packet.protocol, ""), "reason": str(packet.refused)}
        name = "router.googleapis.com/nat/dropped_sent_packets_count"
        place = labels(gateway_labels)
        self._refused[SeriesKey(gateway_labels["project_id"], name, labels(kind), "nat_gateway", place)] += 1

    def samples(self) -> Iterator[Sample]:
        """Measure what was refused since the last time."""
        for key, count in self._refused.items():
            yield Sample(key, "DELTA", count)
            self._refused[key] = 0


def _wanted(gateway: NatGateway, packet: FirstPacket) -> bool:
    if gateway.logs is None:
        return False
    return gateway.logs == "ALL" or (gateway.logs == "ERRORS_ONLY") == bool(packet.refused)


def _endpoint(
    world: World, owners: Owners, gateway: NatGateway, client: IPv4Address, names: Mapping[IPv4Address, str]
) -> _Endpoint:
    """Say whose address ``client`` is."""
    near = Port(vpc_netns(gateway.network), device_to(client))
    owner = min(owners.get(Link(near, near).key, ()), default=None)
    name = names.get(client) or (owner.id if owner else "")
    zone = owner.path.partition("/zones/")[2].partition("/")[0] if owner else ""
    found = map(Subnetwork.of, in_network(world, "subnetworks", gateway.network))
    inside = (each.name.id for each in found if any(client in part for part in each.ranges))
    return _Endpoint(name, zone or f"{gateway.region}-a", next(inside, ""))


def _entry(gateway: NatGateway, resource: Json, packet: FirstPacket, endpoint: _Endpoint) -> Json:
    connection: Json = {
        "src_ip": str(packet.source),
        "src_port": packet.source_port,
        "dest_ip": str(packet.destination),
        "dest_port": packet.destination_port,
        "protocol": packet.protocol,
    }
    extra: Json = {}
    if packet.outside:
        connection |= {"nat_ip": str(packet.outside[0]), "nat_port": packet.outside[1]}
        extra = {"labels": _labels(gateway, packet.outside[0], endpoint)}
    project = gateway.router.project
    return {
        "logName": log_name(project, LOG),
        "resource": {"type": "nat_gateway", "labels": resource},
        "severity": "DEFAULT",
        "jsonPayload": {
            "connection": connection,
            "allocation_status": "DROPPED" if packet.refused else "OK",
            "gateway_identifiers": {
                "gateway_name": gateway.name,
                "router_name": gateway.router.id,
                "region": gateway.region,
            },
            "endpoint": {
                "project_id": project,
                "vm_name": endpoint.instance,
                "region": gateway.region,
                "zone": endpoint.zone,
            },
            "vpc": {
                "project_id": gateway.network.project,
                "vpc_name": gateway.network.id,
                "subnetwork_name": endpoint.subnetwork,
            },
        },
        **extra,
    }


def _labels(gateway: NatGateway, outside: IPv4Address, endpoint: _Endpoint) -> Json:
    values = {
        "instance_name": endpoint.instance,
        "instance_zone": endpoint.zone,
        "nat_ip": str(outside),
        "network_name": gateway.network.id,
        "router_name": gateway.router.id,
        "subnetwork_name": endpoint.subnetwork,
    }
    return {f"nat.googleapis.com/{name}": value for name, value in values.items()}
