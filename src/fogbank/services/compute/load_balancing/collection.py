"""Collections of load balancing: declared, and answered by insert, get, list, patch, update and delete.

What a kind accepts, completes and refuses is its function ``complete``; the rest is alike. A kind may be
global, regional or both: its resources are kept in one collection, and their paths tell them apart.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from fogbank.errors import not_built, stale_fingerprint
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.compute.bodies import inputs, is_current, merged, without_nulls
from fogbank.services.compute.decisions import committed, deleted, in_use
from fogbank.services.compute.factories import check_free, made, replaced
from fogbank.services.compute.handlers import as_stored, permission_tester
from fogbank.services.compute.load_balancing.references import users_of
from fogbank.services.compute.names import named, new_identifier, place_path, project_of
from fogbank.services.contract import Call, Decision, List, Method, Read, Write

Complete = Callable[[World, Call, ResourceName, Json], Json]
"""Checks a whole body and returns what is kept of it, with Google's defaults; ApiError refuses."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource: ``name`` is the word in its paths, ``parameter`` that of its id in calls.

    ``noun`` is the word in "already being used". ``fields`` are what clients may write; others are refused
    by name. ``methods_global`` and ``methods_regional`` are the words before its methods (``healthChecks``,
    ``regionHealthChecks``), empty for a scope that it has not. ``fingerprinted`` ones must be changed against
    the version that the caller has seen, where it says which. ``immediate`` when the network has nothing to
    do for it. ``secrets`` are fields that no answer shows; ``untested`` words have no testIamPermissions.
    """

    name: str
    parameter: str
    noun: str
    fields: frozenset[str]
    complete: Complete
    methods_global: str = ""
    methods_regional: str = ""
    changes: tuple[str, ...] = ("patch", "update")
    fingerprinted: bool = False
    aggregated: bool = True
    immediate: bool = True
    outputs: frozenset[str] = frozenset()
    show: Callable[[World, Resource], Json] = as_stored
    secrets: frozenset[str] = frozenset()
    untested: frozenset[str] = frozenset()

    def methods(self) -> Mapping[str, Method]:
        """Make the methods of all its scopes."""
        found: dict[str, Method] = {}
        for word, scope in ((self.methods_global, "global"), (self.methods_regional, "regions")):
            if word:
                found |= self._methods(word, scope)
        if self.aggregated:
            word = self.methods_global or self.methods_regional
            found[f"{word}.aggregatedList"] = List(self.list_all, permission=self._may("list"))
        return found

    def _may(self, verb: str, scope: str = "global") -> str:
        collection = self.permission_of(scope)
        return f"compute.{collection}.{verb}"

    def permission_of(self, scope: str) -> str:
        """Return the word in the permissions of a scope: ``regionHealthChecks``."""
        if scope == "global":
            return self.methods_global or self.methods_regional
        return self.methods_regional or self.methods_global

    def _methods(self, word: str, scope: str) -> dict[str, Method]:
        may = partial(self._may, scope=scope)
        found: dict[str, Method] = {
            f"{word}.insert": Write(self.insert, may("create")),
            f"{word}.get": Read(self.get, may("get")),
            f"{word}.list": List(self.list, permission=may("list")),
            f"{word}.delete": Write(self.delete, may("delete")),
        }
        if word not in self.untested:
            found[f"{word}.testIamPermissions"] = permission_tester(self.name)
        for verb in self.changes:
            found[f"{word}.{verb}"] = Write(partial(self.change, verb), may("update"))
        return found

    def identify(self, world: World, call: Call) -> ResourceName:
        """Name what the call's path is about."""
        return named(world, call, self.name, call[self.parameter])

    def find(self, world: World, call: Call) -> Resource:
        """Find what the call's path is about; 404 otherwise."""
        return world.get(self.identify(world, call))

    def get(self, world: World, call: Call) -> Json:
        """Show one."""
        return self.show(world, self.find(world, call))

    def list(self, world: World, call: Call) -> Iterable[Json]:
        """List those of the call's scope."""
        place = place_path(world, call)
        if not {"zone", "region"} & call.parameters.keys():
            place += "global/"
        return listing(world, f"compute.{self.name}", place, partial(self.show, world))

    def list_all(self, world: World, call: Call) -> Iterable[Json]:
        """List those of all scopes of the project."""
        found = world.all(f"compute.{self.name}", f"projects/{project_of(world, call)}/")
        return [self.show(world, each) for each in found]

    def insert(self, world: World, call: Call) -> Decision:
        """Make one."""
        body = inputs(call.body, self.outputs | {"fingerprint", "region", "zone"})
        name = named(world, call, self.name, new_identifier(body))
        self.refuse_unknown(body)
        check_free(world, name)
        fields = self.complete(world, call, name, body)
        private = {key: fields.pop(key) for key in self.secrets if key in fields}
        resource = self._marked(made(call, name, fields, private))
        return committed(call, "insert", resource, (Put(resource),), done=self.immediate)

    def change(self, verb: str, world: World, call: Call) -> Decision:
        """Change the fields that a patch gives, or with an update all."""
        found = self.find(world, call)
        given = call.body.get("fingerprint")
        if self.fingerprinted and given and not is_current(given, found.body["fingerprint"]):
            raise stale_fingerprint()
        own = {key: value for key, value in found.body.items() if key in self.fields}
        body = merged(own, call.body) if verb == "patch" else without_nulls(call.body)
        body = inputs(body, self.outputs | {"fingerprint", "region", "zone"})
        body["name"] = found.name.id
        return self.changed(world, call, verb, found, body)

    def changed(self, world: World, call: Call, verb: str, found: Resource, body: Json) -> Decision:
        """Give a resource the whole ``body``."""
        self.refuse_unknown(body)
        fields = self.complete(world, call, found.name, body)
        resource = self._marked(replaced(found, {"name": found.name.id, **fields}))
        return committed(call, verb, resource, (Put(resource),), done=self.immediate)

    def setter(self, verb: str, fields: Mapping[str, str], parameter: str = "") -> Callable[..., Decision]:
        """Make the handler of a method like setUrlMap: ``fields`` gives the resource's field for each of the
        body's; what the body does not have is taken away.
        """

        def decide(world: World, call: Call) -> Decision:
            found = world.get(named(world, call, self.name, call[parameter or self.parameter]))
            own = {key: value for key, value in found.body.items() if key in self.fields}
            given = without_nulls(call.body)
            for theirs, ours in fields.items():
                own.pop(ours, None)
                if given.get(theirs):
                    own[ours] = given[theirs]
            return self.changed(world, call, verb, found, own)

        return decide

    def delete(self, world: World, call: Call) -> Decision:
        """Take one away, unless something uses it."""
        found = self.find(world, call)
        user = next(users_of(world, found.name), None)
        if user is not None:
            return in_use(call, "delete", found, self.noun, user)
        return deleted(call, found, done=self.immediate)

    def refuse_unknown(self, body: Json) -> None:
        """Refuse fields that are not built, by name; empty ones say nothing."""
        for key, value in body.items():
            if key not in self.fields and key != "name" and value:
                raise not_built(f"compute.{self.name} with {key}")

    def _marked(self, resource: Resource) -> Resource:
        if not self.fingerprinted:
            return resource
        content = {key: value for key, value in resource.body.items() if key != "fingerprint"}
        return resource.with_body(fingerprint=fingerprint(content))
