"""Refusals in the words of v2: the checks that both APIs share name Knative's fields.

Every name of a field or an annotation becomes that of the v2 field, in the message and in its violations.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fogbank.errors import ApiError
from fogbank.resources.decisions import Decision
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.run.objects import bad_fields
from fogbank.services.run.v2 import words

_FIELDS: Mapping[str, str] = {
    "spec.template.spec.containerConcurrency": "template.maxInstanceRequestConcurrency",
    "spec.template.spec.timeoutSeconds": "template.timeout",
    "spec.template.spec.serviceAccountName": "template.serviceAccount",
    "spec.template.spec.": "template.",
    "spec.template.metadata.": "template.",
    "spec.traffic": "traffic",
    "metadata.name": "service_id",
    **{word.annotation: ".".join(word.path) for word in words.SERVICE},
    **{word.annotation: f"template.{'.'.join(word.path)}" for word in words.TEMPLATE},
    **{word.annotation: f"template.containers.resources.{'.'.join(word.path)}" for word in words.CONTAINER},
}
_VALUES: Mapping[str, str] = {
    "private-ranges-only or all-traffic": "PRIVATE_RANGES_ONLY or ALL_TRAFFIC",
}

_ONE_NEEDED = "one and only one of connector and network_interfaces must be set."


Decide = Callable[[World, Call], Decision]


def translating(fields: Mapping[str, str]) -> Callable[[Decide], Decide]:
    """Make what has the refusals of a write name the fields of v2: ``fields`` has v1's names and those."""
    names = re.compile("|".join(map(re.escape, sorted(fields, key=len, reverse=True))))
    words_of = _Words(fields, names)

    def wrap(decide: Decide) -> Decide:
        def translated(world: World, call: Call) -> Decision:
            try:
                return decide(world, call)
            except ApiError as error:
                raise words_of.translate(error) from error

        return translated

    return wrap


@dataclass(frozen=True, slots=True)
class _Words:
    """v1's names of fields, the v2 name of each, and what finds them."""

    fields: Mapping[str, str]
    names: re.Pattern[str]

    def translate(self, error: ApiError) -> ApiError:
        """Write a refusal with the names that v2 has; those that it writes itself stay as they are."""
        message = self._text(error.message)
        named = self.names.search(error.message)
        details = tuple(self._detail(detail) for detail in error.details)
        if not details and named and error.status == "INVALID_ARGUMENT":
            field = self.fields[named[0]]
            details = (bad_fields({"field": field, "description": message.removeprefix(f"{field}: ")}),)
        return replace(error, message=message, details=details)

    def _text(self, text: str) -> str:
        text = self.names.sub(lambda found: self.fields[found[0]], text)
        for old, new in _VALUES.items():
            text = text.replace(old, new)
        return text

    def _detail(self, detail: Mapping[str, object]) -> Json:
        violations = detail.get("fieldViolations")
        if not isinstance(violations, list):
            return dict(detail)
        translated = [{key: self._text(value) for key, value in each.items()} for each in violations]
        return {**detail, "fieldViolations": translated}


speaks_v2 = translating(_FIELDS)
"""Have the refusals of a write to a service name the fields of v2."""


def check_vpc_access(body: Json, rpc: str, where: str = "") -> None:
    """Refuse a ``vpcAccess`` that a client wrote with no way to a network, or with two (400).

    v1 keeps an egress annotation without a connector, which YAML files may have: there it means nothing.
    ``rpc`` is ``CreateService`` or ``UpdateService``; ``where`` names another template than a service's.
    """
    access: Json = (body.get("template") or {}).get("vpcAccess") or {}
    ways = [key for key in ("connector", "networkInterfaces") if access.get(key)]
    if not access or len(ways) == 1:
        return
    field = f"{where or f'{rpc}Request.service.template'}.vpc_access.connector"
    raise ApiError(
        400,
        f"Violation in {field}: {_ONE_NEEDED}",
        "INVALID_ARGUMENT",
        "badRequest",
        (bad_fields({"field": field, "description": _ONE_NEEDED}),),
    )
