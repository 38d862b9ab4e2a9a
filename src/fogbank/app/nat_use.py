"""Port use: what each client of Cloud NAT has, uses and asks for, from the flows that the kernel tracks.

Google counts the ports that a client uses by its busiest endpoint, because one port serves many endpoints
(behaviour/cloud-nat.md#ports): that count meets the limit, and not the number of flows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nlargest
from ipaddress import IPv4Address, IPv4Network

from fogbank.dataplane.driver import TrackedFlow
from fogbank.network.topology import Key, NetnsName, SourceNat, Topology
from fogbank.resources.names import ResourceName

Owners = Mapping[Key, frozenset[ResourceName]]
Endpoint = tuple[IPv4Address, int, int]
"""Address, port and protocol of a destination."""

_GATEWAYS = frozenset({"compute.routers", "compute.addresses", "compute.subnetworks"})


@dataclass(frozen=True, slots=True)
class NatUse:
    """A client behind Cloud NAT: ``used`` is the number of flows to ``busiest``, of ``ports`` at most.

    ``ports`` is None where the client shares all ports of its address.
    """

    netns: NetnsName
    client: IPv4Network
    names: tuple[str, ...]
    outside: tuple[IPv4Address, ...]
    ports: int | None
    flows: int
    used: int
    busiest: Endpoint | None


def nat_use(topology: Topology, owners: Owners, flows: Iterable[TrackedFlow]) -> list[NatUse]:
    """List every client, those that are closest to their limit first."""
    clients: dict[tuple[NetnsName, IPv4Network], list[SourceNat]] = {}
    for each in topology.of_kind(SourceNat):
        if _is_cloud_nat(each):
            clients.setdefault((each.netns, each.inside), []).append(each)
    endpoints: dict[tuple[NetnsName, IPv4Address], Counter[Endpoint]] = {}
    for flow in flows:
        if flow.translated_source != flow.source:
            counted = endpoints.setdefault((flow.netns, flow.source), Counter())
            counted[flow.destination, flow.destination_port, flow.protocol] += 1
    found = [_use(key, nats, owners, endpoints) for key, nats in clients.items()]
    return sorted(found, key=lambda each: (-_share(each), each.netns, each.client))


def busiest_flows(flows: Iterable[TrackedFlow], most: int) -> list[TrackedFlow]:
    """List the flows that carried most bytes, at most so many."""
    return nlargest(most, flows, key=lambda flow: flow.sent + flow.received)


def _is_cloud_nat(nat: SourceNat) -> bool:
    return nat.netns.startswith("vpc/")


def _use(
    key: tuple[NetnsName, IPv4Network],
    nats: list[SourceNat],
    owners: Owners,
    endpoints: Mapping[tuple[NetnsName, IPv4Address], Counter[Endpoint]],
) -> NatUse:
    netns, client = key
    counted: Counter[Endpoint] = Counter()
    for (where, source), each in endpoints.items():
        if where == netns and source in client:
            counted += each
    busiest, used = next(iter(counted.most_common(1)), (None, 0))
    blocks = [each.ports for each in nats]
    ports = sum(block.last - block.first + 1 for block in blocks if block)
    return NatUse(
        netns,
        client,
        tuple(sorted(set(_names(nats, owners)))),
        tuple(sorted({each.outside for each in nats})),
        None if None in blocks else ports,
        counted.total(),
        used,
        busiest,
    )


def _names(nats: Iterable[SourceNat], owners: Owners) -> Iterator[str]:
    for nat in nats:
        yield from (name.path for name in owners.get(nat.key, ()) if name.collection not in _GATEWAYS)


def _share(use: NatUse) -> float:
    return use.used / use.ports if use.ports else 0.0
