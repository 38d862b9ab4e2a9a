"""Tags that compute binds to a resource as it is made: ``params.resourceManagerTags``.

The field is never shown again; the bindings are (https://cloud.google.com/compute/docs/tag-resources).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from fogbank.resources.tags import bound_at_birth, values_asked
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
        values = values_asked(world, call.access, call.principal, params[_FIELD])
        decision = insert(world, replace(call, body=_without_tags(call.body, params)))
        made = _made(decision)
        bound = bound_at_birth(world, made, [(each, call.new_id()) for each in values])
        return replace(decision, changes=(*decision.changes, *bound))

    return decide


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
