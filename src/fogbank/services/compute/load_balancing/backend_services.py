"""Backend services, global and regional: which groups serve, how they are chosen and how they are watched.

What is refused beside a scheme or a protocol is in
https://cloud.google.com/load-balancing/docs/backend-service.
"""

from typing import Any

from fogbank.errors import invalid_value, not_built, required_field
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, World
from fogbank.services.compute.bodies import number, one_of
from fogbank.services.compute.load_balancing.collection import Kind
from fogbank.services.compute.load_balancing.passthrough_services import PASSTHROUGH, passthrough_service
from fogbank.services.compute.load_balancing.references import find_part
from fogbank.services.contract import Call, Method

SCHEMES = ("EXTERNAL", "EXTERNAL_MANAGED", "INTERNAL", "INTERNAL_MANAGED")
_BUILT_SCHEMES = ("EXTERNAL", "EXTERNAL_MANAGED")
WEB = frozenset({"HTTP", "HTTPS", "HTTP2", "H2C"})
STREAMS = frozenset({"TCP", "SSL"})
_AFFINITIES = ("NONE", "CLIENT_IP", "GENERATED_COOKIE", "HTTP_COOKIE", "HEADER_FIELD")
_POLICIES = ("ROUND_ROBIN", "LEAST_REQUEST", "RING_HASH", "RANDOM", "ORIGINAL_DESTINATION", "MAGLEV")
_BUILT_POLICIES = ("ROUND_ROBIN", "LEAST_REQUEST", "RING_HASH", "RANDOM", "MAGLEV")
_MODES = ("RATE", "CONNECTION", "UTILIZATION")
_RATES = ("maxRate", "maxRatePerEndpoint", "maxRatePerInstance")
_CONNECTIONS = ("maxConnections", "maxConnectionsPerEndpoint", "maxConnectionsPerInstance")
_BACKEND = frozenset(
    {"group", "description", "balancingMode", "capacityScaler", "maxUtilization", *_RATES, *_CONNECTIONS}
)
_HARMLESS: dict[str, tuple[object, ...]] = {
    "enableCDN": (False,),
    "iap": ({"enabled": False},),
    "ipAddressSelectionPolicy": ("IPV4_ONLY", "IP_ADDRESS_SELECTION_POLICY_UNSPECIFIED"),
    "compressionMode": ("DISABLED",),
}
"""Fields that are accepted when they say no more than their absence does."""


def _complete(world: World, call: Call, name: ResourceName, body: Json) -> Json:
    for field, harmless in _HARMLESS.items():
        if body.get(field) and body[field] not in harmless:
            raise not_built(f"compute.backendServices with {field}")
    scheme = body.get("loadBalancingScheme") or "EXTERNAL"
    if scheme == "INTERNAL_SELF_MANAGED":
        raise not_built("compute.backendServices with loadBalancingScheme=INTERNAL_SELF_MANAGED")
    one_of("resource.loadBalancingScheme", scheme, SCHEMES)
    if name.region and scheme in PASSTHROUGH:
        return passthrough_service(world, call, name, body)
    if scheme not in _BUILT_SCHEMES or name.region:
        where = "regional " if name.region else ""
        raise not_built(f"{where}compute.backendServices with loadBalancingScheme={scheme}")
    if body.get("network"):
        raise invalid_value(
            "resource.network", body["network"], "Only a passthrough backend service has one."
        )
    protocol = body.get("protocol") or "HTTP"
    one_of("resource.protocol", protocol, sorted(WEB | STREAMS))
    fields: Json = {
        "description": body.get("description", ""),
        "loadBalancingScheme": scheme,
        "protocol": protocol,
        "portName": body.get("portName") or protocol.lower(),
        "sessionAffinity": body.get("sessionAffinity") or "NONE",
        "affinityCookieTtlSec": number(body.get("affinityCookieTtlSec") or 0),
        "connectionDraining": {
            "drainingTimeoutSec": number(
                (body.get("connectionDraining") or {}).get("drainingTimeoutSec") or 0
            )
        },
        "enableCDN": False,
        "backends": _backends(world, call, body, protocol),
    }
    serverless = any("/regions/" in each["group"] for each in fields["backends"])
    _watched(world, call, body, fields, serverless=serverless)
    _affinity(body, fields)
    _logging(body, fields)
    for each in ("customRequestHeaders", "customResponseHeaders"):
        if body.get(each):
            if protocol in STREAMS:
                raise invalid_value(
                    f"resource.{each}", body[each], f"A {protocol} backend service has no headers."
                )
            fields[each] = [_header(f"resource.{each}", text) for text in body[each]]
    return fields


