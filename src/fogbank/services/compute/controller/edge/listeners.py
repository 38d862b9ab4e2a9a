"""Forwarding rules and target proxies as Envoy's listeners, purely.

A listener chooses its certificate by the name in the client's hello as Certificate Manager does: an entry for
just that name, then one with a wildcard for its first label, then the primary one; where nothing fits, the
handshake fails (behaviour/certificate-manager.md#maps).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fogbank.resources.load_balancing import port_range
from fogbank.resources.world import Json, Resource
from fogbank.services.compute.controller.edge.clusters import PROXY_HEADER, watched
from fogbank.services.compute.controller.edge.routes import cluster_name, route_name

_FILTERS = "type.googleapis.com/envoy.extensions.filters"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_SERVER_NAME = "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.ServerNameInput"
_INSPECTOR = f"{_FILTERS}.listener.tls_inspector.v3.TlsInspector"
_CLIENT_IDLE = "610s"
"""How long an idle connection of a client is kept (https://cloud.google.com/load-balancing/docs/https)."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Secrets of a proxy by exact name and by wildcard (``*.example.com``), and the ``primary`` ones."""

    exact: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    wildcards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    primary: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.exact or self.wildcards or self.primary)


def secret_file(secret: str) -> str:
    """Name the file of a certificate."""
    return f"sds-{secret}.json"


def routes_file(name: str) -> str:
    """Name the file of a URL map's routes."""
    return f"rds-{name}.json"


def listener(
    rule: Resource,
    filters: Json,
    certificates: Certificates | None,
    policy: Resource | None,
    *,
    web: bool,
) -> Json | None:
    """Render a forwarding rule; None when its proxy needs a certificate and has none yet."""
    address = {"address": rule.body["IPAddress"], "port_value": port_range(rule.body)[0]}
    made: Json = {
        "name": f"f-{rule.id:x}",
        "address": {"socket_address": address},
        "freebind": True,
        "per_connection_buffer_limit_bytes": 1 << 20,
    }
    if certificates is None:
        return made | {"filter_chains": [{"filters": [filters]}]}
    if not certificates:
        return None
    inspector = {"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": _INSPECTOR}}
    return made | {
        "listener_filters": [inspector],
        "filter_chain_matcher": _matcher(certificates),
        "filter_chains": [
            {
                "name": _chain(secrets),
                "filters": [filters],
                "transport_socket": _tls(secrets, policy, web=web),
            }
            for secrets in dict.fromkeys(_sets(certificates))
        ],
    }


def _sets(certificates: Certificates) -> Iterable[tuple[str, ...]]:
    yield from certificates.exact.values()
    yield from certificates.wildcards.values()
    if certificates.primary:
        yield certificates.primary


def _chain(secrets: tuple[str, ...]) -> str:
    return " ".join(secrets)


def _to(secrets: tuple[str, ...]) -> Json:
    value = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": _chain(secrets)}
    return {"action": {"name": _chain(secrets), "typed_config": value}}


def _matcher(certificates: Certificates) -> Json:
    """Render which filter chain, and so which certificate, a hello gets."""
    source = {"name": "server-name", "typed_config": {"@type": _SERVER_NAME}}
    last: Json = {"on_no_match": _to(certificates.primary)} if certificates.primary else {}
    if certificates.wildcards:
        matchers = [
            {
                "predicate": {
                    "single_predicate": {
                        "input": source,
                        "value_match": {
                            "safe_regex": {"google_re2": {}, "regex": f"[^.]+{re.escape(host[1:])}"}
                        },
                    }
                },
                "on_match": _to(secrets),
            }
            for host, secrets in certificates.wildcards.items()
        ]
        last = {"on_no_match": {"matcher": {"matcher_list": {"matchers": matchers}, **last}}}
    if not certificates.exact:
        inner: Json = last["on_no_match"]
        if "matcher" in inner:
            found: Json = inner["matcher"]
            return found
        return last
    exact = {"map": {host: _to(secrets) for host, secrets in certificates.exact.items()}}
    return {"matcher_tree": {"input": source, "exact_match_map": exact}, **last}


def _tls(secrets: tuple[str, ...], policy: Resource | None, *, web: bool) -> Json:
    version = policy.body["minTlsVersion"] if policy else "TLS_1_0"
    common: Json = {
        "tls_params": {"tls_minimum_protocol_version": version.replace("TLS_", "TLSv")},
        "tls_certificate_sds_secret_configs": [
            {"name": each, "sds_config": watched(secret_file(each))} for each in secrets
        ],
    }
    if web:
        common["alpn_protocols"] = ["h2", "http/1.1"]
    context = {"@type": _TLS, "common_tls_context": common}
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def web_filter(proxy: Resource, url_map: Resource, *, logged: bool = False) -> Json:
    """Render the filter of an HTTP or HTTPS proxy; where it is ``logged`` it writes of each request."""
    router = {"@type": f"{_FILTERS}.http.router.v3.Router", "suppress_envoy_headers": True}
    seconds = proxy.body.get("httpKeepAliveTimeoutSec")
    name = route_name(url_map)
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "front-end",
            "codec_type": "AUTO",
            "rds": {"route_config_name": name, "config_source": watched(routes_file(name))},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
            "use_remote_address": True,
            "generate_request_id": False,
            "via": "1.1 google",
            "server_header_transformation": "PASS_THROUGH",
            "common_http_protocol_options": {"idle_timeout": f"{seconds}s" if seconds else _CLIENT_IDLE},
            "stream_idle_timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            **({"access_log": [_access_log()]} if logged else {}),
        },
    }


def _access_log() -> Json:
    """Write a line of JSON for each request, which the controller reads."""
    fields = {
        "rule": "%DOWNSTREAM_LOCAL_ADDRESS%",
        "start": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "scheme": "%REQ(X-FORWARDED-PROTO)%",
        "host": "%REQ(:AUTHORITY)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "backend": "%UPSTREAM_HOST%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "milliseconds": "%DURATION%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "agent": "%REQ(USER-AGENT)%",
        "referer": "%REQ(REFERER)%",
        "protocol": "%PROTOCOL%",
    }
    kind = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {"@type": kind, "log_format": {"json_format": fields}},
    }


def stream_filter(proxy: Resource, service: Resource) -> Json:
    """Render the filter of an SSL or TCP proxy."""
    variant = PROXY_HEADER if proxy.body["proxyHeader"] == "PROXY_V1" else ""
    return {
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": f"{_FILTERS}.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "front-end",
            "cluster": cluster_name(service, variant),
            "idle_timeout": f"{service.body['timeoutSec']}s",
        },
    }


def secret(name: str, certificate: str, key: str) -> Json:
    """Render a certificate with its key."""
    chain = {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": key}}
    return {"name": name, "tls_certificate": chain}
