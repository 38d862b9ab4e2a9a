"""Everything that the proxy is told, as files: the load balancers of a World and what health checks saw.

Only what a forwarding rule leads to is told. A file changes when what it says changes, so that a group that
is swapped replaces one file of endpoints and nothing else.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from fogbank.resources import run
from fogbank.resources.backend_health import BackendHealth
from fogbank.resources.load_balancing import (
    CERTIFICATES,
    FORWARDING_RULES,
    certificate_map_of,
    endpoints_of,
    entries_of,
    group_network,
    group_of,
    is_serverless,
    leads_to_proxy,
    linked,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.controller.edge.clusters import (
    Group,
    assignment,
    cluster,
    endpoints_file,
    resources,
    serverless_cluster,
)
from fogbank.services.compute.controller.edge.listeners import (
    Certificates,
    listener,
    routes_file,
    secret,
    secret_file,
    stream_filter,
    web_filter,
)
from fogbank.services.compute.controller.edge.routes import (
    cluster_name,
    links_of,
    route_configuration,
    route_name,
)

LISTENERS, CLUSTERS = "lds.json", "cds.json"
_LISTENER, _CLUSTER, _ROUTES = "listener.v3.Listener", "cluster.v3.Cluster", "route.v3.RouteConfiguration"
_ENDPOINTS = "endpoint.v3.ClusterLoadAssignment"
_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type's name


@dataclass(slots=True)
class _Parts:
    """What the forwarding rules lead to, by name."""

    listeners: list[Json] = field(default_factory=list)
    services: dict[str, Resource] = field(default_factory=dict)
    with_header: set[str] = field(default_factory=set)
    maps: dict[str, Resource] = field(default_factory=dict)
    secrets: dict[str, Json] = field(default_factory=dict)


def snapshot(world: World, health: BackendHealth) -> dict[str, bytes]:
    """Render all files, by name."""
    parts = _Parts()
    for rule in world.all(FORWARDING_RULES):
        proxy = linked(world, rule.body["target"]) if leads_to_proxy(rule) else None
        if proxy is not None:
            _add_rule(world, parts, rule, proxy)
    files: dict[str, Json] = {
        LISTENERS: resources(_LISTENER, parts.listeners),
        CLUSTERS: resources(_CLUSTER, _clusters(world, parts)),
    }
    for name, service in parts.services.items():
        if any(map(is_serverless, _group_resources(world, service))):
            continue
        found = assignment(service, _groups(world, service, health))
        files[endpoints_file(name)] = resources(_ENDPOINTS, [found])
    for url_map in parts.maps.values():
        routes = route_configuration(url_map, lambda link: linked(world, link))
        files[routes_file(route_name(url_map))] = resources(_ROUTES, [routes])
    for name, found in parts.secrets.items():
        files[secret_file(name)] = {"resources": [{"@type": _SECRET, **found}]}
    return {name: json.dumps(each, sort_keys=True).encode() for name, each in files.items()}


def _add_rule(world: World, parts: _Parts, rule: Resource, proxy: Resource) -> None:
    web = "urlMap" in proxy.body
    if web:
        url_map = linked(world, proxy.body["urlMap"])
        if url_map is None:
            return
        parts.maps[route_name(url_map)] = url_map
        found = [_add_service(world, parts, link) for link in links_of(url_map.body)]
        logged = any(each.body.get("logConfig", {}).get("enable") for each in found if each is not None)
        filters = web_filter(proxy, url_map, logged=logged)
    else:
        service = _add_service(world, parts, proxy.body["service"])
        if service is None:
            return
        if proxy.body["proxyHeader"] != "NONE":
            parts.with_header.add(cluster_name(service))
        filters = stream_filter(proxy, service)
    certificates = _certificates(world, parts, proxy)
    chosen = proxy.body.get("sslPolicy")
    policy = linked(world, chosen) if chosen else None
    if made := listener(rule, filters, certificates, policy, web=web):
        parts.listeners.append(made)


def _add_service(world: World, parts: _Parts, link: str) -> Resource | None:
    service = linked(world, link)
    if service is not None:
        parts.services[cluster_name(service)] = service
    return service


def _clusters(world: World, parts: _Parts) -> Iterator[Json]:
    for name, service in parts.services.items():
        groups = tuple(_group_resources(world, service))
        if any(map(is_serverless, groups)):
            yield serverless_cluster(service, _host_of(world, groups))
            continue
        network = next(filter(None, map(group_network, groups)), None)
        yield cluster(service, network)
        if name in parts.with_header:
            yield cluster(service, network, proxy_header=True)


def _host_of(world: World, groups: Iterable[Resource]) -> str | None:
    """Return the name of the first Cloud Run service of ``groups`` that there is."""
    for group in groups:
        project, region = group.name.project, group.name.region or ""
        name = run.service_name(project, region, group.body["cloudRun"]["service"])
        if (found := world.find(name)) is not None:
            return run.read_service(found).url.removeprefix("https://")
    return None


def _group_resources(world: World, service: Resource) -> Iterator[Resource]:
    for backend in service.body["backends"]:
        group = world.find(group_of(backend["group"]))
        if group is not None:
            yield group


def _groups(world: World, service: Resource, health: BackendHealth) -> Iterator[Group]:
    check = check_of(world, service)
    if check is None:
        return
    for backend in service.body["backends"]:
        group = world.find(group_of(backend["group"]))
        if group is not None:
            healthy = tuple(each for each in endpoints_of(group) if health.is_healthy(check.name, each))
            yield Group(group.name, backend["capacityScaler"], healthy)


def check_of(world: World, service: Resource) -> Resource | None:
    """Find the health check of a backend service."""
    link = next(iter(service.body.get("healthChecks", ())), None)
    return linked(world, link) if link else None


def _certificates(world: World, parts: _Parts, proxy: Resource) -> Certificates | None:
    """Say which certificates a proxy has, and note their secrets; None for a proxy without TLS."""
    if "certificateMap" in proxy.body:
        found = certificate_map_of(proxy.body["certificateMap"])
        return _from_map(world, parts, entries_of(world, found)) if found else Certificates()
    if "sslCertificates" not in proxy.body:
        return None
    own = (linked(world, each) for each in proxy.body["sslCertificates"])
    return Certificates(primary=tuple(_add_classic(parts, each) for each in own if each is not None))


def _add_classic(parts: _Parts, certificate: Resource) -> str:
    name = f"s-{certificate.id:x}"
    parts.secrets[name] = secret(name, certificate.body["certificate"], certificate.private["privateKey"])
    return name


def _from_map(world: World, parts: _Parts, entries: Iterable[Resource]) -> Certificates:
    exact: dict[str, tuple[str, ...]] = {}
    wildcards: dict[str, tuple[str, ...]] = {}
    primary: tuple[str, ...] = ()
    for entry in entries:
        names = tuple(_add_managed(world, parts, entry.body["certificates"]))
        if not names:
            continue
        host = entry.body.get("hostname", "").lower()
        if not host:
            primary = names
        elif host.startswith("*."):
            wildcards[host] = names
        else:
            exact[host] = names
    return Certificates(exact, wildcards, primary)


def _add_managed(world: World, parts: _Parts, references: Iterable[str]) -> Iterator[str]:
    for reference in references:
        found = world.find(ResourceName(CERTIFICATES, reference))
        pair = certificate_pair(found.private) if found else None
        if found is not None and pair is not None:
            name = f"c-{found.id:x}"
            parts.secrets[name] = secret(name, *pair)
            yield name


def certificate_pair(private: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the chain and the key of a certificate of Certificate Manager; None until it is issued."""
    if "certificate" not in private:
        return None
    return private["certificate"], private["key"]
