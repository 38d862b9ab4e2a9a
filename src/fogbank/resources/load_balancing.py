"""Load balancers as real types, and who refers to what among their parts.

A body was validated and completed before it was stored, so these readers do not doubt it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from fogbank.resources.compute import read_address, refer
from fogbank.resources.indexes import Index
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName, parse_compute_reference
from fogbank.resources.world import Json, Resource, World

FORWARDING_RULES = "compute.forwardingRules"
ENDPOINT_GROUPS = "compute.networkEndpointGroups"
BACKEND_SERVICES = "compute.backendServices"
HEALTH_CHECKS = "compute.healthChecks"
URL_MAPS = "compute.urlMaps"
SSL_CERTIFICATES = "compute.sslCertificates"
CERTIFICATES = "certificatemanager.certificates"
CERTIFICATE_MAPS = "certificatemanager.certificateMaps"
MAP_ENTRIES = "certificatemanager.certificateMapEntries"
DNS_AUTHORIZATIONS = "certificatemanager.dnsAuthorizations"

FRONT_ENDS = "compute.frontEnds"
"""Whose instances the fleet's proxies are; nothing of this collection is ever stored."""

ProxyKind = Literal["targetHttpProxies", "targetHttpsProxies", "targetSslProxies", "targetTcpProxies"]
PROXY_KINDS: tuple[ProxyKind, ...] = (
    "targetHttpProxies",
    "targetHttpsProxies",
    "targetSslProxies",
    "targetTcpProxies",
)
_CERTIFICATE_MANAGER = "certificatemanager.googleapis.com/"


def linked(world: World, link: str) -> Resource | None:
    """Find the resource of compute that a stored link means."""
    path = link.removeprefix(COMPUTE_PREFIX)
    return world.find(ResourceName(f"compute.{path.split('/')[-2]}", path))


def endpoint_key(endpoint: Json) -> tuple[str, int]:
    """Return what tells an endpoint of a group from the others."""
    return endpoint["ipAddress"], endpoint.get("port", 0)


def port_range(rule: Json) -> tuple[int, int]:
    """Return the first and the last port of a forwarding rule's body; all of them when it names none."""
    text = rule.get("portRange")
    if not text:
        return 0, 65535
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def leads_to_proxy(rule: Resource) -> bool:
    """Return whether a forwarding rule is for a target proxy, on the internet."""
    target, scheme = rule.body.get("target", ""), rule.body.get("loadBalancingScheme", "")
    return scheme.startswith("EXTERNAL") and any(f"/{kind}/" in target for kind in PROXY_KINDS)


def _external(rule: Resource) -> Iterable[str]:
    external = str(rule.body.get("loadBalancingScheme", "")).startswith("EXTERNAL")
    return (rule.body["IPAddress"],) if external else ()


_BY_ADDRESS = Index(FORWARDING_RULES, _external)


def forwarding_rules_at(world: World, address: IPv4Address) -> Iterator[Resource]:
    """List the external forwarding rules that have ``address``, by path."""
    return world.by(_BY_ADDRESS, str(address))


def forwarding_addresses(world: World) -> Iterator[str]:
    """List the external addresses of all forwarding rules, as text; one may come several times."""
    return (address for address, _ in world.ordered(_BY_ADDRESS))


def _target(rule: Resource) -> Iterable[str]:
    return (rule.body["target"],) if "target" in rule.body else ()


_BY_TARGET = Index(FORWARDING_RULES, _target)


def rules_of_proxy(world: World, proxy: ResourceName) -> Iterator[Resource]:
    """List the forwarding rules that lead to a target proxy, by path."""
    return world.by(_BY_TARGET, proxy.self_link)


def certificate_map_of(reference: str) -> ResourceName | None:
    """Read a proxy's reference to a certificate map, with or without a scheme; None when it is none."""
    _, host, path = reference.partition(_CERTIFICATE_MANAGER)
    path = path.removeprefix("v1/") if host else reference
    parts = path.split("/")
    if len(parts) != 6 or parts[0] != "projects" or (parts[2], parts[4]) != ("locations", "certificateMaps"):
        return None
    return ResourceName(CERTIFICATE_MAPS, path)


def _map(proxy: Resource) -> Iterable[str]:
    found = certificate_map_of(proxy.body["certificateMap"]) if "certificateMap" in proxy.body else None
    return (found.path,) if found else ()


_BY_MAP = tuple(Index(f"compute.{kind}", _map) for kind in ("targetHttpsProxies", "targetSslProxies"))


def proxies_with_map(world: World, certificate_map: ResourceName) -> Iterator[Resource]:
    """List the target proxies that have a certificate map."""
    return (proxy for index in _BY_MAP for proxy in world.by(index, certificate_map.path))


def entries_of(world: World, certificate_map: ResourceName) -> Iterator[Resource]:
    """List the entries of a certificate map, by path."""
    return world.all(MAP_ENTRIES, f"{certificate_map.path}/certificateMapEntries/")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of a zonal group: ``address``:``port`` of ``network``."""

    network: ResourceName
    address: IPv4Address
    port: int
    instance: str | None = None


def is_serverless(group: Resource) -> bool:
    """Return whether a group stands for a service without servers."""
    return bool(group.body["networkEndpointType"] == "SERVERLESS")


def group_network(group: Resource) -> ResourceName | None:
    """Return the VPC network of a group's endpoints; None when they are in none."""
    link = group.body.get("network")
    return refer(link, "networks") if link else None


def endpoints_of(group: Resource) -> tuple[Endpoint, ...]:
    """List the endpoints of a zonal group."""
    network = group_network(group)
    if network is None:
        return ()
    return tuple(
        Endpoint(network, read_address(each["ipAddress"]), each.get("port", 0), each.get("instance"))
        for each in group.private.get("endpoints", ())
    )


def group_of(link: str) -> ResourceName:
    """Read a backend's stored reference to its group."""
    return parse_compute_reference(link, "networkEndpointGroups", "", "global")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A health check; ``port`` is None for the serving port, times are seconds."""

    name: ResourceName
    kind: str
    port: int | None
    path: str
    host: str
    request: str
    response: str
    service: str
    proxy_header: bool
    interval: int
    timeout: int
    healthy: int
    unhealthy: int

    @classmethod
    def of(cls, resource: Resource) -> "HealthCheck":
        """Read a ``compute.healthChecks`` resource."""
        body = resource.body
        details: Json = next((value for key, value in body.items() if key.endswith("HealthCheck")), {})
        fixed = details.get("portSpecification") != "USE_SERVING_PORT"
        return cls(
            resource.name,
            body["type"],
            details["port"] if fixed else None,
            details.get("requestPath", "/"),
            details.get("host", ""),
            details.get("request", ""),
            details.get("response", ""),
            details.get("grpcServiceName", ""),
            details.get("proxyHeader") == "PROXY_V1",
            body["checkIntervalSec"],
            body["timeoutSec"],
            body["healthyThreshold"],
            body["unhealthyThreshold"],
        )
