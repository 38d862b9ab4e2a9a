"""Backend services of passthrough load balancers: regional, for packets and not for requests.

https://cloud.google.com/load-balancing/docs/passthrough-network-load-balancer
"""

from fogbank.errors import invalid_value, not_built, required_field
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, World
from fogbank.services.compute.bodies import number, one_of
from fogbank.services.compute.load_balancing.references import find_part
from fogbank.services.compute.references import find_referred
from fogbank.services.contract import Call

PASSTHROUGH = ("EXTERNAL", "INTERNAL")
PROTOCOLS = ("TCP", "UDP", "UNSPECIFIED")
_AFFINITIES = ("NONE", "CLIENT_IP_PORT_PROTO")
"""Flows are spread by the hash of addresses, ports and protocol."""


def passthrough_service(world: World, call: Call, _name: ResourceName, body: Json) -> Json:
    """Check the body of a regional backend service, and complete it."""
    scheme = body.get("loadBalancingScheme") or "EXTERNAL"
    protocol = body.get("protocol") or "TCP"
    one_of("resource.protocol", protocol, PROTOCOLS)
    affinity = body.get("sessionAffinity") or "NONE"
    if affinity not in _AFFINITIES:
        raise not_built(f"regional compute.backendServices with sessionAffinity={affinity}")
    if (body.get("logConfig") or {}).get("enable"):
        raise not_built("regional compute.backendServices with logConfig")
    for field in ("localityLbPolicy", "consistentHash", "customRequestHeaders", "customResponseHeaders"):
        if body.get(field):
            raise not_built(f"regional compute.backendServices with {field}")
    checks = [
        find_part(world, call, "resource.healthChecks", each, "healthChecks").name.self_link
        for each in body.get("healthChecks") or ()
    ]
    if len(checks) != 1:
        if not checks:
            raise required_field("resource.healthChecks")
        raise invalid_value("resource.healthChecks", checks, "Exactly one health check is needed.")
    draining = (body.get("connectionDraining") or {}).get("drainingTimeoutSec") or 0
    fields: Json = {
        "description": body.get("description", ""),
        "loadBalancingScheme": scheme,
        "protocol": protocol,
        "sessionAffinity": affinity,
        "timeoutSec": number(body.get("timeoutSec") or 30),
        "connectionDraining": {"drainingTimeoutSec": number(draining)},
        "healthChecks": checks,
        "backends": [_backend(world, call, each) for each in body.get("backends") or ()],
    }
    if body.get("network"):
        if scheme != "INTERNAL":
            raise invalid_value("resource.network", body["network"], "Only an INTERNAL one has a network.")
        network = find_referred(world, "resource.network", body["network"], "networks", call)
        fields["network"] = network.name.self_link
    return fields


def _backend(world: World, call: Call, asked: Json) -> Json:
    for key, value in asked.items():
        if key not in {"group", "description", "balancingMode", "failover"} and value:
            raise not_built(f"regional compute.backendServices with backends.{key}")
    if asked.get("failover"):
        raise not_built("regional compute.backendServices with backends.failover")
    if not asked.get("group"):
        raise required_field("resource.backends[0].group")
    field = "resource.backends[0].group"
    if "instanceGroups" in str(asked["group"]):
        raise not_built("compute.backendServices with an instance group")
    group = find_part(world, call, field, asked["group"], "networkEndpointGroups", anywhere=True)
    if group.body["networkEndpointType"] != "GCE_VM_IP":
        raise invalid_value(
            field, asked["group"], "A passthrough load balancer needs a group of type GCE_VM_IP."
        )
    mode = asked.get("balancingMode") or "CONNECTION"
    one_of("resource.backends[0].balancingMode", mode, ("CONNECTION",))
    return {"group": group.name.self_link, "balancingMode": mode}
