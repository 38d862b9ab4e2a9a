"""Virtual machines in VPC networks: a namespace for each, and an interface in every network of its own.

The network of a machine follows from its resource, from the moment it is to start until it has stopped; an
instance of the fleet only adds what runs in it. The surprising fact: a machine's own table is as plain as one
of Google's, a default route by the first interface; which route really takes a packet, its network decides.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fogbank.lowering.edge import edge, edge_address, way_into
from fogbank.lowering.endpoints import Endpoint, account_mark, tag_mark
from fogbank.lowering.feature import (
    NOTHING,
    Contribution,
    Feature,
    Find,
    Interface,
    Membership,
    NetworkContext,
    Source,
)
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.iap import tunnels_of_iap
from fogbank.lowering.netns_names import (
    INTERNET,
    LOOPBACK,
    UPLINK,
    device_to,
    instance_netns,
    internet_device,
    vpc_netns,
)
from fogbank.lowering.passthrough import membership, passthrough
from fogbank.lowering.serverless_fabric import METADATA_SERVICE, RESOLVER_SERVICE
from fogbank.lowering.workloads import containers
from fogbank.network.addressing import ANYWHERE, METADATA, VPC_ROUTER, host
from fogbank.network.topology import (
    Address,
    Element,
    Hop,
    Link,
    Listener,
    NetworkNamespace,
    Port,
    Route,
    SourceNat,
)
from fogbank.resources.fleet import Instance
from fogbank.resources.instances import INSTANCES, NetworkInterface, VirtualMachine
from fogbank.resources.load_balancing import (
    ENDPOINT_GROUPS,
    FORWARDING_RULES,
    FRONT_ENDS,
    group_network,
    leads_to_proxy,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.passthrough import (
    FORWARDED,
    PASSTHROUGH,
    Passthrough,
    forwarded_addresses,
    forwarded_name,
)
from fogbank.resources.world import Resource

METADATA_SERVERS = "compute.metadataServers"
"""What the machines of one network share; nothing of this collection is ever stored."""

FRONT_END_ADDRESSES = "compute.frontEndAddresses"
WAYS = "compute.waysOfFrontEnds"
"""What load balancers share, beside FRONT_ENDS; nothing of these collections is ever stored."""

_FRONT_END = ResourceName(FRONT_ENDS, "front-ends")


class Machines(Feature):
    """Instances of Compute Engine, and the metadata server of each network that has some."""

    resources = frozenset({INSTANCES, METADATA_SERVERS, FORWARDED})
    instances = frozenset({INSTANCES})

    def contribution(self, source: Source, find: Find) -> Contribution:
        """Give a machine that is on an interface in each of its networks."""
        if isinstance(source, Instance) or source.name.collection == FORWARDED:
            return NOTHING
        machine = VirtualMachine.of(source)
        if not machine.powered:
            return NOTHING
        forwarded = forwarded_name(machine.name)
        shared = forwarded_addresses(find(forwarded))
        return Contribution(
            tuple(_membership(machine, each, shared) for each in machine.interfaces),
            shared=tuple(_metadata_server(each.network) for each in machine.interfaces),
            reads=(forwarded,),
        )

    def outside(self, source: Source) -> Fragment | None:
        """Lower the namespace of a machine, or what runs in it."""
        if isinstance(source, Instance):
            return Fragment.of(containers(source), source.owner)
        if source.name.collection == FORWARDED:
            return None
        machine = VirtualMachine.of(source)
        if not machine.powered and machine.status != "SUSPENDED":  # a suspended one's processes stay in it
            return None
        netns = NetworkNamespace(instance_netns(machine.machine), delegated=True)
        return Fragment.of((netns,), machine.name)

    def inside(
        self, source: Source, network: NetworkContext, endpoints: tuple[Endpoint, ...]
    ) -> Fragment | None:
        """Lower the interface of a machine in one of its networks."""
        if not isinstance(source, Resource):
            return None
        machine = VirtualMachine.of(source)
        own = {each.address: each for each in machine.interfaces if each.network == network.name}
        elements = [
            element
            for endpoint in endpoints
            for element in _interface(own[endpoint.address], endpoint, network)
        ]
        return Fragment.of(elements, machine.name)

    def shared(
        self, name: ResourceName, resource: Resource | None, endpoints: tuple[Endpoint, ...]
    ) -> Fragment:
        """Lower what all machines of a network have: the metadata server, the resolver, IAP.

        The first two are always reached (behaviour/vpc.md#firewall-rules).
        """
        del resource, endpoints
        network = ResourceName("compute.networks", name.path)
        netns = vpc_netns(network)
        return Fragment.of(
            (
                *tunnels_of_iap(network),
                Address(Port(netns, LOOPBACK), IPv4Interface(METADATA)),
                Listener(netns, METADATA, 80, "tcp", METADATA_SERVICE),
                Listener(netns, METADATA, 53, "udp", RESOLVER_SERVICE),
                Listener(netns, METADATA, 53, "tcp", RESOLVER_SERVICE),
            )
        )


class LoadBalancers(Feature):
    """Forwarding rules of proxies and groups of backends: Google's front ends, and ways to networks."""

    resources = frozenset(
        {FORWARDING_RULES, ENDPOINT_GROUPS, FRONT_ENDS, FRONT_END_ADDRESSES, WAYS, PASSTHROUGH}
    )
    instances = frozenset({FRONT_ENDS})

    def contribution(self, source: Source, find: Find) -> Contribution:
        """Have front ends where a forwarding rule is, and a way into each network with a group."""
        if isinstance(source, Instance):
            return Contribution(shared=(_FRONT_END,))
        if source.name.collection == PASSTHROUGH:
            return Contribution((membership(Passthrough.of(source)),))
        if source.name.collection == FORWARDING_RULES:
            if not leads_to_proxy(source):
                return NOTHING
            return Contribution(shared=(_FRONT_END, _named(FRONT_END_ADDRESSES, source.body["IPAddress"])))
        network = group_network(source)
        if network is None or find(network) is None:
            return Contribution(reads=(network,) if network else ())
        return Contribution(shared=(_FRONT_END, _named(WAYS, network.path)), reads=(network,))

    def outside(self, source: Source) -> Fragment | None:
        """Lower the proxy that runs in the front ends' namespace, or the way of a passthrough rule."""
        if isinstance(source, Instance):
            return Fragment.of(containers(source))
        if source.name.collection != PASSTHROUGH:
            return None
        read = Passthrough.of(source)
        return Fragment.of(passthrough(read), read.rule)

    def shared(
        self, name: ResourceName, resource: Resource | None, endpoints: tuple[Endpoint, ...]
    ) -> Fragment:
        """Lower the front ends, one of their addresses or a way into a network."""
        del resource, endpoints
        if name.collection == FRONT_ENDS:
            return Fragment.of(edge())
        if name.collection == FRONT_END_ADDRESSES:
            return Fragment.of(edge_address(IPv4Address(name.path)))
        return Fragment.of(way_into(ResourceName("compute.networks", name.path)))


FEATURES: tuple[Feature, ...] = (Machines(), LoadBalancers())


def _named(collection: str, path: str) -> ResourceName:
    return ResourceName(collection, path)


def _metadata_server(network: ResourceName) -> ResourceName:
    return ResourceName(METADATA_SERVERS, network.path)


def _membership(
    machine: VirtualMachine, interface: NetworkInterface, shared: tuple[IPv4Network, ...]
) -> Membership:
    marks = [*map(tag_mark, machine.tags), *(account_mark(each.email) for each in machine.accounts)]
    return Membership(
        interface.network,
        interfaces=(
            Interface(
                instance_netns(machine.machine),
                interface.subnetwork.region or "",
                frozenset(marks),
                machine.name,
                interface.address,
                nat=interface.external is None,
                aliases=interface.aliases,
                forwards=machine.can_ip_forward,
                shared=shared if interface.name == "nic0" else (),
            ),
        ),
    )


def _interface(interface: NetworkInterface, endpoint: Endpoint, network: NetworkContext) -> Iterator[Element]:
    """Lower an interface, its alias ranges and its external address."""
    router, netns, device = vpc_netns(endpoint.network), endpoint.netns, interface.device
    address, toward = endpoint.address, device_to(endpoint.address)
    yield Link(Port(router, toward), Port(netns, device), network.mtu)
    yield Address(Port(netns, device), IPv4Interface(address))
    yield Route(router, host(address), (Hop(toward),))
    way = (Hop(device, interface.gateway),)
    if interface.name == "nic0":
        yield Route(netns, ANYWHERE, way, address)
    else:  # as Google's DHCP: the others only lead into their own subnetwork
        within = (each for each in network.routes.ranges if address in each)
        yield from (Route(netns, each, way, address) for each in within)
    for alias in interface.aliases:
        yield Route(router, alias, (Hop(toward, address),))
        # On the loopback a prefix makes all its addresses the machine's own, as Google's guest agent does.
        yield Address(Port(netns, LOOPBACK), IPv4Interface(alias))
    for each in endpoint.shared:  # the machine's own, as Google's guest agent has them
        yield Address(Port(netns, LOOPBACK), IPv4Interface(each))
    if interface.external is not None:
        yield SourceNat(router, UPLINK, host(address), interface.external, both_ways=True)
        yield Route(INTERNET, host(interface.external), (Hop(internet_device(network.name), VPC_ROUTER),))
