"""Cloud Run's v1 API, which gcloud speaks: services, and their configurations and routes.

The namespaced methods are called on a region's own host, so the region comes from there; the others have
it in the path, where ``-`` means all.
"""

from collections.abc import Mapping

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation
from fogbank.resources.projects import project_number
from fogbank.resources.run import SERVICES, service_name
from fogbank.resources.world import Json, PutOperation, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.contract import Call, Decision, List, Method, Read, Write
from fogbank.services.locations import list_locations
from fogbank.services.run import changes, convergence, objects
from fogbank.services.run.lists import listing
from fogbank.services.run.naming import policy_name
from fogbank.services.run.objects import API_VERSION, OPERATION_ID, bad_request
from fogbank.services.run.status import is_settled
from fogbank.services.segments import location_of, project_of, segments


def create(world: World, call: Call) -> Decision:
    """Make a service from a Knative object."""
    trial = is_dry_run(call)
    project = project_of(world, call)
    metadata = check_body(world, call.body, project)
    name = service_name(project, location_of(call), metadata.get("name", ""))
    written = changes.create(world, call, name, metadata, call.body.get("spec") or {})
    return _decision(call, written, "CreateService", trial=trial)


def replace_service(world: World, call: Call) -> Decision:
    """Replace a service, unless it has changed since the client read it."""
    trial = is_dry_run(call)
    found = find(world, call)
    metadata = check_body(world, call.body, found.name.project, found.name.id)
    check_version(found, metadata)
    written = changes.update(world, call, found, metadata, call.body.get("spec") or {})
    return _decision(call, written, "ReplaceService", trial=trial)


def is_dry_run(call: Call) -> bool:
    """Return whether a write is only to be checked and answered; another ``dryRun`` than ``all`` is a 400.

    "Supported values: `all`", says Google's description of the parameter.
    """
    value = str(call.parameters.get("dryRun") or "")
    if value not in {"", "all"}:
        raise bad_request(f"Invalid value for dryRun: '{value}'. Use 'all', or leave it out.")
    return value == "all"


def _decision(call: Call, written: changes.Written, rpc: str, *, trial: bool) -> Decision:
    service = written.service
    if trial or not written.changes:
        return Decision(answer=service.body)
    opened = PutOperation(_operation(call, service, rpc))
    return Decision((*written.changes, opened), answer=service.body, settles=service.name)


def _operation(call: Call, service: Resource, rpc: str) -> Operation:
    """Open the operation that the service names in an annotation: gcloud waits for it."""
    name = service.name
    identifier = service.body["metadata"]["annotations"][OPERATION_ID]
    where = f"projects/{name.project}/locations/{name.region}"
    opened = Operation(
        name=ResourceName("run.operations", f"{where}/operations/{identifier}"),
        id=call.new_id(),
        type=f"{convergence.V1}Services.{rpc}",
        target=name,
        target_id=service.id,
        user=call.principal,
        inserted=call.now,
    )
    if is_settled(service.body):
        return opened.done(call.now, objects.service_message_v1(service.body))
    return opened


def check_body(world: World, body: Json, project: str, identifier: str | None = None) -> Json:
    """Return an object's metadata; refuse another namespace than ``project`` or another name."""
    metadata: Json = body.get("metadata") or {}
    namespace, name = metadata.get("namespace"), metadata.get("name")
    if namespace not in {None, "", project, project_number(world, project)}:
        raise bad_request(f"metadata.namespace '{namespace}' must be the project '{project}'.")
    if identifier is not None and name not in {None, "", identifier}:
        raise bad_request(f"metadata.name '{name}' must be '{identifier}'.")
    return metadata


def check_version(found: Resource, metadata: Json) -> None:
    """Refuse (409) to replace an object that has changed since the client read it."""
    current = found.body["metadata"]["resourceVersion"]
    known = metadata.get("resourceVersion")
    if known and known != current:
        raise ApiError(
            409,
            f"Conflict for resource '{found.name.id}': version '{known}' was specified but current version "
            f"is '{current}'.",
            "ABORTED",
            "aborted",
        )


def delete(world: World, call: Call) -> Decision:
    """Delete a service with everything in it."""
    trial, name = is_dry_run(call), find(world, call).name
    gone = (*convergence.abandoned(world, name, call.now), *changes.delete(world, name))
    return Decision(() if trial else gone, answer=deleted(name, "services"))


def deleted(name: ResourceName, kind: str, version: str = API_VERSION) -> Json:
    """Answer a delete as Knative does; ``version`` is the object's apiVersion."""
    details = {"name": name.id, "kind": kind, "group": version.partition("/")[0]}
    return {"status": "Success", "details": details}


def find(world: World, call: Call, label: str = "services") -> Resource:
    """Find the service that the call's path names; Google's 404 otherwise."""
    project, location = project_of(world, call), location_of(call)
    identifier = segments(call)[label]
    found = world.find(service_name(project, location, identifier))
    if found is None:
        raise missing("SERVICE", identifier, location, project)
    return found


def missing(kind: str, identifier: str, location: str, project: str) -> ApiError:
    """Refuse what does not exist."""
    return ApiError(
        404,
        f"Resource '{identifier}' of kind '{kind}' in region '{location}' in project '{project}' does not "
        "exist.",
        "NOT_FOUND",
        "notFound",
    )


def get(world: World, call: Call) -> Json:
    """Show a service."""
    return find(world, call).body


def get_configuration(world: World, call: Call) -> Json:
    """Show a service's configuration."""
    return objects.configuration(find(world, call, "configurations").body)


def get_route(world: World, call: Call) -> Json:
    """Show a service's route."""
    return objects.route(find(world, call, "routes").body)


def guarded(world: World, call: Call) -> ResourceName:
    """Name the policy of a service; permissions may be tested before it exists, as gcloud does."""
    name = service_name(project_of(world, call), location_of(call), segments(call)["services"])
    if not call.method.endswith("testIamPermissions"):
        find(world, call)
    return policy_name(name)


_OBJECTS: Mapping[str, Method] = {
    "services.create": Write(create, "run.services.create"),
    "services.get": Read(get, "run.services.get"),
    "services.list": listing(SERVICES, "Service", "run.services.list"),
    "services.replaceService": Write(replace_service, "run.services.update"),
    "services.delete": Write(delete, "run.services.delete"),
    "configurations.get": Read(get_configuration, "run.configurations.get"),
    "configurations.list": listing(
        SERVICES, "Configuration", "run.configurations.list", objects.configuration
    ),
    "routes.get": Read(get_route, "run.routes.get"),
    "routes.list": listing(SERVICES, "Route", "run.routes.list", objects.route),
}

METHODS: Mapping[str, Method] = {
    **{
        f"v1.{parent}.{method}": handler
        for parent in ("namespaces", "projects.locations")
        for method, handler in _OBJECTS.items()
    },
    **iam_methods("v1.projects.locations.services.", guarded, "run.services"),
    "v1.projects.locations.list": List(list_locations, "locations", permission="run.locations.list"),
}
"""The v1 methods about services, and where they can be."""
