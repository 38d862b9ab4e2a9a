"""Tags that compute binds to a resource as it is made: ``params.resourceManagerTags``.

The field is never shown again; the bindings are (https://cloud.google.com/compute/docs/tag-resources).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from fogbank.errors import ApiError
from fogbank.resources.tags import bound_at_birth, check_binding, value_for
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.contract import Call, Decision, Method, Write

_FIELD = "resourceManagerTags"


def with_tags(methods: Mapping[str, Method], kinds: Iterable[str]) -> dict[str, Method]:
    """Have the inserts of ``kinds`` among ``methods`` bind the tags that a body asks for."""
    wrapped = dict(methods)
    for kind in kinds:
        insert = wrapped[f"{kind}.insert"]
        assert isinstance(insert, Write)
        wrapped[f"{kind}.insert"] = replace(insert, decide=_tagging(insert.decide))
    return wrapped


def _tagging(insert: Callable[[World, Call], Decision]) -> Callable[[World, Call], Decision]:
    def decide(world: World, call: Call) -> Decision:
        params: Json = call.body.get("params") or {}
        if not params.get(_FIELD):
            return insert(world, call)
        values = _values(world, call, params[_FIELD])
        decision = insert(world, replace(call, body=_without_tags(call.body, params)))
        made = _made(decision)
        bound = bound_at_birth(world, made, [(each, call.new_id()) for each in values])
        return replace(decision, changes=(*decision.changes, *bound))

    return decide


def _values(world: World, call: Call, tags: Mapping[str, Any]) -> list[Resource]:
    """Find the values asked for; refuse those that the caller may not bind, and two of one key."""
    values = [value_for(world, key, str(value)) for key, value in tags.items()]
    for each in values:
        check_binding(world, call.access, call.principal, each)
    if len({each.body["parent"] for each in values}) < len(values):
        message = "A resource has at most one value of each tag key."
        raise ApiError(400, message, "INVALID_ARGUMENT", "invalid")
    return values


def _without_tags(body: Json, params: Json) -> Json:
    rest = {key: value for key, value in params.items() if key != _FIELD}
    return {
        **{key: value for key, value in body.items() if key != "params"},
        **({"params": rest} if rest else {}),
    }


def _made(decision: Decision) -> Resource:
    """Return the resource that an insert makes: the one that its operation is about."""
    assert decision.operation is not None
    target = decision.operation.target
    return next(
        each.resource for each in decision.changes if isinstance(each, Put) and each.resource.name == target
    )