def _watched(world: World, call: Call, body: Json, fields: Json, *, serverless: bool) -> None:
    """Read health checks and the timeout, which a group of serverless endpoints must not have."""
    checks = body.get("healthChecks") or []
    if serverless:
        if checks:
            raise invalid_value(
                "resource.healthChecks", checks,
                "A backend service cannot have a healthcheck with Serverless network endpoint group "
                "backends.",
            )  # fmt: skip
        if body.get("timeoutSec") not in {None, 30}:
            raise invalid_value(
                "resource.timeoutSec", body["timeoutSec"],
                "Timeout sec is not supported for a backend service with Serverless network endpoint groups.",
            )  # fmt: skip
    elif fields["backends"] and not checks:
        raise required_field("resource.healthChecks")
    if len(checks) > 1:
        raise invalid_value("resource.healthChecks", checks, "At most one health check is allowed.")
    if checks:
        found = [find_part(world, call, "resource.healthChecks", each, "healthChecks") for each in checks]
        fields["healthChecks"] = [each.name.self_link for each in found]
    fields["timeoutSec"] = number(body.get("timeoutSec") or 30)
    if not 1 <= fields["timeoutSec"] <= 2147483647:
        raise invalid_value("resource.timeoutSec", fields["timeoutSec"], "Must be between 1 and 2147483647.")


def _logging(body: Json, fields: Json) -> None:
    """Read whether requests are logged, and how many of them."""
    config = body.get("logConfig") or {}
    for key in config.keys() - {"enable", "sampleRate"}:
        if config[key] and config[key] != "EXCLUDE_ALL_OPTIONAL":
            raise not_built(f"compute.backendServices with logConfig.{key}")
    if config.get("enable") and fields["protocol"] in STREAMS:
        raise not_built("compute.backendServices with logConfig and a TCP or SSL proxy")
    rate = float(config.get("sampleRate", 1.0))
    if not 0 <= rate <= 1:
        raise invalid_value("resource.logConfig.sampleRate", rate, "Must be between 0.0 and 1.0.")
    if config:
        on = bool(config.get("enable"))
        fields["logConfig"] = {"enable": on, **({"sampleRate": rate} if on else {})}


def _affinity(body: Json, fields: Json) -> None:
    affinity, policy = fields["sessionAffinity"], body.get("localityLbPolicy")
    if affinity not in _AFFINITIES:
        raise not_built(f"compute.backendServices with sessionAffinity={affinity}")
    if policy:
        one_of("resource.localityLbPolicy", policy, _POLICIES)
        if policy not in _BUILT_POLICIES:
            raise not_built(f"compute.backendServices with localityLbPolicy={policy}")
        fields["localityLbPolicy"] = policy
    elif fields["loadBalancingScheme"] == "EXTERNAL_MANAGED" and fields["protocol"] in WEB:
        fields["localityLbPolicy"] = "ROUND_ROBIN"
    if hashing := body.get("consistentHash"):
        if policy not in {"RING_HASH", "MAGLEV"}:
            raise invalid_value(
                "resource.consistentHash", hashing, "localityLbPolicy must be RING_HASH or MAGLEV."
            )
        fields["consistentHash"] = hashing
    if affinity == "HEADER_FIELD" and not (body.get("consistentHash") or {}).get("httpHeaderName"):
        raise required_field("resource.consistentHash.httpHeaderName")
    if affinity == "HTTP_COOKIE" and not (body.get("consistentHash") or {}).get("httpCookie"):
        raise required_field("resource.consistentHash.httpCookie")


