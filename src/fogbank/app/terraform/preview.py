"""Previews: the World as it would be after an apply, decided by the services that would answer it.

Nothing is stored and nothing is built. Terraform makes what others need first; so does a preview: a change
that is refused is tried again after the others, as long as that helps.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from fogbank.app.terraform.plan_file import PlannedChange
from fogbank.app.terraform.resources import (
    KINDS,
    NAT,
    NAT_RANK,
    PEERING,
    PEERING_RANK,
    TYPES,
    ApiCall,
    Calls,
    Defaults,
    gateway_calls,
    peering_calls,
)
from fogbank.discovery.routes import methods
from fogbank.discovery.schemas import convert_request
from fogbank.errors import ApiError
from fogbank.network.topology import Topology
from fogbank.resources.decisions import Decision
from fogbank.resources.instances import INSTANCES
from fogbank.resources.operations import Operation
from fogbank.resources.world import Delete, Json, PutOperation, World
from fogbank.services.contract import Call, Service, Write, catalogue_of

_TAGS = "tags"
_UNREAD_OF_INSTANCES = ("network_interface", "can_ip_forward")
"""What of an instance decides about paths and is not changed in a preview, unlike its tags."""


_PARTS = {NAT: (NAT_RANK, gateway_calls), PEERING: (PEERING_RANK, peering_calls)}
"""Types that are parts of another resource: when they are written, and how."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The World ``after`` an apply; ``unread`` is what it does not show, with the reason, by address."""

    after: World
    unread: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Step:
    address: str
    order: int
    calls: Calls


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what calls need: the services, the time, and where ids come from."""

    services: Sequence[Service]
    defaults: Defaults
    principal: str
    now: datetime
    new_id: Callable[[], int]
    observed: Topology


def preview(world: World, changes: Iterable[PlannedChange], caller: Caller) -> Preview:
    """Apply ``changes`` to ``world``, as far as they are read and the services accept them."""
    unread: list[tuple[str, str]] = []
    steps: list[_Step] = []
    for change in changes:
        unread += [(change.address, f"{name} is known only after the apply") for name in change.unknown]
        if change.type not in TYPES:
            unread.append((change.address, f"resources of the type {change.type} are not read"))
            continue
        steps += _steps(change, caller.defaults, unread)
    return _applied(world, sorted(steps, key=lambda step: step.order), caller, unread)


def _applied(world: World, steps: list[_Step], caller: Caller, unread: list[tuple[str, str]]) -> Preview:
    """Take every step that is accepted, and those that were refused again after it."""
    waiting, refused = steps, list[tuple[str, str]]()
    while waiting:
        left, refused = [], []
        for step in waiting:
            try:
                world = _called(world, step.calls(world), caller)
            except ApiError as error:
                left.append(step)
                refused.append((step.address, f"refused: {error.message}"))
        if len(left) == len(waiting):
            break
        waiting = left
    return Preview(world, (*unread, *refused))


def _steps(change: PlannedChange, defaults: Defaults, unread: list[tuple[str, str]]) -> Iterator[_Step]:
    """List what an apply does for a change: what goes in the opposite order of what comes."""
    if change.type in _PARTS:
        rank, calls = _PARTS[change.type]
        yield _Step(change.address, -rank - 1 if change.after is None else rank, calls(change, defaults))
        return
    kind, before, after = KINDS[change.type], change.before, change.after
    if "delete" in change.actions and before is not None:
        yield _Step(change.address, -kind.rank - 1, _always(kind.deleted(before, defaults)))
    if "create" in change.actions and after is not None:
        yield _Step(change.address, kind.rank, _always(kind.created(after, defaults)))
    if "update" in change.actions and before is not None and after is not None:
        if kind.patched:
            yield _Step(change.address, kind.rank, _update(change, defaults))
        elif change.type == "google_compute_instance":
            yield from _instance_steps(change, before, after, unread)


def _always(call: ApiCall) -> Calls:
    return lambda _world: iter((call,))


def _update(change: PlannedChange, defaults: Defaults) -> Calls:
    kind, after = KINDS[change.type], change.after or {}

    def calls(world: World) -> Iterator[ApiCall]:
        found = world.find(kind.name(after, defaults))
        yield kind.changed(after, defaults, found.body if found else {})

    return calls


def _instance_steps(
    change: PlannedChange, before: Json, after: Json, unread: list[tuple[str, str]]
) -> Iterator[_Step]:
    """Change the tags of an instance; what else of its network changes in place is not read."""
    unread += [
        (change.address, f"a change of {name} in place is not read")
        for name in _UNREAD_OF_INSTANCES
        if before.get(name) != after.get(name)
    ]
    if before.get(_TAGS) == after.get(_TAGS):
        return
    parameters = {key: after[key].rpartition("/")[2] for key in ("project", "zone")}

    def calls(world: World) -> Iterator[ApiCall]:
        path = f"projects/{parameters['project']}/zones/{parameters['zone']}/instances/{after['name']}"
        found = next((each for each in world.all(INSTANCES) if each.name.path == path), None)
        tags = {"items": after.get(_TAGS) or []}
        if found is not None:
            tags["fingerprint"] = found.body.get("tags", {}).get("fingerprint", "")
        yield ApiCall("compute.v1.instances.setTags", parameters | {"instance": after["name"]}, tags)

    yield _Step(change.address, KINDS[change.type].rank, calls)


def _called(world: World, calls: Iterable[ApiCall], caller: Caller) -> World:
    """Answer ``calls`` as the front end would, each operation done at once; ApiError when one is refused."""
    for call in calls:
        api, version, name = call.method.split(".", 2)
        service = next(each for each in caller.services if each.name == api)
        known, handler = methods(f"{api}.{version}")[name], service.method(version, name)
        assert isinstance(handler, Write), f"{call.method} writes nothing"
        body = convert_request(known.document, known.request, call.body).body if known.request else {}
        decision = handler.decide(world, _call(call, body, caller))
        world = _settled(world.after(decision.changes), decision, service, caller.now)
    return world


def _call(call: ApiCall, body: Json, caller: Caller) -> Call:
    apis = catalogue_of(caller.services)
    parameters: dict[str, Any] = dict(call.parameters)
    return Call(
        call.method, parameters, body, caller.principal, caller.now, caller.new_id, caller.observed, apis
    )


def _settled(world: World, decision: Decision, service: Service, now: datetime) -> World:
    """End the decision's operation as when the network has followed: what is deleted is gone."""
    operation = decision.operation
    if operation is None:
        return world
    if _deletes(operation) and world.find(operation.target) is not None:
        world = world.after((*_disks(world, operation), Delete(operation.target)))
    world = world.after(service.converged(world, operation.target, now))
    return world.after((PutOperation(replace(operation, status="DONE", ended=now)),))


def _deletes(operation: Operation) -> bool:
    return operation.type.lower().startswith("delete") or ".Delete" in operation.type


def _disks(world: World, operation: Operation) -> Iterator[Delete]:
    """Delete the disks that go with an instance."""
    found = world.find(operation.target)
    for disk in found.body.get("disks", ()) if found and operation.target.collection == INSTANCES else ():
        path = disk.get("source", "")
        place = next((e.name for e in world.all("compute.disks") if path.endswith(e.name.path)), None)
        if disk.get("autoDelete") and place is not None:
            yield Delete(place)
