"""Plan files: what ``terraform show -json`` says about a plan, as changes of resources with their references.

What an apply will know and the plan does not (the id of a network that is yet to be made) is found from the
configuration: an expression that refers to another resource stands for its path, which follows from its
name. The surprising fact: nested blocks that Terraform makes by ``dynamic`` have no expressions in the plan,
so what is unknown in them stays unknown.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fogbank.errors import OperatorError
from fogbank.resources.world import Json

_PROVIDERS = ("hashicorp/google", "hashicorp/google-beta")
_PATHS = frozenset({"id", "self_link", ""})
"""The attributes that stand for a resource's path; "" is the resource itself, as in ``x[*].self_link``."""

PathOf = Callable[[str, Json], str | None]
"""The path of a resource, from its type and attributes; None when the type is not read."""


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """What becomes of the resource ``address``: ``after`` is None when it goes, ``before`` when it comes.

    ``unknown`` are attributes that only the apply will tell, though the configuration sets them.
    """

    address: str
    type: str
    actions: tuple[str, ...]
    before: Json | None
    after: Json | None
    unknown: tuple[str, ...] = ()


def read_plan(plan: Json, path_of: PathOf) -> tuple[PlannedChange, ...]:
    """Read the managed resources of Google's providers that a plan changes; OperatorError when it is none."""
    if "resource_changes" not in plan or "configuration" not in plan:
        raise OperatorError("This is no plan in JSON. Write one: terraform show -json PLAN > PLAN.json")
    resolver = _Resolver(plan, path_of)
    return tuple(
        resolver.read(change)
        for change in plan["resource_changes"]
        if change["mode"] == "managed"
        and change.get("provider_name", "").endswith(_PROVIDERS)
        and set(change["change"]["actions"]) - {"no-op", "read"}
    )


@dataclass(frozen=True, slots=True)
class _Scope:
    """A module: the prefix of its resources' addresses, its configuration, and the call that made it."""

    prefix: str
    module: Json
    call: Json = field(default_factory=dict)
    outer: "_Scope | None" = None


class _Resolver:
    def __init__(self, plan: Json, path_of: PathOf) -> None:
        self._path_of = path_of
        self._root = _Scope("", plan["configuration"].get("root_module", {}))
        self._known: dict[str, Json] = {each["address"]: each for each in plan["resource_changes"]}

    def read(self, change: Json) -> PlannedChange:
        what, scope = change["change"], self._scope(change)
        unknown: list[str] = []
        after = what["after"]
        if after is not None:
            expressions = _expressions(scope, change)
            after = self._merged(
                after, what.get("after_unknown"), expressions, _Place(scope, change, unknown)
            )
        return PlannedChange(
            change["address"], change["type"], tuple(what["actions"]), what["before"], after, tuple(unknown)
        )

    def _scope(self, change: Json) -> _Scope:
        scope = self._root
        for name in _modules(change.get("module_address", "")):
            scope = self._inner(scope, name)
        return scope

    def _inner(self, scope: _Scope, name: str) -> _Scope:
        call = scope.module.get("module_calls", {}).get(name.partition("[")[0], {})
        return _Scope(f"{scope.prefix}module.{name}.", call.get("module", {}), call, scope)

    def _merged(self, value: Any, unknown: Any, expression: Any, place: "_Place") -> Any:
        """Fill in what is unknown in ``value`` by what ``expression`` refers to."""
        if unknown is True:
            return self._resolved(expression, place)
        if isinstance(unknown, dict) and isinstance(value, dict):
            filled = dict(value)
            for key, inner in unknown.items():
                below = expression.get(key) if isinstance(expression, dict) else None
                filled[key] = self._merged(value.get(key), inner, below, place.at(key))
            return filled
        if isinstance(unknown, list) and isinstance(value, list):
            blocks = expression if isinstance(expression, list) else []
            return [
                self._merged(each, inner, _block(blocks, number, expression), place)
                for number, (each, inner) in enumerate(zip(value, unknown, strict=False))
            ]
        return value

    def _resolved(self, expression: Any, place: "_Place") -> Any:
        references = expression.get("references") if isinstance(expression, dict) else None
        if not references:
            return None  # not configured: the API decides
        found = list(self._referred(references, place.scope, place.change))
        if not found:
            place.unknown.append(place.name)
            return None
        return found if len(found) > 1 or place.name in _LISTS else found[0]

    def _referred(self, references: list[str], scope: _Scope, asking: Json) -> Iterator[str]:
        """List the paths of the resources that an expression refers to."""
        for reference in references:
            paths = list(self._paths(reference, scope, asking))
            if paths:
                yield from paths
                return

    def _paths(self, reference: str, scope: _Scope, asking: Json) -> Iterator[str]:
        head, _, rest = reference.partition(".")
        if head == "var" and scope.outer is not None:
            given = scope.call.get("expressions", {}).get(rest.partition(".")[0], {})
            yield from self._referred(given.get("references", []), scope.outer, asking)
            return
        if head == "module":
            name, _, output = rest.partition(".")
            inner = self._inner(scope, name)
            told = inner.module.get("outputs", {}).get(output.partition(".")[0], {})
            yield from self._referred(told.get("expression", {}).get("references", []), inner, asking)
            return
        kind, _, rest = reference.partition(".")
        name, attribute = _split_attribute(rest)
        if attribute in _PATHS:
            yield from self._paths_of(f"{scope.prefix}{kind}.{name}", asking)

    def _paths_of(self, address: str, asking: Json) -> Iterator[str]:
        """List the paths of a resource, or of all its instances; one with the index of who asks is alone."""
        found = [
            known for key, known in self._known.items() if key == address or key.startswith(f"{address}[")
        ]
        same = [each for each in found if "index" in asking and each.get("index") == asking["index"]]
        for each in same or found:
            attributes = each["change"]["after"] or each["change"]["before"] or {}
            if path := self._path_of(each["type"], attributes):
                yield path


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a change the resolver is; ``unknown`` collects what could not be resolved."""

    scope: _Scope
    change: Json
    unknown: list[str]
    name: str = ""

    def at(self, name: str) -> "_Place":
        return _Place(self.scope, self.change, self.unknown, name)


_LISTS = frozenset({"nat_ips", "drain_nat_ips", "source_nat_active_ips", "source_nat_drain_ips"})
"""Attributes that are lists, also of one reference."""


def _expressions(scope: _Scope, change: Json) -> Json:
    """Find the expressions of a resource's configuration."""
    for each in scope.module.get("resources", []):
        if (each["mode"], each["type"], each["name"]) == ("managed", change["type"], change["name"]):
            found: Json = each.get("expressions", {})
            return found
    return {}


def _block(blocks: list[Any], number: int, expression: Any) -> Any:
    """Return what configures the block ``number``; a single attribute's expression is that of all parts."""
    if number < len(blocks):
        return blocks[number]
    return expression if isinstance(expression, dict) else None


def _modules(address: str) -> list[str]:
    """List the modules of ``module.a["x"].module.b``, keys included."""
    return [part.removesuffix(".") for part in address.split("module.") if part]


def _split_attribute(rest: str) -> tuple[str, str]:
    """Split ``vm["a"].self_link`` into the name with its key, and the attribute."""
    depth = 0
    for place, letter in enumerate(rest):
        depth += (letter == "[") - (letter == "]")
        if letter == "." and not depth:
            return rest[:place], rest[place + 1 :]
    return rest, ""
