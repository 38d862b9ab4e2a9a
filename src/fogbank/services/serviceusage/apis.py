"""Enabling and disabling APIs: a mark in the project, and an operation that is over at once.

Enabling what is enabled answers with an operation that every caller shares, as Google does
(behaviour/api.md#enabling-apis).
"""

from collections.abc import Iterable
from dataclasses import replace

from fogbank.errors import ApiError
from fogbank.resources.apis import Catalogue, api_name
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, longrunning_operation
from fogbank.resources.projects import project_number
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.contract import Call, Decision
from fogbank.services.segments import project_of, segments

_MESSAGES = "type.googleapis.com/google.api.serviceusage.v1."
_NOTHING_TO_DO = ResourceName("serviceusage.operations", "operations/noop.DONE_OPERATION")
_MOST_AT_ONCE = {"batchGet": 30, "batchEnable": 20}


def get(world: World, call: Call) -> Json:
    """Show an API and whether the project uses it."""
    return _show(world, call.apis, project_of(world, call), known(call, segments(call)["services"]))


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the APIs, all or those in one state."""
    project = project_of(world, call)
    wanted = str(call.parameters.get("filter") or "").replace(" ", "")
    if wanted not in {"", "state:ENABLED", "state:DISABLED"}:
        raise _bad_request(f"The filter '{wanted}' is not one of state:ENABLED and state:DISABLED.")
    shown = (_show(world, call.apis, project, api) for api in call.apis.titles)
    return [api for api in shown if not wanted or api["state"] == wanted.removeprefix("state:")]


def batch_get(world: World, call: Call) -> Json:
    """Show several APIs."""
    project, names = project_of(world, call), call.parameters.get("names") or []
    names = [names] if isinstance(names, str) else names
    _check_count(names, "batchGet")
    return {
        "services": [_show(world, call.apis, project, known(call, name.rpartition("/")[2])) for name in names]
    }


def enable(world: World, call: Call) -> Decision:
    """Enable one API."""
    project, api = project_of(world, call), known(call, segments(call)["services"])
    if call.apis.state(world, project, api) == "ENABLED":
        return _nothing_to_do(world, call, project, api)
    decided = (Put(_resource(call, project, api, "ENABLED")),)
    response = {
        "@type": f"{_MESSAGES}EnableServiceResponse",
        "service": _show(world.after(decided), call.apis, project, api),
    }
    return Decision(decided, operation=operation_of(call, project, api, "EnableService", response))


def _nothing_to_do(world: World, call: Call, project: str, api: str) -> Decision:
    response = {
        "@type": f"{_MESSAGES}EnableServiceResponse",
        "service": _show(world, call.apis, project, api),
    }
    operation = operation_of(call, project, api, "EnableService", response)
    return Decision(operation=replace(operation, name=_NOTHING_TO_DO))


def disable(world: World, call: Call) -> Decision:
    """Disable one API; what it has made stays."""
    project, api = project_of(world, call), known(call, segments(call)["services"])
    if call.apis.state(world, project, api) == "DISABLED":
        raise ApiError(
            400,
            f"Service {api} is not enabled on project {project}.",
            "FAILED_PRECONDITION",
            "failedPrecondition",
        )
    decided = (Put(_resource(call, project, api, "DISABLED")),)
    response = {
        "@type": f"{_MESSAGES}DisableServiceResponse",
        "service": _show(world.after(decided), call.apis, project, api),
    }
    return Decision(decided, operation=operation_of(call, project, api, "DisableService", response))


def batch_enable(world: World, call: Call) -> Decision:
    """Enable several APIs, or none when one of them is unknown."""
    project = project_of(world, call)
    apis = [known(call, str(api)) for api in call.body.get("serviceIds") or ()]
    _check_count(apis, "batchEnable")
    missing = [api for api in apis if call.apis.state(world, project, api) == "DISABLED"]
    decided = tuple(Put(_resource(call, project, api, "ENABLED")) for api in missing)
    after = world.after(decided)
    response = {
        "@type": f"{_MESSAGES}BatchEnableServicesResponse",
        "services": [_show(after, call.apis, project, api) for api in apis],
    }
    operation = operation_of(call, project, apis[0], "BatchEnableServices", response)
    return Decision(decided, operation=operation if missing else replace(operation, name=_NOTHING_TO_DO))


def operation_of(
    call: Call, project: str, api: str, rpc: str, response: Json, *, version: str = "v1"
) -> Operation:
    """Make an operation on an API's use that is over at once."""
    return longrunning_operation(
        "serviceusage",
        None,
        f"google.api.serviceusage.{version}.ServiceUsage.{rpc}",
        api_name(project, api),
        now=call.now,
        new_id=call.new_id,
        user=call.principal,
        project=project,
        metadata_type="google.protobuf.Empty",
        metadata={"value": {}},
        response=response,
        done=True,
    )


def _resource(call: Call, project: str, api: str, chosen: str) -> Resource:
    return Resource(api_name(project, api), call.new_id(), call.now, {"state": chosen})


def _show(world: World, apis: Catalogue, project: str, api: str) -> Json:
    parent = f"projects/{project_number(world, project)}"
    return {
        "name": f"{parent}/services/{api}",
        "parent": parent,
        "config": {"name": api, "title": apis.titles[api]},
        "state": apis.state(world, project, api),
    }


def known(call: Call, api: str) -> str:
    """Check that there is an API of this name."""
    if api not in call.apis.titles:
        raise ApiError(
            403, f"Not found or permission denied for service(s): {api}.", "PERMISSION_DENIED", "forbidden"
        )
    return api


def _check_count(names: list[str], method: str) -> None:
    if not 1 <= len(names) <= _MOST_AT_ONCE[method]:
        raise _bad_request(f"{method} takes 1 to {_MOST_AT_ONCE[method]} services, not {len(names)}.")


def _bad_request(message: str) -> ApiError:
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")
