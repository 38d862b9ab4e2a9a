"""Worlds for tests: short functions that give resources as the services store them."""

import json
from datetime import UTC, datetime
from ipaddress import IPv4Address
from itertools import count

from fogbank.resources.compute import AUTO_NAT_ADDRESSES
from fogbank.resources.fleet import Fleet, Instance
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName, compute_name
from fogbank.resources.peering import SINCE
from fogbank.resources.world import Put, Resource, World
from fogbank.services.run.instances import instance_of, with_address

P, R = "demo", "asia-northeast3"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32

_ids = count(1)


def link(name):
    return COMPUTE_PREFIX + name.path


def network_name(name="default"):
    return compute_name("networks", P, "global", None, name)


def regional(kind, name, region=R):
    return compute_name(kind, P, "regions", region, name)


def connector_id(name, region=R):
    return ResourceName("vpcaccess.connectors", f"projects/{P}/locations/{region}/connectors/{name}")


def revision_id(name, region=R):
    return ResourceName("run.revisions", f"projects/{P}/locations/{region}/revisions/{name}")


def resource(name, body, **private):
    return Resource(name, next(_ids), NOW, body, private)


def network(name="default", mtu=1460, peers=(), order="AFTER"):
    """Make a network; ``peers`` are the names of networks, or pairs of one and what its peering chooses."""
    body = {
        "name": name,
        "autoCreateSubnetworks": False,
        "mtu": mtu,
        "routingConfig": {"routingMode": "REGIONAL"},
        "networkFirewallPolicyEnforcementOrder": f"{order}_CLASSIC_FIREWALL",
    }
    pairs = [(each, {}) if isinstance(each, str) else each for each in peers]
    if pairs:
        body["peerings"] = [_peering(other, **chosen) for other, chosen in pairs]
    since = {f"with-{other}": NOW.isoformat() for other, _ in pairs}
    return resource(network_name(name), body, **({SINCE: since} if pairs else {}))


def _peering(other, *, exports=False, imports=False):
    return {
        "name": f"with-{other}",
        "network": link(network_name(other)),
        "exportCustomRoutes": exports,
        "importCustomRoutes": imports,
        "exportSubnetRoutesWithPublicIp": True,
        "importSubnetRoutesWithPublicIp": False,
    }


def default_route(of="default"):
    return route(f"default-route-{of}", of=of)


def route(name, destination="0.0.0.0/0", *, of="default", priority=1000, tags=(), via=None):
    """Make a route to the internet gateway, or by ``via``: an address, or the name of an instance."""
    if isinstance(via, ResourceName):
        hop = {"nextHopInstance": link(via)}
    elif via:
        hop = {"nextHopIp": via}
    else:
        hop = {"nextHopGateway": f"{COMPUTE_PREFIX}projects/{P}/global/gateways/x"}
    body = {"network": link(network_name(of)), "destRange": destination, "priority": priority, **hop}
    return resource(
        compute_name("routes", P, "global", None, name), body | ({"tags": list(tags)} if tags else {})
    )


def subnetwork(name, cidr, of="default", region=R, secondary=(), *, google_access=False, logs=None):
    first, _ = cidr.split("/")
    head, last = first.rsplit(".", 1)
    body = {
        "id": str(next(_ids)),
        "network": link(network_name(of)),
        "ipCidrRange": cidr,
        "gatewayAddress": f"{head}.{int(last) + 1}",
        "region": region,
        "secondaryIpRanges": [
            {"rangeName": f"s{n}", "ipCidrRange": each} for n, each in enumerate(secondary)
        ],
        "privateIpGoogleAccess": google_access,
        **({"logConfig": logs} if logs else {}),
    }
    return resource(regional("subnetworks", name, region), body)


def firewall(name, direction="INGRESS", *, of="default", priority=1000, allowed=None, denied=None, **more):
    rules = {"denied": denied} if denied else {"allowed": allowed or [{"IPProtocol": "all"}]}
    body = {"network": link(network_name(of)), "direction": direction, "priority": priority, **rules, **more}
    return resource(compute_name("firewalls", P, "global", None, name), body)


