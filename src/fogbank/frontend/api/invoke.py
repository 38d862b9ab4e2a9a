"""Calls of Google's APIs without HTTP: who calls, which method, with what; JSON or ApiError out.

HTTP and batches come through here (``application``), and so may whatever else speaks for a client. What
nobody handles is refused with its name. A write is durable before it is answered, and its answer waits a
moment for the network, so that clients need not poll.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from fogbank.discovery.routes import DiscoveryMethod, Match, apis_of, methods, split_template
from fogbank.discovery.schemas import check_response, convert_request
from fogbank.errors import not_implemented
from fogbank.frontend.api.authorization import Authorization, check_path
from fogbank.frontend.api.beta_links import with_version, without_version
from fogbank.frontend.api.lists import render_list
from fogbank.frontend.api.messages import EnsureProject, Settle
from fogbank.frontend.api.operation_methods import OperationMethods
from fogbank.frontend.api.operations import check_request_id, render_operation, with_request_id
from fogbank.frontend.api.projects import about_project, find_project, is_public, with_project
from fogbank.frontend.api.unknown_fields import UnknownFields
from fogbank.network.topology import Topology
from fogbank.resources.authorization import UNRESTRICTED, Access
from fogbank.resources.decisions import Decision
from fogbank.resources.operations import Operation
from fogbank.resources.projects import check_active, project_id
from fogbank.resources.world import Json, World
from fogbank.services.contract import (
    NO_PERMISSION,
    Call,
    Elsewhere,
    ErrorDialect,
    List,
    Live,
    Method,
    Read,
    Service,
    Streaming,
    Write,
    catalogue_of,
)
from fogbank.store.store import Committed, Store

HOLD_SECONDS = 1.5
"""How long the answer to a write may wait for the network."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call: ``principal`` is the caller's e-mail address, ``match`` the method with its path parameters.

    ``query`` has the other parameters, with the types that the method's description gives; ``body`` is JSON
    as the client sent it, None when there is none.
    """

    principal: str
    match: Match
    query: Mapping[str, Any]
    body: Json | None = None


class Api:
    """Every API of the region, by method.

    ``access`` is asked before each call, and by services for what a body refers to. A project that does not
    exist comes to be when ``operator`` (an e-mail address; None for everybody) first uses it; to others it is
    one that they have no permission on.
    ``backends`` has what the methods about more than the World work on, by the API's name.
    With ``check_answers`` an answer that does not fit Google's schema is a bug, as tests want it.
    """

    def __init__(
        self,
        *,
        store: Store,
        services: Iterable[Service],
        now: Callable[[], datetime],
        new_id: Callable[[], int],
        ensure_project: EnsureProject,
        settle: Settle,
        observed: Callable[[], Topology] = Topology,
        access: Access = UNRESTRICTED,
        operator: str | None = None,
        backends: Mapping[str, Any] | None = None,
        check_answers: bool = False,
    ) -> None:
        self._backends = backends or {}
        self._services = {service.name: service for service in services}
        self._catalogue = catalogue_of(self._services.values())
        self._store, self._now, self._new_id, self._observed = store, now, new_id, observed
        self._ensure_project, self._settle = ensure_project, settle
        self._access, self._authorization = access, Authorization(access, operator)
        self._operations = OperationMethods(store, settle, self._services)
        self._check_answers = check_answers
        self.unknown_fields = UnknownFields()
        self._handlers: dict[str, Method | None] = {}
        """By a method's id; None is the front end itself, which has the methods of operations."""

    def error_dialect(self, api: str) -> ErrorDialect | None:
        """Return how an API writes errors; None when it is not built."""
        service = self._services.get(api)
        return service.errors if service is not None else None

    def serves(self, host: str) -> bool:
        """Return whether an API that is built answers on ``host``."""
        return any(api in self._services for api in apis_of(host))

    def check_built(self, method: DiscoveryMethod) -> None:
        """Refuse honestly a method that nobody handles."""
        self._handler(method)

    async def invoke(
        self, principal: str, method: str, parameters: Mapping[str, Any], body: Json | None = None
    ) -> Json:
        """Call ``method`` (``compute.v1.networks.insert``) and return the answer; ApiError when refused.

        ``parameters`` are those of the path and of the query; KeyError when Google has no such method.
        """
        api, version, name = method.split(".", 2)
        found = methods(f"{api}.{version}")[name]
        in_path = {each for each, _, _ in split_template(found.path)[2]}
        path = {key: str(value) for key, value in parameters.items() if key in in_path}
        query = {key: value for key, value in parameters.items() if key not in in_path}
        return await self.answer(Invocation(principal, Match(found, path), query, body))

    async def answer(self, invocation: Invocation) -> Json:
        """Answer a call: check its body and its project, authorize, then read, list or decide."""
        if not (alias := invocation.match.alias):
            return await self._answer(invocation)
        answer = await self._answer(replace(invocation, query=without_version(invocation.query, alias)))
        translated: Json = with_version(answer, alias)
        return translated

    async def _answer(self, invocation: Invocation) -> Json:
        method = invocation.match.method
        handler = self._handler(method)
        body = self._converted(invocation)
        permission = self._operations.permission(method) if handler is None else handler.permission
        match = await self._authorized(
            invocation, permission, body, _projects(handler, body, invocation.query)
        )
        if handler is None:
            answer = await self._operations.answer(match, invocation.query)
        else:
            call = self._call(invocation, match, body)
            answer = await self._handle(handler, match, call, invocation.query)
        if self._check_answers and (misfits := check_response(method.document, method.response, answer)):
            raise AssertionError(f"the answer does not fit {method.response}: {misfits}")
        return answer

    async def stream(self, invocation: Invocation) -> AsyncIterator[Json]:
        """Answer a call of a method that streams; ApiError before the first message when it is refused."""
        handler = self._handler(invocation.match.method)
        if not isinstance(handler, Streaming):
            raise not_implemented(invocation.match.method.id)
        body = self._converted(invocation)
        match = await self._authorized(invocation, handler.permission, body, _projects(handler, body, {}))
        call = self._call(invocation, match, body)
        return handler.answer(self._backends[match.method.api], self._store.world, call)

    def streams(self, method: DiscoveryMethod) -> bool:
        """Return whether ``method`` is one whose answer goes on."""
        return isinstance(self._handler(method), Streaming)

    def _handler(self, method: DiscoveryMethod) -> Method | None:
        identifier = method.id
        if identifier in self._handlers:
            return self._handlers[identifier]
        service = self._services.get(method.api)
        found = service.method(method.version, method.name) if service is not None else None
        if isinstance(found, Elsewhere) or (found is None and not self._operations.has(method)):
            raise not_implemented(identifier)
        self._handlers[identifier] = found
        return found

    def _converted(self, invocation: Invocation) -> Json:
        match = invocation.match
        method, body = match.method, invocation.body
        if body is None or not method.request:
            return {}
        if not method.checked:
            return body
        converted = convert_request(method.document, method.request, body, match.parameters)
        self.unknown_fields.note(method.id, converted.unknown)
        return converted.body

    def _call(self, invocation: Invocation, match: Match, body: Json) -> Call:
        query = invocation.query
        place = {"location": match.region} if match.region and "location" not in query else {}
        return Call(
            match.method.id,
            {**place, **query, **match.parameters},
            body,
            invocation.principal,
            self._now(),
            self._new_id,
            self._observed(),
            self._catalogue,
            self._access,
        )

    async def _authorized(
        self, invocation: Invocation, permission: str, body: Json, named: Iterable[str] = ()
    ) -> Match:
        """Check that the caller may, and that the project is there and may be used; give the call its id.

        What a stranger hears comes first: a refusal changes nothing and tells nothing about the project.
        ``named`` are the projects that the body is about.
        """
        match = invocation.match
        check_path(match)
        for each in named:
            about = Match(match.method, {"name": f"projects/{each}"}, match.region)
            await self._authorized(replace(invocation, match=about), permission, body)
        if named:
            return match
        if is_public(match):
            return match
        found = find_project(match.method, match.parameters)
        if found is None:
            self._authorize(invocation, permission, self._unplaced(match), body)
            return match
        key, reference = found
        makes = self._authorization.makes_projects(invocation.principal)
        project = await self._ensure_project(reference) if makes else project_id(self._store.world, reference)
        self._authorize(invocation, permission, project, body)
        if permission != NO_PERMISSION:
            if not makes:
                await self._ensure_project(reference)  # it is there, for its policy lets the caller in
            self._check_usable(match, project)
        if project == reference:
            return match
        return Match(match.method, with_project(match.parameters, key, reference, project), match.region)

    def _authorize(self, invocation: Invocation, permission: str, project: str, body: Json) -> None:
        principal, match = invocation.principal, invocation.match
        self._authorization.check(self._store.world, principal, permission, match, project=project, body=body)

    def _unplaced(self, match: Match) -> str:
        """Return the project of a call whose path names none that must exist; empty when there is none."""
        world = self._store.world
        if self._operations.has(match.method):
            operation = world.operations.get(match.parameters.get("name", ""))
            return operation.target.project if operation is not None else ""
        return project_id(world, about_project(world, match.parameters))

    def _check_usable(self, match: Match, project: str) -> None:
        if match.method.api != "cloudresourcemanager":
            check_active(self._store.world, project)
        if match.method.api != "serviceusage":
            self._catalogue.check_enabled(self._store.world, project, f"{match.method.api}.googleapis.com")

    async def _handle(self, handler: Method, match: Match, call: Call, query: Mapping[str, Any]) -> Json:
        match handler:
            case Read():
                return handler.read(self._store.world, call)
            case List():
                items = handler.list(self._store.world, call)
                if handler.filtered:
                    query = {key: value for key, value in query.items() if key != "filter"}
                return render_list(match, items, handler.items, query)
            case Write():
                return await self._write(handler, match, call)
            case Live():
                return await handler.answer(self._backends[match.method.api], self._store.world, call)
            case Elsewhere() | Streaming():
                raise not_implemented(call.method)

    async def _write(self, handler: Write, match: Match, call: Call) -> Json:
        request_id = str(call.parameters.get("requestId") or "")
        if request_id:
            check_request_id(request_id)
        earlier: Operation | None = None

        def decide(world: World) -> Decision:
            nonlocal earlier
            if request_id:
                earlier = with_request_id(world, match, call.body, request_id)
                if earlier is not None:
                    return Decision()
            decision = handler.decide(world, call)
            if request_id and decision.operation is not None:
                decision = replace(decision, operation=replace(decision.operation, request_id=request_id))
            return decision

        committed = await self._store.commit(decide)
        if earlier is not None:
            return self._rendered(self._store.world.operations.get(earlier.name.path, earlier))
        return await self._settled(committed)

    async def _settled(self, committed: Committed) -> Json:
        """Answer a write, after the network had a moment to follow."""
        decision = committed.decision
        if decision.opened is not None:
            return self._rendered(decision.opened)
        if (operation := decision.operation) is not None:
            path = operation.name.path
            if self._store.world.operations.get(path, operation).status != "DONE":
                await self._settle(path, HOLD_SECONDS)
            return self._rendered(self._store.world.operations.get(path, operation))
        if decision.settles is not None:
            await self._settle(decision.settles.path, HOLD_SECONDS)
            found = self._store.world.find(decision.settles)
            return found.body if found is not None else decision.answer or {}
        return decision.answer if decision.answer is not None else {}

    def _rendered(self, operation: Operation) -> Json:
        return render_operation(operation, self._services[operation.name.service].operations)


def _projects(handler: Method | None, body: Json, query: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the projects that a body is about, or a list's query, where the method finds them there."""
    if isinstance(handler, Live | Streaming | Write | List) and handler.projects is not None:
        found = handler.projects(dict(query) if isinstance(handler, List) else body)
        return tuple(dict.fromkeys(found))
    return ()
