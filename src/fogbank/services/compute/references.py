"""References in bodies: to something global or of the call's region, in any of Google's forms."""

from fogbank.errors import invalid_value
from fogbank.resources.authorization import denied
from fogbank.resources.names import ResourceName, Scope, parse_compute_reference
from fogbank.resources.shared_vpc import may_share
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.decisions import policy_name
from fogbank.services.compute.names import by_id, project_of, region_of
from fogbank.services.contract import Call

_TO_REFER = {
    "addresses": "compute.addresses.use",
    "networks": "compute.networks.updatePolicy",
    "subnetworks": "compute.subnetworks.use",
}
_REGIONAL = frozenset({"subnetworks", "addresses"})
"""What it takes to refer to something (Compute Engine's IAM documentation: "permissions required" of each
method). Subnetworks, routers, routes and firewall rules change their network's policy."""


def reference(field: str, value: object, kind: str, project: str, region: str | None = None) -> ResourceName:
    """Read a reference in a body, in any of Google's forms: to something global, or of ``region``."""
    scope: Scope = "regions" if region else "global"
    try:
        return parse_compute_reference(str(value), kind, project, scope, region)
    except (ValueError, IndexError):
        raise invalid_value(
            field, value, f"The URL is malformed: it must name one of the {kind} of a project."
        ) from None


def find_referred(world: World, field: str, value: object, kind: str, call: Call) -> Resource:
    """Find the resource that a body refers to: global or in the call's region; 404 when there is none.

    It must be in the call's project and in no other region; a subnetwork may be one of the project's host
    (behaviour/vpc.md#shared-vpc). The caller must be allowed to use it where it is.
    """
    region = region_of(call) if kind in _REGIONAL else None
    project = project_of(world, call)
    name = by_id(world, reference(field, value, kind, project, region))
    if name.project != project and not (kind == "subnetworks" and may_share(world, name.project, project)):
        raise invalid_value(field, name.path, "Cross project referencing is not allowed for this resource.")
    if name.region != region:
        wanted = f"in region '{region}'" if region else "global"
        raise invalid_value(field, name.path, f"The resource must be {wanted}.")
    permission = _TO_REFER.get(kind, "")
    beside = policy_name(name)
    if permission and not call.access.allows(world, call.principal, permission, name.project, beside):
        raise denied(permission, name.path, service="compute")
    return world.get(name)


def same_reference(world: World, resource: Resource, body: Json, field: str, kind: str) -> None:
    """Refuse a patch that makes ``field`` refer to something else."""
    if field in body:
        now = resource.body[field]
        new = by_id(world, reference(f"resource.{field}", body[field], kind, resource.name.project))
        if new.self_link != now:
            raise invalid_value(f"resource.{field}", body[field], "The field cannot be changed.")
