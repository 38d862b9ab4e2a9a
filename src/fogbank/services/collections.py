"""Plain collections of one-platform APIs: declared, and answered by get, list, create, patch and delete.

A :class:`Collection` says what its members are called, where they are, which fields they have and what keeps
one from being deleted; its real rules are functions. What is special about an API stays code of its own:
Cloud Run's objects, for example, are no such collection. Google describes the pattern in AIP-131 to AIP-135.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Collection as Container
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from fogbank.errors import ApiError
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, OperationError, longrunning_operation
from fogbank.resources.places import REGIONS
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.contract import Call, Decision, List, Method, Read, Write
from fogbank.services.masks import mask_paths, with_whole_fields
from fogbank.services.segments import location_of, project_of, segments

STATES_BEFORE_READY = frozenset({"CREATING", "UPDATING"})


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a body that clients write, or with ``output`` only the region.

    One that is ``immutable`` is given once. ``default`` is what an absent one becomes. ``check`` takes the
    World, the call and the value, returns the value as it is kept, and raises ApiError.
    """

    required: bool = False
    output: bool = False
    immutable: bool = False
    default: Any = None
    check: Callable[[World, Call, Any], Any] = lambda _world, _call, value: value


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule makes of a write: the resource, and the ``changes`` that come with it.

    With an ``error`` the operation has failed; when ``done`` it needs nothing from the network. One that is
    not ``kept`` came to nothing: the operation names the resource, and nothing is stored.
    """

    resource: Resource
    changes: tuple[Change, ...] = ()
    error: OperationError | None = None
    done: bool = False
    kept: bool = True

    @property
    def written(self) -> tuple[Change, ...]:
        """All changes: the resource, and what comes with it."""
        return (Put(self.resource), *self.changes) if self.kept else ()


def _as_asked(_world: World, _call: Call, resource: Resource) -> Outcome:
    return Outcome(resource)


def _nothing_else(_world: World, _call: Call, _resource: Resource) -> tuple[Change, ...]:
    return ()


def _nobody(_world: World, _resource: Resource) -> Iterator[ResourceName]:
    return iter(())


def _as_stored(_world: World, resource: Resource) -> Json:
    return resource.body


def _usual_metadata(_call: Call, _verb: str, _target: ResourceName) -> Json | None:
    return None


def _not_found(name: ResourceName) -> ApiError:
    return ApiError(404, f"Resource '{name.path}' was not found", "NOT_FOUND", "notFound")


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection below ``projects/*/locations/*``.

    ``name`` is that of its resources and of its permissions: ``vpcaccess.connectors``. ``message`` is the
    type of a member, ``interface`` Google's gRPC service with ``{version}`` in it, ``metadata`` the type of
    its operations' metadata. An id matches ``id_pattern`` and comes as ``id_parameter``.

    Rules: ``created`` and ``updated`` complete a resource that has the fields asked for (``updated`` also
    gets the one before and the names of the changed fields), ``deleted`` lists what goes with one, ``users``
    what keeps one from going. ``missing`` is the refusal of one that is not there. ``operation_metadata``
    is what an operation says of itself when that is not vpcaccess's createTime, method and target.
    """

    name: str
    noun: str
    id_parameter: str
    id_pattern: str
    message: str
    interface: str
    metadata: str
    fields: Mapping[str, Field]
    locations: Container[str] = field(default_factory=lambda: tuple(REGIONS))
    created: Callable[[World, Call, Resource], Outcome] = _as_asked
    updated: Callable[[World, Call, Resource, Resource, frozenset[str]], Outcome] = (
        lambda world, call, _before, after, _fields: _as_asked(world, call, after)
    )
    deleted: Callable[[World, Call, Resource], tuple[Change, ...]] = _nothing_else
    users: Callable[[World, Resource], Iterator[ResourceName]] = _nobody
    show: Callable[[World, Resource], Json] = _as_stored
    operation_metadata: Callable[[Call, str, ResourceName], Json | None] = _usual_metadata
    missing: Callable[[ResourceName], ApiError] = _not_found

    @property
    def label(self) -> str:
        """The segment of paths before an id: ``connectors``."""
        return self.name.rpartition(".")[2]

    @property
    def writable(self) -> frozenset[str]:
        """The fields that a patch may change."""
        return frozenset(n for n, each in self.fields.items() if not (each.output or each.immutable))

    def methods(self) -> Mapping[str, Method]:
        """Make the five methods, each with the permission that Google's naming gives it."""
        path = f"projects.locations.{self.label}"
        return {
            f"{path}.get": Read(self.get, f"{self.name}.get"),
            f"{path}.list": List(self.list, self.label, permission=f"{self.name}.list"),
            f"{path}.create": Write(self.create, f"{self.name}.create"),
            f"{path}.patch": Write(self.patch, f"{self.name}.update"),
            f"{path}.delete": Write(self.delete, f"{self.name}.delete"),
        }

    def named(self, project: str, location: str, identifier: str) -> ResourceName:
        """Name a member."""
        return ResourceName(self.name, f"projects/{project}/locations/{location}/{self.label}/{identifier}")

    def member(self, world: World, call: Call, identifier: str) -> ResourceName:
        """Name the member ``identifier`` of the place that a call is about."""
        return self.named(project_of(world, call), location_of(call), identifier)

    def find(self, world: World, call: Call) -> Resource:
        """Find the member that the call's path names; Google's 404 otherwise."""
        name = self.member(world, call, segments(call)[self.label])
        found = world.find(name)
        if found is None:
            raise self.missing(name)
        return found

    def get(self, world: World, call: Call) -> Json:
        """Show one."""
        return self.show(world, self.find(world, call))

    def list(self, world: World, call: Call) -> Iterable[Json]:
        """List those of a location, ``-`` being all."""
        under = f"projects/{project_of(world, call)}/locations/"
        location = location_of(call)
        if location != "-":
            self._check_location(location)
            under += f"{location}/"
        return listing(world, self.name, under, partial(self.show, world))

    def create(self, world: World, call: Call) -> Decision:
        """Make one, with the fields that the body has and the defaults of the others."""
        identifier, location = str(call.parameters.get(self.id_parameter) or ""), location_of(call)
        if not re.fullmatch(self.id_pattern, identifier):
            raise bad_request(f"{self.noun.capitalize()} ID must follow the pattern {self.id_pattern}.")
        self._check_location(location)
        name = self.member(world, call, identifier)
        if world.find(name) is not None:
            raise ApiError(409, "Requested entity already exists", "ALREADY_EXISTS", "alreadyExists")
        body = {"name": name.path} | self._fields(world, call)
        outcome = self.created(world, call, Resource(name, call.new_id(), call.now, body))
        return self.decision(world, call, "Create", outcome, outcome.written)

    def patch(self, world: World, call: Call) -> Decision:
        """Change the fields that the mask names, or without one those that the body has."""
        found = self.find(world, call)
        call = with_whole_fields(call, found.body)
        fields = changed_fields(mask_paths(call), call.body, self.writable, self.noun)
        check_etag(call.body, found.body, self.noun)
        after = found.with_body(**{each: self._value(world, call, each) for each in fields})
        outcome = self.updated(world, call, found, after, fields)
        return self.decision(world, call, "Update", outcome, outcome.written)

    def delete(self, world: World, call: Call) -> Decision:
        """Take one away, unless something uses it."""
        found = self.find(world, call)
        user = next(self.users(world, found), None)
        if user is not None:
            raise ApiError(
                400,
                f"The {self.noun} '{found.name.path}' is used by '{user.path}'.",
                "FAILED_PRECONDITION",
                "failedPrecondition",
            )
        changes = (Delete(found.name), *self.deleted(world, call, found))
        return self.decision(world, call, "Delete", Outcome(found), changes)

    def converged(self, world: World, name: ResourceName, _now: datetime) -> tuple[Change, ...]:
        """Make a member READY that the kernel has (a Service's hook)."""
        found = world.find(name) if name.collection == self.name else None
        if found is None or found.body.get("state") not in STATES_BEFORE_READY:
            return ()
        return (Put(found.with_body(state="READY")),)

    def operation_response(self, world: World, operation: Operation) -> Json | None:
        """Return the message of a finished operation: the member, or nothing after a delete (a hook)."""
        if operation.type.rpartition(".")[2].startswith("Delete"):
            return {"@type": "type.googleapis.com/google.protobuf.Empty"}
        found = world.find(operation.target)
        if found is None:
            return None
        return {"@type": f"type.googleapis.com/{self.message}", **self.show(world, found)}

    def _check_location(self, location: str) -> None:
        if location not in self.locations:
            raise ApiError(404, f"Location {location} is not found.", "NOT_FOUND", "notFound")

    def _fields(self, world: World, call: Call) -> Json:
        values = {
            name: self._value(world, call, name) for name, each in self.fields.items() if not each.output
        }
        return {name: value for name, value in values.items() if value is not None}

    def _value(self, world: World, call: Call, name: str) -> Any:
        declared, value = self.fields[name], call.body.get(name)
        if value is None or value == "":
            if declared.required:
                raise bad_request(f"The field '{name}' of {_one(self.noun)} is required.")
            return declared.default
        return declared.check(world, call, value)

    def decision(
        self, world: World, call: Call, verb: str, outcome: Outcome, changes: tuple[Change, ...]
    ) -> Decision:
        """Open the operation of a write: ``verb`` is what its gRPC method begins with."""
        target = outcome.resource.name
        operation = longrunning_operation(
            target.service,
            target.region,
            self._rpc(call, verb),
            target,
            now=call.now,
            new_id=call.new_id,
            user=call.principal,
            project=target.project,
            metadata_type=self.metadata,
            metadata=self.operation_metadata(call, verb, target),
        )
        if outcome.error is not None:
            operation = operation.done(call.now, error=outcome.error)
        elif outcome.done:
            response = self.operation_response(world.after(changes), operation)
            operation = operation.done(call.now, response=response)
        return Decision(changes, operation=operation)

    def _rpc(self, call: Call, verb: str) -> str:
        """Name the gRPC method of a call: ``google.cloud.vpcaccess.v1.VpcAccessService.CreateConnector``."""
        interface = self.interface.format(version=call.method.split(".")[1])
        return f"{interface}.{verb}{self.message.rpartition('.')[2]}"


def _one(noun: str) -> str:
    """Write ``noun`` with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def bad_request(message: str, field_name: str = "") -> ApiError:
    """Refuse an argument; ``field_name`` is the field that is wrong, in snake case, where it is one."""
    violation = {"field": field_name, "description": message}
    details = (
        ({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]},)
        if field_name
        else ()
    )
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest", details)


def changed_fields(mask: Iterable[str], body: Json, writable: Iterable[str], noun: str) -> frozenset[str]:
    """Return which fields a patch changes: those of its mask, without one the writable ones of its body.

    Refuses a mask that names others.
    """
    allowed = frozenset(writable)
    fields = frozenset(filter(None, mask)) or allowed & body.keys()
    if unknown := fields - allowed:
        raise bad_request(f"The fields {', '.join(sorted(unknown))} of {_one(noun)} cannot be changed.")
    return fields


def check_etag(given: Json, current: Json, noun: str) -> None:
    """Refuse a change made against another version: ``given`` has an ``etag`` that ``current`` has not."""
    etag = given.get("etag")
    if etag and etag != fingerprint(current):
        raise ApiError(409, f"There were concurrent changes of the {noun}.", "ABORTED", "aborted")