def policy_rule(
    priority, action="allow", direction="INGRESS", *, ranges=("0.0.0.0/0",), traffic=(), accounts=()
):
    side = "srcIpRanges" if direction == "INGRESS" else "destIpRanges"
    layer4 = [
        {"ipProtocol": each["IPProtocol"]} | ({"ports": each["ports"]} if "ports" in each else {})
        for each in traffic or [{"IPProtocol": "all"}]
    ]
    return {
        "priority": priority,
        "action": action,
        "direction": direction,
        "match": {side: list(ranges), "layer4Configs": layer4},
        "ruleTupleCount": len(layer4),
        **({"targetServiceAccounts": list(accounts)} if accounts else {}),
    }


def firewall_policy(name, rules, networks=("default",), region=None):
    """Make a network firewall policy, global without ``region``, of ``networks``."""
    place = compute_name("firewallPolicies", P, "regions" if region else "global", region, name)
    associated = [{"name": each, "attachmentTarget": link(network_name(each))} for each in networks]
    return resource(place, {"name": name, "rules": list(rules), "associations": associated})


def address(name, ip, region=R):
    return resource(regional("addresses", name, region), {"address": ip, "addressType": "EXTERNAL"})


def nat(name="nat", addresses=(), subnetworks=None, region=R, ranges="PRIMARY_IP_RANGE", **more):
    listed = [
        {"name": link(regional("subnetworks", each, region)), "sourceIpRangesToNat": [ranges]}
        for each in subnetworks or ()
    ]
    coverage = "ALL_SUBNETWORKS_ALL_IP_RANGES" if subnetworks is None else "LIST_OF_SUBNETWORKS"
    return {
        "name": name,
        "natIpAllocateOption": "MANUAL_ONLY",
        "natIps": [link(regional("addresses", each, region)) for each in addresses],
        "sourceSubnetworkIpRangesToNat": coverage,
        **({"subnetworks": listed} if listed else {}),
        **more,
    }


def nat_rule(number, match, address, region=R):
    action = {"sourceNatActiveIps": [link(regional("addresses", address, region))]}
    return {"ruleNumber": number, "match": match, "action": action}


def router(name, nats=(), of="default", region=R, **auto):
    private = {AUTO_NAT_ADDRESSES: auto} if auto else {}
    body = {"id": str(next(_ids)), "network": link(network_name(of)), "nats": list(nats)}
    return resource(regional("routers", name, region), body, **private)


def connector(
    name,
    cidr="10.8.0.0/28",
    *,
    of="default",
    subnet=None,
    instances=2,
    machine="e2-micro",
    region=R,
    state="READY",
):
    body = {"machineType": machine, "minInstances": 2, "maxInstances": 10, "state": state}
    private = {"network": network_name(of).path, "range": cidr, "instances": instances}
    if subnet:
        private["subnet"] = regional("subnetworks", subnet, region).path
    return resource(connector_id(name, region), body, **private)


def revision(name, connector=None, egress=None, service="web", region=R, *, interface=None):
    annotations = {
        **({"run.googleapis.com/network-interfaces": json.dumps([interface])} if interface else {}),
        **({"run.googleapis.com/vpc-access-connector": connector} if connector else {}),
        **({"run.googleapis.com/vpc-access-egress": egress} if egress else {}),
    }
    container = {
        "image": "hello",
        "ports": [{"containerPort": 8080}],
        "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}},
        "env": [{"name": "MODE", "value": "fast"}],
    }
    body = {
        "metadata": {"annotations": annotations, "labels": {"serving.knative.dev/service": service}},
        "spec": {
            "containers": [container],
            "containerConcurrency": 80,
            "timeoutSeconds": 300,
            "serviceAccountName": "x@demo.iam.gserviceaccount.com",
        },
        "status": {"imageDigest": f"us-docker.pkg.dev/fogbank/samples/netcheck@{DIGEST}"},
    }
    return resource(revision_id(name, region), body)


def machine(
    name,
    ip,
    subnet,
    *,
    of="default",
    region=R,
    gateway,
    external=None,
    tags=(),
    forwards=False,
    status="RUNNING",
    aliases=(),
):
    """Make a virtual machine with one interface; ``aliases`` are ranges of the first secondary range."""
    zone = f"{region}-a"
    interface = {
        "name": "nic0",
        "network": link(network_name(of)),
        "subnetwork": link(regional("subnetworks", subnet, region)),
        "networkIP": ip,
        **({"accessConfigs": [{"natIP": external}]} if external else {}),
        **(
            {"aliasIpRanges": [{"ipCidrRange": each, "subnetworkRangeName": "s0"} for each in aliases]}
            if aliases
            else {}
        ),
    }
    body = {
        "status": status,
        "machineType": f"{COMPUTE_PREFIX}projects/{P}/zones/{zone}/machineTypes/e2-micro",
        "networkInterfaces": [interface],
        "tags": {"items": list(tags)},
        "canIpForward": forwards,
    }
    private = {"wanted": "RUNNING", "boot": 1, "booted": 1, "gateways": {"nic0": gateway}}
    return resource(compute_name("instances", P, "zones", zone, name), body, **private)


