"""getHealth: what health checks saw of the endpoints of one group of a backend service."""

from fogbank.errors import invalid_value, required_field
from fogbank.resources.backend_health import BackendHealth, ComputeBackend
from fogbank.resources.load_balancing import Endpoint, HealthCheck, endpoints_of, group_of
from fogbank.resources.names import COMPUTE_PREFIX, parse_compute_reference
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.load_balancing.backend_services import KIND
from fogbank.services.compute.names import project_of
from fogbank.services.contract import Call


async def get_health(backend: ComputeBackend, world: World, call: Call) -> Json:
    """Answer with the state of every endpoint of the group that the body names."""
    service = KIND.find(world, call)
    reference = (call.body or {}).get("group")
    if not reference:
        raise required_field("resource.group")
    try:
        name = parse_compute_reference(
            str(reference), "networkEndpointGroups", project_of(world, call), "global"
        )
    except ValueError:
        raise invalid_value("resource.group", reference, "The URL is malformed.") from None
    if name.self_link not in {each["group"] for each in service.body["backends"]}:
        raise invalid_value("resource.group", reference, "It is not a backend of the backend service.")
    group = world.get(group_of(name.self_link))
    check = _check(world, service)
    states = [_state(backend.health, group, check, each) for each in endpoints_of(group)] if check else []
    answer: Json = {"kind": "compute#backendServiceGroupHealth"}
    return answer | ({"healthStatus": states} if states else {})


def _check(world: World, service: Resource) -> HealthCheck | None:
    link = next(iter(service.body.get("healthChecks", ())), None)
    found = world.find(parse_compute_reference(link, "healthChecks", "", "global")) if link else None
    return HealthCheck.of(found) if found else None


def _state(health: BackendHealth, group: Resource, check: HealthCheck, endpoint: Endpoint) -> Json:
    state: Json = {
        "healthState": "HEALTHY" if health.is_healthy(check.name, endpoint) else "UNHEALTHY",
        "ipAddress": str(endpoint.address),
        **({"port": endpoint.port} if endpoint.port else {}),
    }
    if endpoint.instance:
        zone = group.name.segment("zones")
        path = f"projects/{group.name.project}/zones/{zone}/instances/{endpoint.instance}"
        state["instance"] = COMPUTE_PREFIX + path
    return state
