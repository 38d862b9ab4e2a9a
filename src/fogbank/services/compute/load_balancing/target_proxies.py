"""Target proxies: HTTP and HTTPS with a URL map, SSL and TCP with a backend service.

https://cloud.google.com/load-balancing/docs/target-proxies
"""

from typing import Any

from fogbank.errors import ApiError, invalid_value, not_built, required_field
from fogbank.resources.load_balancing import certificate_map_of
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, World
from fogbank.services.compute.bodies import one_of
from fogbank.services.compute.load_balancing.collection import Complete, Kind
from fogbank.services.compute.load_balancing.references import find_part, linked
from fogbank.services.contract import Call, Method, Write

_MOST_CERTIFICATES = 15
_QUIC = ("NONE", "DISABLE")


def _web(world: World, call: Call, _name: ResourceName, body: Json) -> Json:
    fields = {key: body[key] for key in ("description", "urlMap") if body.get(key)}
    if not fields.get("urlMap"):
        raise required_field("resource.urlMap")
    linked(world, call, fields, "urlMap", "urlMaps")
    if body.get("httpKeepAliveTimeoutSec"):
        seconds = int(body["httpKeepAliveTimeoutSec"])
        if not 5 <= seconds <= 1200:
            raise invalid_value("resource.httpKeepAliveTimeoutSec", seconds, "Must be between 5 and 1200.")
        fields["httpKeepAliveTimeoutSec"] = seconds
    return fields


def _https(world: World, call: Call, name: ResourceName, body: Json) -> Json:
    if body.get("quicOverride", "NONE") not in _QUIC:
        raise not_built(f"compute.targetHttpsProxies with quicOverride={body['quicOverride']}")
    fields = _web(world, call, name, body) | _tls(world, call, body)
    fields["quicOverride"] = body.get("quicOverride") or "NONE"
    return fields


def _stream(world: World, call: Call, _name: ResourceName, body: Json) -> Json:
    fields = {key: body[key] for key in ("description", "service") if body.get(key)}
    if not fields.get("service"):
        raise required_field("resource.service")
    service = find_part(world, call, "resource.service", fields["service"], "backendServices")
    fields["service"] = service.name.self_link
    if service.body["protocol"] not in {"TCP", "SSL"}:
        raise invalid_value(
            "resource.service", service.name.path,
            f"The target proxy does not support the backend service's protocol {service.body['protocol']}.",
        )  # fmt: skip
    fields["proxyHeader"] = body.get("proxyHeader") or "NONE"
    one_of("resource.proxyHeader", fields["proxyHeader"], ("NONE", "PROXY_V1"))
    return fields


def _ssl(world: World, call: Call, name: ResourceName, body: Json) -> Json:
    return _stream(world, call, name, body) | _tls(world, call, body)


def _tls(world: World, call: Call, body: Json) -> Json:
    """Read where certificates come from; a map wins where both are given."""
    found: Json = {}
    if body.get("certificateMap"):
        reference = certificate_map_of(str(body["certificateMap"]))
        if reference is None:
            raise invalid_value(
                "resource.certificateMap", body["certificateMap"],
                "Must be //certificatemanager.googleapis.com/projects/P/locations/global/certificateMaps/M.",
            )  # fmt: skip
        if world.find(reference) is None:
            raise ApiError(404, f"The resource '{reference.path}' was not found", "NOT_FOUND", "notFound")
        found["certificateMap"] = f"//certificatemanager.googleapis.com/{reference.path}"
    certificates: list[Any] = body.get("sslCertificates") or []
    if len(certificates) > _MOST_CERTIFICATES:
        raise invalid_value("resource.sslCertificates", len(certificates), f"At most {_MOST_CERTIFICATES}.")
    if certificates:
        field = "resource.sslCertificates"
        parts = [find_part(world, call, field, each, "sslCertificates") for each in certificates]
        found["sslCertificates"] = [each.name.self_link for each in parts]
    if not found:
        raise required_field("resource.sslCertificates")
    if body.get("sslPolicy"):
        policy = find_part(world, call, "resource.sslPolicy", body["sslPolicy"], "sslPolicies")
        found["sslPolicy"] = policy.name.self_link
    return found


_WEB = frozenset({"name", "description", "urlMap", "httpKeepAliveTimeoutSec"})
_STREAM = frozenset({"name", "description", "service", "proxyHeader"})
_TLS = frozenset({"certificateMap", "sslCertificates", "sslPolicy"})


def _kind(word: str, noun: str, fields: frozenset[str], complete: Complete, **more: Any) -> Kind:
    singular = f"target{word}Proxy"
    return Kind(
        f"target{word}Proxies",
        singular,
        noun,
        fields,
        complete,
        methods_global=f"target{word}Proxies",
        outputs=frozenset({"proxyBind"}),
        untested=frozenset({"targetHttpProxies", "targetHttpsProxies"}),
        **more,
    )


HTTP = _kind("Http", "target_http_proxy", _WEB, _web, changes=("patch",), fingerprinted=True)
HTTPS = _kind(
    "Https",
    "target_https_proxy",
    _WEB | _TLS | {"quicOverride"},
    _https,
    changes=("patch",),
    fingerprinted=True,
)
SSL = _kind("Ssl", "target_ssl_proxy", _STREAM | _TLS, _ssl, changes=(), aggregated=False)
TCP = _kind("Tcp", "target_tcp_proxy", _STREAM, _stream, changes=())

_SETTERS: tuple[tuple[Kind, str, dict[str, str]], ...] = (
    (HTTP, "setUrlMap", {"urlMap": "urlMap"}),
    (HTTPS, "setUrlMap", {"urlMap": "urlMap"}),
    (HTTPS, "setSslCertificates", {"sslCertificates": "sslCertificates"}),
    (HTTPS, "setSslPolicy", {"sslPolicy": "sslPolicy"}),
    (HTTPS, "setCertificateMap", {"certificateMap": "certificateMap"}),
    (HTTPS, "setQuicOverride", {"quicOverride": "quicOverride"}),
    (SSL, "setBackendService", {"service": "service"}),
    (SSL, "setSslCertificates", {"sslCertificates": "sslCertificates"}),
    (SSL, "setSslPolicy", {"sslPolicy": "sslPolicy"}),
    (SSL, "setCertificateMap", {"certificateMap": "certificateMap"}),
    (SSL, "setProxyHeader", {"proxyHeader": "proxyHeader"}),
    (TCP, "setBackendService", {"service": "service"}),
    (TCP, "setProxyHeader", {"proxyHeader": "proxyHeader"}),
)


def _permission(kind: Kind, verb: str) -> str:
    return f"compute.{kind.name}.{'update' if kind is TCP else verb}"


METHODS: dict[str, Method] = {
    **HTTP.methods(),
    **HTTPS.methods(),
    **SSL.methods(),
    **TCP.methods(),
    **{
        f"{kind.name}.{verb}": Write(kind.setter(verb, fields), _permission(kind, verb))
        for kind, verb, fields in _SETTERS
    },
}
