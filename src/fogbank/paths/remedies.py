"""Remedies: what a person does about a blocker, in one sentence and one command of gcloud.

A command opens the way for this flow and no more. The surprising fact: a rule that denies stays; the new one
comes before it, so that all else it denies is still denied.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fogbank.lowering.netns_names import network_of_google_netns, network_of_vpc_netns
from fogbank.network.addressing import PRIVATE_RANGES
from fogbank.network.filtering import ICMP, TCP, UDP, Packet
from fogbank.network.topology import NetnsName
from fogbank.paths.blockers import Blocker
from fogbank.paths.explain import Owners, place_of
from fogbank.paths.trace import Cause, Judged
from fogbank.resources.compute import FirewallRule, NatGateway, NatRange, Router, Subnetwork
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.firewall_policies import all_policies_of
from fogbank.resources.names import ResourceName
from fogbank.resources.network_users import network_users
from fogbank.resources.run import REVISIONS, SERVICES, read_revision
from fogbank.resources.vpcaccess import CONNECTORS, connector_name, read_connector
from fogbank.resources.world import Resource, World

ANYBODY_IN_THE_INTERNET = "fogbank.internet"
"""The collection of a sender that stands for every stranger: what lets it in is for all addresses."""

_ANYWHERE = "0.0.0.0/0"
_PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp"}


@dataclass(frozen=True, slots=True)
class Remedy:
    """``setting`` names what stops the flow (a resource's path, or words); ``command`` is "" without any."""

    cause: str
    place: str
    setting: str
    sentence: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Remedies:
    """Finds remedies in a World for what ``sender`` sends."""

    world: World
    owners: Owners
    sender: ResourceName

    def lifting(self, blockers: Iterable[Blocker]) -> tuple[Remedy, ...]:
        """Say what lifts each; what stops a flow on several ways alike is named once."""
        found: dict[tuple[str, str, str], Remedy] = {}
        for each in map(self._of, blockers):
            found.setdefault((each.cause, each.setting, each.command), each)
        return tuple(found.values())

    def _of(self, blocker: Blocker) -> Remedy:
        sentence, setting, command = self._found(blocker)
        cause = blocker.cause.value if blocker.cause else "NOTHING_LISTENS"
        return Remedy(cause, place_of(blocker.netns), setting, sentence, command)

    def _found(self, blocker: Blocker) -> tuple[str, str, str]:
        packet, netns = blocker.packet, blocker.netns
        network = network_of_vpc_netns(netns) or network_of_google_netns(netns)
        to = f"{packet.destination}:{packet.port}"
        match blocker.cause:
            case None:
                return f"The packet arrives, but nothing listens at {to}.", str(packet.destination), ""
            case Cause.FIREWALL_RULE if blocker.judged and network:
                return self._rule(blocker.judged, packet, network)
            case Cause.FIREWALL_RULE:
                text = "Instances do not reach one another; call the service by its URL."
                return text, "serverless fabric", ""
            case (Cause.NO_EXTERNAL_ADDRESS | Cause.CLOUD_NAT_NO_ADDRESSES) as cause if network:
                return self._nat(packet, network, cause)
            case Cause.PRIVATE_GOOGLE_ACCESS_DISALLOWED if network:
                return self._google_access(packet, network)
            case Cause.NO_ROUTE if _in(packet.destination, PRIVATE_RANGES) and _in(
                packet.source, PRIVATE_RANGES
            ):
                return f"No route leads to {packet.destination}.", str(packet.destination), ""
            case Cause.NO_ROUTE if found := network or self._network_of(netns):
                return self._no_route(found)
            case Cause.VPC_CONNECTOR_NOT_RUNNING:
                return self._connector(blocker.netns)
            case Cause.PRIVATE_TRAFFIC_TO_INTERNET:
                return self._private(packet)
            case Cause.UNKNOWN_EXTERNAL_ADDRESS:
                text = f"No third party of this region has {packet.destination}; its internet is its own."
                return (
                    text,
                    str(packet.destination),
                    f"fogbank internet add HOST --address {packet.destination}",
                )
            case Cause.UNKNOWN_INTERNAL_ADDRESS:
                text = f"Nothing in the network has the address {packet.destination}."
                return text, str(packet.destination), ""
            case cause:
                owner = self._owner(blocker)
                return f"{cause.value}: {owner or place_of(blocker.netns)} stops it.", owner, ""

    def _owner(self, blocker: Blocker) -> str:
        key = blocker.dropped.key if blocker.dropped else None
        return ", ".join(sorted(name.path for name in self.owners.get(key, ()))) if key else ""

    def _rule(self, judged: Judged, packet: Packet, network: ResourceName) -> tuple[str, str, str]:
        direction, traffic = judged.direction, _traffic(packet)
        if policy := self._policy(judged, network):
            return _before_policy_rule(judged, policy, packet, self._senders(packet))
        found = self._firewall_rule(judged, network)
        if found is None and judged.rule is not None:
            return _managed(judged.rule.label, direction)
        if found is None:
            setting = f"the implied {direction} rule of {network.path}"
            text = f"No rule lets {traffic} from {packet.source} in: the implied ingress rule denies it."
            return text, setting, self._allow(network, direction, packet, 1000)
        text = f"The {direction} rule {found.name.id} (priority {found.priority}) denies {traffic}."
        if found.priority:
            return text, found.name.path, self._allow(network, direction, packet, found.priority - 1)
        # Nothing comes before priority 0, where a denial wins.
        command = _gcloud("compute firewall-rules update", found.name, disabled="")
        return text, found.name.path, command

    def _allow(self, network: ResourceName, direction: str, packet: Packet, priority: int) -> str:
        """Make the rule that lets this flow through; its range is about the other end."""
        ranges = (
            {"source_ranges": self._senders(packet)}
            if direction == "ingress"
            else {"destination_ranges": f"{packet.destination}/32"}
        )
        digest = hashlib.sha256(f"{ranges} {_traffic(packet)} {priority}".encode()).hexdigest()[:8]
        name = f"projects/{network.project}/global/firewalls/allow-{direction}-{digest}"
        return _gcloud(
            "compute firewall-rules create",
            ResourceName("compute.firewalls", name),
            network=network.id,
            direction=direction.upper(),
            action="ALLOW",
            rules=_traffic(packet),
            **ranges,
            priority=str(priority),
        )

    def _senders(self, packet: Packet) -> str:
        """Return the range of those who send like this."""
        return _ANYWHERE if self.sender.collection == ANYBODY_IN_THE_INTERNET else f"{packet.source}/32"

    def _policy(self, judged: Judged, network: ResourceName) -> Resource | None:
        """Find the network firewall policy whose rule decided."""
        label = judged.rule.label if judged.rule else ""
        policies = all_policies_of(self.world, network) if "/" in label else ()
        return next((each for each in policies if each.name.id == label.partition("/")[0]), None)

    def _firewall_rule(self, judged: Judged, network: ResourceName) -> FirewallRule | None:
        label = judged.rule.label if judged.rule else ""
        name = ResourceName("compute.firewalls", f"projects/{network.project}/global/firewalls/{label}")
        found = self.world.find(name) if label else None
        return FirewallRule.of(found) if found else None

    def _nat(self, packet: Packet, network: ResourceName, cause: Cause) -> tuple[str, str, str]:
        holder, region = self._holder(packet, network)
        if not region:
            text = (
                f"{packet.source} is not of the network {network.id}: its Cloud NAT serves no peered network."
            )
            return text, network.path, ""
        routers = [Router.of(each) for each in in_network(self.world, "routers", network)]
        routers = [each for each in routers if each.region == region]
        gateways = [nat for each in routers for nat in each.nats]
        serving = [each for each in gateways if holder and _in(packet.source, each.covers(holder))]
        if serving:
            gateway = serving[0]
            if cause is Cause.NO_EXTERNAL_ADDRESS:
                text = f"{packet.source} is of a kind that Cloud NAT does not serve as of the region's date."
                return text, gateway.id, ""
            text = f"The Cloud NAT gateway {gateway.name} has no ports left for {packet.source}."
            return text, gateway.id, _more_addresses(gateway)
        text = f"{packet.source} has no external address, and no Cloud NAT gateway of {region} serves it."
        command = _serve(network, region, holder, routers, gateways)
        if not command:
            text = f"{text} One for all ranges suffers no other beside it: make one of {len(gateways)}."
        return text, f"{network.path} in {region}", command

    def _google_access(self, packet: Packet, network: ResourceName) -> tuple[str, str, str]:
        holder, _ = self._holder(packet, network)
        if holder is None:
            return f"{packet.source} has no Private Google Access.", network.path, ""
        text = f"The subnetwork {holder.name.id} has no Private Google Access."
        update = "compute networks subnets update"
        return text, holder.name.path, _gcloud(update, holder.name, enable_private_ip_google_access="")

    def _no_route(self, network: ResourceName) -> tuple[str, str, str]:
        name = ResourceName(
            "compute.routes", f"projects/{network.project}/global/routes/{network.id}-internet"
        )
        command = _gcloud(
            "compute routes create",
            name,
            network=network.id,
            destination_range="0.0.0.0/0",
            next_hop_gateway="default-internet-gateway",
        )
        return f"The network {network.id} has no route to the internet.", network.path, command

    def _network_of(self, netns: NetnsName) -> ResourceName | None:
        """Return the network whose routes a machine of a connector or an instance of Cloud Run has."""
        for owner in self.owners.get(("netns", netns), ()):
            resource = self.world.find(owner)
            if resource is not None and owner.collection == CONNECTORS:
                return read_connector(resource).network
            if resource is not None and owner.collection == REVISIONS:
                direct = read_revision(resource).direct_vpc
                within = self.world.find(direct.subnetwork) if direct else None
                return Subnetwork.of(within).network if within else None
        return None

    def _connector(self, netns: NetnsName) -> tuple[str, str, str]:
        _, project, region, identifier = netns.split("/")
        name = connector_name(project, region, identifier)
        text = f"The connector {identifier} does not exist or does not run."
        return text, name.path, _gcloud("compute networks vpc-access connectors describe", name)

    def _private(self, packet: Packet) -> tuple[str, str, str]:
        text = f"{self.sender.id} sends {packet.destination}, an internal address, to the internet."
        if self.sender.collection != SERVICES:
            return text, self.sender.path, ""
        command = _gcloud(
            "run services update",
            self.sender,
            network="NETWORK",
            subnet="SUBNET",
            vpc_egress="private-ranges-only",
        )
        return f"{text} Connect it to the VPC network that has it.", self.sender.path, command

    def _holder(self, packet: Packet, network: ResourceName) -> tuple[Subnetwork | None, str]:
        """Find the subnetwork that has the packet's source, and the region that it is in."""
        for each in self._subnetworks(network):
            if _in(packet.source, each.ranges):
                return each, each.region
        for user in network_users(self.world, network):
            if packet.source in user.range:
                return None, user.name.region or ""
        return None, ""

    def _subnetworks(self, network: ResourceName) -> Iterator[Subnetwork]:
        return map(Subnetwork.of, in_network(self.world, "subnetworks", network))


def _in(address: IPv4Address, ranges: Iterable[IPv4Network]) -> bool:
    return any(address in each for each in ranges)


def _traffic(packet: Packet) -> str:
    protocol = _PROTOCOLS.get(packet.protocol, str(packet.protocol))
    return f"{protocol}:{packet.port}" if packet.protocol in {TCP, UDP} else protocol


def _managed(label: str, direction: str) -> tuple[str, str, str]:
    """Tell of a rule that is Google's own: servers of managed services have some that no user can change."""
    if direction == "egress":
        return f"{label} opens no connections.", label, ""
    return f"{label} is reached from endpoints of its own region and network only.", label, ""


def _before_policy_rule(
    judged: Judged, policy: Resource, packet: Packet, senders: str
) -> tuple[str, str, str]:
    """Let this flow through by a rule that comes before the one of ``policy`` that denied it.

    Two rules cannot have the same priority; without a free one before it the rule itself is disabled.
    """
    name, priority = policy.name, int(judged.rule.label.rpartition("/")[2]) if judged.rule else 0
    text = f"Rule {priority} of the network firewall policy {name.id} denies {_traffic(packet)}."
    scope = f"--firewall-policy-region={name.region}" if name.region else "--global-firewall-policy"
    where = f"--project={name.project} --firewall-policy={name.id} {scope}"
    rules = "gcloud compute network-firewall-policies rules"
    taken = {each["priority"] for each in policy.body.get("rules", ())}
    free = next((each for each in range(priority - 1, -1, -1) if each not in taken), None)
    if free is None:
        return text, name.path, f"{rules} update {priority} {where} --disabled"
    ranges = f"--src-ip-ranges={senders}"
    if judged.direction == "egress":
        ranges = f"--dest-ip-ranges={packet.destination}/32"
    command = (
        f"{rules} create {free} {where} --direction={judged.direction.upper()} --action=allow "
        f"--layer4-configs={_traffic(packet)} {ranges}"
    )
    return text, name.path, command


def _serve(
    network: ResourceName,
    region: str,
    holder: Subnetwork | None,
    routers: Sequence[Router],
    gateways: Sequence[NatGateway],
) -> str:
    """Let Cloud NAT serve what is in ``holder``, or in a range of the region that is no subnetwork's.

    A gateway of all subnetworks suffers no other beside it, and a subnetwork is listed by one only. Nothing
    when several gateways would have to become one.
    """
    regional = f"projects/{network.project}/regions/{region}"
    listed = [each for each in gateways if each.coverage == "LIST_OF_SUBNETWORKS"]
    lists = next((each for each in listed if holder and _lists(each, holder)), None)
    if lists is not None and holder is not None:
        served = ",".join(_listed(each, holder) for each in lists.subnetworks)
        return _gcloud_nat("update", lists.router, lists.name, nat_custom_subnet_ip_ranges=served)
    if holder is None and len(gateways) > 1:
        return ""
    if gateways and (holder is None or not listed):
        return _gcloud_nat("update", gateways[0].router, gateways[0].name, nat_all_subnet_ip_ranges="")
    router = (
        routers[0].name if routers else ResourceName("compute.routers", f"{regional}/routers/{network.id}")
    )
    made = "" if routers else _gcloud("compute routers create", router, network=network.id) + " && "
    ranges = (
        {"nat_custom_subnet_ip_ranges": f"{holder.name.id}:ALL"}
        if listed and holder
        else {"nat_all_subnet_ip_ranges": ""}
    )
    name = f"nat-{holder.name.id}" if listed and holder else f"{network.id}-nat"
    return made + _gcloud_nat("create", router, name, auto_allocate_nat_external_ips="", **ranges)


def _lists(gateway: NatGateway, holder: Subnetwork) -> bool:
    return any(each.subnetwork == holder.name for each in gateway.subnetworks)


def _listed(served: NatRange, holder: Subnetwork) -> str:
    """Write an entry of a gateway's list as gcloud takes it; that of ``holder`` with all its ranges."""
    name = served.subnetwork.id
    if served.subnetwork == holder.name or (served.primary and served.all_secondary):
        return f"{name}:ALL"
    return ",".join([*([name] if served.primary else []), *(f"{name}:{each}" for each in served.secondary)])


def _more_addresses(gateway: NatGateway) -> str:
    """Give a gateway one more reserved address; one with automatic addresses takes them itself."""
    if gateway.auto:
        return ""
    regional = gateway.router.path.partition("/routers/")[0]
    new = ResourceName("compute.addresses", f"{regional}/addresses/{gateway.name}-more")
    pool = ",".join((*(each.id for each in gateway.addresses), new.id))
    update = _gcloud_nat("update", gateway.router, gateway.name, nat_external_ip_pool=pool)
    return f"{_gcloud('compute addresses create', new)} && {update}"


def _gcloud_nat(verb: str, router: ResourceName, name: str, **flags: str) -> str:
    return _line(f"compute routers nats {verb} {name} --router={router.id}", router, **flags)


def _gcloud(command: str, name: ResourceName, **flags: str) -> str:
    return _line(f"{command} {name.id}", name, **flags)


def _line(command: str, near: ResourceName, **flags: str) -> str:
    """Write a command about something where ``near`` is; a flag whose value is empty has none."""
    where = {"project": near.project, **({"region": near.region} if near.region else {})}
    words = [f"gcloud {command}"]
    for flag, value in (where | flags).items():
        option = f"--{flag.replace('_', '-')}"
        words.append(f"{option}={value}" if value else option)
    return " ".join(words)
