"""Health checks, global and regional: what is asked of a backend, how often, and when it counts.

Defaults and limits: behaviour/load-balancing.md#health-checks.
"""

from fogbank.errors import invalid_value, not_built, required_field
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, World
from fogbank.services.compute.bodies import number, one_of
from fogbank.services.compute.load_balancing.collection import Kind
from fogbank.services.contract import Call

TYPES = {
    "HTTP": ("httpHealthCheck", 80),
    "HTTPS": ("httpsHealthCheck", 443),
    "HTTP2": ("http2HealthCheck", 443),
    "TCP": ("tcpHealthCheck", 80),
    "SSL": ("sslHealthCheck", 443),
    "GRPC": ("grpcHealthCheck", 0),
}
"""The field that holds the details of each type, and its default port."""

_WEB = frozenset({"HTTP", "HTTPS", "HTTP2"})
_TIMES = ("checkIntervalSec", "timeoutSec")
_THRESHOLDS = ("healthyThreshold", "unhealthyThreshold")
_DEFAULTS = {"checkIntervalSec": 5, "timeoutSec": 5, "healthyThreshold": 2, "unhealthyThreshold": 2}
_PORTS = ("USE_FIXED_PORT", "USE_NAMED_PORT", "USE_SERVING_PORT")
_PROXY_HEADERS = ("NONE", "PROXY_V1")


def _complete(_world: World, _call: Call, _name: ResourceName, body: Json) -> Json:
    kind = body.get("type")
    if not kind:
        raise required_field("resource.type")
    if kind == "GRPC_WITH_TLS":
        raise not_built("compute.healthChecks with type=GRPC_WITH_TLS")
    one_of("resource.type", kind, TYPES)
    numbers = {field: number(body.get(field) or default) for field, default in _DEFAULTS.items()}
    _check_numbers(numbers)
    field, port = TYPES[kind]
    if others := [each for each, _ in TYPES.values() if each != field and body.get(each)]:
        raise invalid_value(f"resource.{others[0]}", body[others[0]], f"The health check's type is {kind}.")
    if (body.get("logConfig") or {}).get("enable"):
        raise not_built("compute.healthChecks with logConfig")
    return {
        "description": body.get("description", ""),
        **numbers,
        "type": kind,
        field: _details(kind, f"resource.{field}", dict(body.get(field) or {}), port),
        "logConfig": {"enable": False},
    }


def _check_numbers(numbers: Json) -> None:
    for field in _TIMES:
        if not 1 <= numbers[field] <= 300:
            raise invalid_value(
                f"resource.{field}", numbers[field],
                "Must be greater than or equal to 1 and less than or equal to 300.",
            )  # fmt: skip
    for field in _THRESHOLDS:
        if not 1 <= numbers[field] <= 10:
            raise invalid_value(
                f"resource.{field}", numbers[field],
                "Must be greater than or equal to 1 and less than or equal to 10.",
            )  # fmt: skip
    if numbers["timeoutSec"] > numbers["checkIntervalSec"]:
        raise invalid_value(
            "resource.timeoutSec", numbers["timeoutSec"],
            "Timeout must be less than or equal to the check interval.",
        )  # fmt: skip


def _details(kind: str, field: str, details: Json, port: int) -> Json:
    chosen = details.get("portSpecification")
    if chosen:
        one_of(f"{field}.portSpecification", chosen, _PORTS)
    if chosen == "USE_NAMED_PORT" or details.get("portName"):
        raise not_built(f"compute.healthChecks with {field.partition('.')[2]}.portName")
    if chosen == "USE_SERVING_PORT":
        if details.get("port"):
            raise invalid_value(f"{field}.port", details["port"], "The serving port is used instead.")
    elif port or details.get("port"):
        details["port"] = number(details.get("port") or port)
        if not 1 <= details["port"] <= 65535:
            raise invalid_value(f"{field}.port", details["port"], "Must be between 1 and 65535.")
    else:
        raise required_field(f"{field}.port")
    if kind == "GRPC":
        return details
    one_of(f"{field}.proxyHeader", details.setdefault("proxyHeader", "NONE"), _PROXY_HEADERS)
    if kind in _WEB:
        path = details.setdefault("requestPath", "/")
        if not path.startswith("/"):
            raise invalid_value(f"{field}.requestPath", path, "Must begin with /.")
    return details


KIND = Kind(
    "healthChecks",
    "healthCheck",
    "health_check",
    frozenset(
        {"name", "description", *_DEFAULTS, "type", *(field for field, _ in TYPES.values()), "logConfig"}
    ),
    _complete,
    methods_global="healthChecks",
    methods_regional="regionHealthChecks",
)
METHODS = KIND.methods()
