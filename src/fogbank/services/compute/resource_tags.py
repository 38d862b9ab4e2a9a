"""Tags that compute binds to a resource as it is made: ``params.resourceManagerTags``.

The field is never shown again; the bindings are (https://cloud.google.com/compute/docs/tag-resources).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from fogbank.resources.tags import tagged, values_asked
from fogbank.resources.world import Json, World
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
        return tagged(world, values, decision, call.new_id)

    return decide


def _without_tags(body: Json, params: Json) -> Json:
    rest = {key: value for key, value in params.items() if key != _FIELD}
    return {
        **{key: value for key, value in body.items() if key != "params"},
        **({"params": rest} if rest else {}),
    }
