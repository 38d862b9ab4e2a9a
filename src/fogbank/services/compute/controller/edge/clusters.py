"""Backend services as Envoy's clusters with their endpoints, purely.

Only healthy endpoints are told to Envoy, so where none is it answers 503 `no healthy upstream`, as Google's
front ends do.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fogbank.lowering.edge import PROXY_SOURCE, edge_device
from fogbank.network.addressing import FRONT_END
from fogbank.resources.load_balancing import Endpoint
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource
from fogbank.services.compute.controller.edge.routes import cluster_name

FOLDER = "/data"
_SOL_SOCKET, _SO_BINDTODEVICE = 1, 25
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_PROXY = (
    "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
)
_RAW = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_POLICIES = {
    "LEAST_REQUEST": "LEAST_REQUEST",
    "RING_HASH": "RING_HASH",
    "RANDOM": "RANDOM",
    "MAGLEV": "MAGLEV",
}
_KEEP_ALIVE = "600s"
"""How long an idle connection to a backend is kept (https://cloud.google.com/load-balancing/docs/https)."""
_MANY = 1_000_000
_WHOLE = 1000
"""The weight of an endpoint whose group takes all of its capacity."""

PROXY_HEADER = "-proxy"
"""The variant of a cluster that begins its connections with a PROXY line."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of a backend service: its ``scaler`` (0 to 1) and its healthy endpoints."""

    name: ResourceName
    scaler: float
    endpoints: tuple[Endpoint, ...]


def watched(name: str) -> Json:
    """Have Envoy read a file of its folder, and read it again when it is replaced."""
    source = {"path": f"{FOLDER}/{name}", "watched_directory": {"path": FOLDER}}
    return {"path_config_source": source, "resource_api_version": "V3"}


def endpoints_file(cluster: str) -> str:
    """Name the file with the endpoints of a cluster."""
    return f"eds-{cluster}.json"


def cluster(service: Resource, network: ResourceName | None, *, proxy_header: bool = False) -> Json:
    """Render a backend service; its endpoints are in ``network``."""
    name = cluster_name(service)
    protocol = service.body["protocol"]
    made: Json = {
        "name": cluster_name(service, PROXY_HEADER) if proxy_header else name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": watched(endpoints_file(name)), "service_name": name},
        "connect_timeout": "5s",
        "lb_policy": _policy(service),
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "locality_weighted_lb_config": {}},
        "circuit_breakers": {
            "thresholds": [
                dict.fromkeys(
                    ("max_connections", "max_pending_requests", "max_requests", "max_retries"), _MANY
                )
            ]
        },
        "typed_extension_protocol_options": {_HTTP: _http_options(protocol)},
    }
    if network is not None:
        made["upstream_bind_config"] = _bound_to(network)
    socket = _transport(protocol)
    if proxy_header:
        inner = socket or {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {"@type": _RAW}}
        config = {"@type": _PROXY, "config": {"version": "V1"}, "transport_socket": inner}
        socket = {"name": "envoy.transport_sockets.upstream_proxy_protocol", "typed_config": config}
    if socket is not None:
        made["transport_socket"] = socket
    return made


def serverless_cluster(service: Resource, host: str | None) -> Json:
    """Render a backend service whose group is the Cloud Run service at ``host``; None when there is none.

    It is reached as everything of Google's: at one address, by TLS, by its name.
    """
    endpoints = []
    if host is not None:
        socket_address = {"address": str(FRONT_END), "port_value": 443}
        endpoints = [{"endpoint": {"hostname": host, "address": {"socket_address": socket_address}}}]
    context = {"@type": _TLS, "sni": host or "", "common_tls_context": {"alpn_protocols": ["http/1.1"]}}
    return {
        "name": cluster_name(service),
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": cluster_name(service),
            "endpoints": [{"lb_endpoints": endpoints}] if endpoints else [],
        },
        "connect_timeout": "5s",
        "upstream_bind_config": {"source_address": {"address": str(PROXY_SOURCE), "port_value": 0}},
        "typed_extension_protocol_options": {_HTTP: _http_options("HTTP")},
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
    }


def _policy(service: Resource) -> str:
    if service.body["sessionAffinity"] != "NONE":
        return "MAGLEV" if service.body.get("localityLbPolicy") == "MAGLEV" else "RING_HASH"
    return _POLICIES.get(service.body.get("localityLbPolicy", ""), "ROUND_ROBIN")


def _bound_to(network: ResourceName) -> Json:
    device = base64.b64encode(edge_device(network).encode() + b"\0").decode()
    return {
        "source_address": {"address": str(PROXY_SOURCE), "port_value": 0},
        "socket_options": [
            {"level": _SOL_SOCKET, "name": _SO_BINDTODEVICE, "buf_value": device, "state": "STATE_PREBIND"}
        ],
    }


def _http_options(protocol: str) -> Json:
    version = "http2_protocol_options" if protocol in {"HTTP2", "H2C"} else "http_protocol_options"
    return {
        "@type": f"type.googleapis.com/{_HTTP}",
        "common_http_protocol_options": {"idle_timeout": _KEEP_ALIVE},
        "explicit_http_config": {version: {}},
    }


def _transport(protocol: str) -> Json | None:
    """Render TLS to backends, whose certificates nobody checks, as at Google."""
    if protocol not in {"HTTPS", "HTTP2", "SSL"}:
        return None
    alpn = {"HTTPS": ["http/1.1"], "HTTP2": ["h2"]}.get(protocol, [])
    context: Json = {"@type": _TLS, "common_tls_context": {"alpn_protocols": alpn} if alpn else {}}
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def assignment(service: Resource, groups: Iterable[Group]) -> Json:
    """Render the endpoints of a backend service: a locality for each group, weighted by its capacity."""
    return {"cluster_name": cluster_name(service), "endpoints": list(_localities(groups))}


def _localities(groups: Iterable[Group]) -> Iterator[Json]:
    for group in groups:
        weight = round(group.scaler * _WHOLE * len(group.endpoints))
        if weight:
            yield {
                "locality": {"zone": group.name.segment("zones") or "", "sub_zone": group.name.id},
                "load_balancing_weight": weight,
                "lb_endpoints": [_endpoint(each) for each in group.endpoints],
            }


def _endpoint(endpoint: Endpoint) -> Json:
    address = {"address": str(endpoint.address), "port_value": endpoint.port}
    return {"endpoint": {"address": {"socket_address": address}}}


def resources(kind: str, found: Iterable[Mapping[str, object]]) -> Json:
    """Wrap resources of one of Envoy's types as a discovery response."""
    url = f"type.googleapis.com/envoy.config.{kind}"
    return {"resources": [{"@type": url, **each} for each in found]}