def redis(name, cidr, *, of="default", region=R):
    """Make a Redis instance of one node in the range ``cidr``."""
    body = {
        "nodes": [{"id": "node-0", "zone": f"{region}-a"}],
        "transitEncryptionMode": "DISABLED",
        "memorySizeGb": 1,
        "persistenceConfig": {"persistenceMode": "DISABLED"},
        "state": "READY",
    }
    where = ResourceName("redis.instances", f"projects/{P}/locations/{region}/instances/{name}")
    private = {"network": network_name(of).path, "range": cidr, "primary": 0, "secret": "s"}
    return resource(where, body, **private)


def site(host, ip, ports=()):
    name = ResourceName("fogbank.sites", f"sites/{host}")
    return resource(name, {"host": host, "address": ip, "ports": list(ports)})


def world(*resources: Resource) -> World:
    return World().after(Put(each) for each in resources)


def direct(instance: Instance, address: str, of: str = "default", *, nat: bool = True) -> Instance:
    """Give ``instance``, whose revision has Direct VPC egress, its address."""
    return with_address(instance, network_name(of), IPv4Address(address), nat=nat)


def fleet(*revisions: Resource, pool: int = 7) -> Fleet:
    instances = [
        instance_of(f"{each.name.id}-{number:04x}", each, number, pool)
        for number, each in enumerate(revisions, start=2)
    ]
    return Fleet({each.id: each for each in instances})


PRESET = (
    firewall("default-allow-internal", sourceRanges=["10.128.0.0/9"], priority=65534),
    firewall("default-allow-ssh", allowed=[{"IPProtocol": "tcp", "ports": ["22"]}], priority=65534),
)


def automatic_rules(name, cidr, of="default", region=R):
    tag = f"vpc-connector-{region}-{name}"
    tunnel = [
        {"IPProtocol": "tcp", "ports": ["667"]},
        {"IPProtocol": "udp", "ports": ["665-666"]},
        {"IPProtocol": "icmp"},
    ]
    served = [{"IPProtocol": "tcp"}, {"IPProtocol": "udp"}, {"IPProtocol": "icmp"}]
    prefix = f"aet-{region}-{name}"
    serverless = ["35.199.224.0/19"]
    mine = {"of": of, "targetTags": [tag]}
    outward = mine | {"direction": "EGRESS", "destinationRanges": serverless}
    others = [{"IPProtocol": "tcp", "ports": ["1-666", "668-65535"]}]
    return (
        firewall(f"{prefix}-rsgfw", priority=100, allowed=tunnel, sourceRanges=serverless, **mine),
        firewall(f"{prefix}-earfw", priority=100, allowed=tunnel, **outward),
        firewall(f"{prefix}-egrfw", priority=100, denied=others, **outward),
        firewall(f"{prefix}-sbntfw", of=of, allowed=served, sourceRanges=[cidr]),
        firewall(f"{prefix}-tagfw", of=of, allowed=served, sourceTags=[tag]),
    )


def article(egress: str = "all-traffic", nats: bool = True) -> tuple[World, Fleet]:
    """Article 000: a connector in a subnet that a gateway with a reserved address serves."""
    gateway = nat("cloud-run-nat", ["cloud-run-origin-ip"], ["cloud-run-subnet"])
    deployed = revision("production-00001-abc", "cloud-run-connector", egress, service="production")
    made = world(
        network(),
        default_route(),
        *PRESET,
        subnetwork("cloud-run-subnet", "10.124.0.0/28"),
        connector("cloud-run-connector", "10.124.0.0/28", subnet="cloud-run-subnet"),
        *automatic_rules("cloud-run-connector", "10.124.0.0/28"),
        address("cloud-run-origin-ip", "203.0.113.2"),
        router("cloud-run-router", [gateway] if nats else []),
        deployed,
    )
    return made, fleet(deployed)