def _header(field: str, text: Any) -> str:
    name, colon, _ = str(text).partition(":")
    if not colon or not name.strip():
        raise invalid_value(field, text, "Must be of the form 'name:value'.")
    return str(text)


def _backends(world: World, call: Call, body: Json, protocol: str) -> list[Json]:
    found = [_backend(world, call, each, protocol) for each in body.get("backends") or ()]
    groups = [each["group"] for each in found]
    if twice := [each for each in groups if groups.count(each) > 1]:
        raise invalid_value("resource.backends", twice[0], "Duplicate backend group.")
    if len({"/regions/" in each for each in groups}) > 1:
        raise invalid_value(
            "resource.backends", groups, "Serverless and other network endpoint groups cannot be mixed."
        )
    return found


def _backend(world: World, call: Call, asked: Json, protocol: str) -> Json:
    for key, value in asked.items():
        if key not in _BACKEND and value:
            raise not_built(f"compute.backendServices with backends.{key}")
    if not asked.get("group"):
        raise required_field("resource.backends.group")
    field = "resource.backends[0].group"
    if "instanceGroups" in str(asked["group"]):
        raise not_built("compute.backendServices with an instance group")
    group = find_part(world, call, field, asked["group"], "networkEndpointGroups")
    if group.body["networkEndpointType"] == "GCE_VM_IP":
        raise invalid_value(
            field, asked["group"], "A group of type GCE_VM_IP needs a passthrough load balancer."
        )
    backend: Json = {"group": group.name.self_link}
    serverless = group.body["networkEndpointType"] == "SERVERLESS"
    mode = asked.get("balancingMode") or ("UTILIZATION" if serverless else None)
    if mode is None:
        mode = "RATE" if protocol in WEB else "CONNECTION"
    one_of("resource.backends[0].balancingMode", mode, _MODES)
    if not serverless:
        _check_mode(asked, mode, protocol)
    scaler = float(asked.get("capacityScaler", 1.0))
    if not 0 <= scaler <= 1:
        raise invalid_value("resource.backends[0].capacityScaler", scaler, "Must be between 0.0 and 1.0.")
    backend |= {"balancingMode": mode, "capacityScaler": scaler}
    for each in ("description", "maxUtilization", *_RATES, *_CONNECTIONS):
        if asked.get(each):
            backend[each] = asked[each]
    return backend


def _check_mode(asked: Json, mode: str, protocol: str) -> None:
    """Refuse a mode that a group of endpoints cannot have, or one without its limit."""
    field = "resource.backends[0].balancingMode"
    if mode == "UTILIZATION":
        raise invalid_value(
            field, mode, "Balancing mode UTILIZATION is not supported for network endpoint groups."
        )
    if (mode == "RATE") != (protocol in WEB):
        raise invalid_value(field, mode, f"Not supported for a backend service with protocol {protocol}.")
    limits = _RATES if mode == "RATE" else _CONNECTIONS
    if not any(asked.get(each) for each in limits):
        raise invalid_value(
            f"resource.backends[0].{limits[1]}",
            "",
            f"Balancing mode {mode} needs {limits[0]} or {limits[1]}.",
        )


KIND = Kind(
    "backendServices",
    "backendService",
    "backend_service",
    frozenset({
        "name", "description", "loadBalancingScheme", "protocol", "portName", "port", "sessionAffinity",
        "affinityCookieTtlSec", "connectionDraining", "backends", "healthChecks", "timeoutSec",
        "localityLbPolicy", "consistentHash", "customRequestHeaders", "customResponseHeaders", "network",
        "logConfig",
        *_HARMLESS,
    }),
    _complete,
    methods_global="backendServices",
    methods_regional="regionBackendServices",
    fingerprinted=True,
    outputs=frozenset({"usedBy"}),
)  # fmt: skip
METHODS: dict[str, Method] = {**KIND.methods()}
