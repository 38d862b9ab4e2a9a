"""Google's APIs over HTTP: from a request to a service's function and back.

A request is authenticated, its method found in the discovery tables, its parameters and body checked and
converted; then the service's handler reads, lists or decides. What nobody handles is refused with its name.
A write is durable before it is answered, and its answer waits a moment for the network, so that clients need
not poll.
"""

import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

from fogbank.discovery.enums import NUMBERED, with_numbers
from fogbank.discovery.routes import DiscoveryMethod, Match, find
from fogbank.discovery.schemas import check_response, convert_request
from fogbank.errors import ApiError, not_implemented
from fogbank.frontend.api.batch import answer_batch, is_batch
from fogbank.frontend.api.error_envelopes import challenge, error_body, internal_error, unknown_method
from fogbank.frontend.api.field_masks import Mask, check_mask, parse_mask
from fogbank.frontend.api.lists import render_list
from fogbank.frontend.api.messages import ApiRequest, Authenticator, EnsureProject, Reply, Settle, json_reply
from fogbank.frontend.api.operation_methods import OperationMethods
from fogbank.frontend.api.operations import RPC_CODES, check_request_id, render_operation, with_request_id
from fogbank.frontend.api.projects import find_project, with_project
from fogbank.frontend.api.query import bad_json, convert_query, parse_query, standard
from fogbank.frontend.api.unknown_fields import UnknownFields
from fogbank.frontend.http.asgi import Receive, Scope, Send, TooLargeError, plain_host, read_body
from fogbank.frontend.http.json_bodies import BadJsonError, parse_json
from fogbank.network.topology import Topology
from fogbank.resources.apis import check_enabled
from fogbank.resources.decisions import Decision
from fogbank.resources.operations import Operation
from fogbank.resources.projects import check_active
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call, List, Read, Service, Write
from fogbank.services.contract import Method as Handler
from fogbank.store.store import Committed, Store

HOLD_SECONDS = 1.5
"""How long the answer to a write may wait for the network."""

BODY_LIMIT = 32 * 1024 * 1024

_log = logging.getLogger(__name__)


class Api:
    """The ASGI application for all Google APIs.

    With ``check_answers`` an answer that does not fit Google's schema is a bug (500), as tests want it.
    """

    def __init__(
        self,
        *,
        store: Store,
        services: Iterable[Service],
        identity: Authenticator,
        now: Callable[[], datetime],
        new_id: Callable[[], int],
        ensure_project: EnsureProject,
        settle: Settle,
        observed: Callable[[], Topology] = Topology,
        check_answers: bool = False,
    ) -> None:
        self._store, self._identity = store, identity
        self._services = {service.name: service for service in services}
        self._now, self._new_id, self._observed = now, new_id, observed
        self._ensure_project, self._settle = ensure_project, settle
        self._operations = OperationMethods(store, settle)
        self._check_answers = check_answers
        self._handlers: dict[str, Handler | None] = {}
        self.unknown_fields = UnknownFields()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        try:
            request = await _read(scope, receive)
        except TooLargeError:
            error = ApiError(413, "The request is too large.", "INVALID_ARGUMENT", "uploadTooLarge")
            reply = json_reply(413, error_body("", error))
        else:
            if request.content_type.startswith("application/grpc"):
                await _refuse_grpc(request, send)
                return
            reply = await self.answer(request)
        headers = [
            (b"content-type", reply.type.encode()),
            (b"content-length", str(len(reply.content)).encode()),
        ]
        if reply.challenge:
            headers.append((b"www-authenticate", reply.challenge.encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.content})

    async def answer(self, request: ApiRequest) -> Reply:
        """Answer one request, or a batch of them; errors become Google's envelopes."""
        if is_batch(request):
            return await answer_batch(request, self.answer)
        match = find(request.host, request.verb, request.path)
        api = match.method.api if match else ""
        try:
            principal = self._identity.authenticate(_authorization(request))
            if match is None:
                raise unknown_method(request.verb, request.host, request.path)  # noqa: TRY301 - one envelope
            return json_reply(200, await self._dispatch(request, match, principal))
        except ApiError as error:
            wanted = challenge(sent=_authorization(request) is not None) if error.code == 401 else ""
            return replace(json_reply(error.code, error_body(api, error)), challenge=wanted)
        except Exception:  # noqa: BLE001 - a bug answers 500 and keeps its traceback in the log
            reference = secrets.token_hex(4)
            _log.exception("%s %s%s failed: %s", request.verb, request.host, request.path, reference)
            return json_reply(500, error_body(api, internal_error(reference)))

    async def _dispatch(self, request: ApiRequest, match: Match, principal: str) -> Json:
        method = match.method
        handler = self._handler(method)
        own = handler is None and self._operations.has(method) and method.api in self._services
        if handler is None and not own:
            raise not_implemented(method.id)
        pairs = parse_query(request.query)
        query = convert_query(pairs, method.query)
        mask = _mask(method, standard(pairs, "fields"))
        body = self._body(request, match)
        match = await self._with_project(match)
        if handler is None:
            answer = await self._operations.answer(match, query)
        else:
            place = {"location": match.region} if match.region and "location" not in query else {}
            parameters = {**place, **query, **match.parameters}
            call = Call(method.id, parameters, body, principal, self._now(), self._new_id, self._observed())
            answer = await self._handle(handler, match, call, query)
        if self._check_answers and (misfits := check_response(method.document, method.response, answer)):
            raise AssertionError(f"the answer does not fit {method.response}: {misfits}")
        if NUMBERED in (standard(pairs, "alt") or ""):
            answer = with_numbers(method.document, method.response, answer)
        kept: Json = mask.apply(answer)
        return kept

    def _body(self, request: ApiRequest, match: Match) -> Json:
        method = match.method
        if not request.body or not method.request:
            return {}
        try:
            body = parse_json(request.body)
        except BadJsonError as error:
            raise bad_json(str(error)) from error
        if not isinstance(body, dict):
            raise bad_json("Root element must be a message.")
        if not method.checked:
            return body
        converted = convert_request(method.document, method.request, body, match.parameters)
        self.unknown_fields.note(method.id, converted.unknown)
        return converted.body

    def _handler(self, method: DiscoveryMethod) -> Handler | None:
        known = self._handlers.get(method.id)
        if known is None and method.id not in self._handlers:
            service = self._services.get(method.api)
            if service is not None:
                versioned = service.methods.get(f"{method.version}.{method.name}")
                known = versioned or service.methods.get(method.name)
            self._handlers[method.id] = known
        return known

    async def _with_project(self, match: Match) -> Match:
        found = find_project(match.method, match.parameters)
        if found is None:
            return match
        key, project = found
        known = await self._ensure_project(project)
        if match.method.api != "cloudresourcemanager":
            check_active(self._store.world, known)
        if match.method.api != "serviceusage":
            check_enabled(self._store.world, known, f"{match.method.api}.googleapis.com")
        if known == project:
            return match
        return Match(match.method, with_project(match.parameters, key, project, known), match.region)

    async def _handle(self, handler: Handler, match: Match, call: Call, query: Json) -> Json:
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
            return render_operation(self._store.world.operations.get(earlier.name.path, earlier))
        return await self._settled(committed)

    async def _settled(self, committed: Committed) -> Json:
        """Answer a write, after the network had a moment to follow."""
        decision = committed.decision
        if (operation := decision.operation) is not None:
            path = operation.name.path
            if self._store.world.operations.get(path, operation).status != "DONE":
                await self._settle(path, HOLD_SECONDS)
            return render_operation(self._store.world.operations.get(path, operation))
        if decision.settles is not None:
            await self._settle(decision.settles.path, HOLD_SECONDS)
            found = self._store.world.find(decision.settles)
            return found.body if found is not None else decision.answer or {}
        return decision.answer if decision.answer is not None else {}


async def _refuse_grpc(request: ApiRequest, send: Send) -> None:
    """Refuse a gRPC call in gRPC's own way: a status without a message."""
    text = f"Fogbank does not speak gRPC yet ({request.path}): choose the client's REST transport."
    headers = [
        (b"content-type", b"application/grpc"),
        (b"grpc-status", str(RPC_CODES["UNIMPLEMENTED"]).encode()),
        (b"grpc-message", quote(text, safe=" /():.'").encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _mask(method: DiscoveryMethod, text: str | None) -> Mask:
    """Read which fields of the answer a request wants; Google's 400 for one that the answer cannot have."""
    if not text:
        return Mask()
    mask = parse_mask(text)
    if method.checked and method.response:
        check_mask(mask, method.document, f"#{method.response}")
    return mask


def _authorization(request: ApiRequest) -> str | None:
    if request.authorization is None and b"access_token=" in request.query:
        token = standard(parse_query(request.query), "access_token")
        return f"Bearer {token}" if token else None
    return request.authorization


async def _read(scope: Scope, receive: Receive) -> ApiRequest:
    host = authorization = content_type = override = ""
    has_body = False
    for name, value in scope["headers"]:
        if name == b"host":
            host = plain_host(value.decode("latin-1"))
        elif name == b"authorization":
            authorization = value.decode("latin-1")
        elif name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"x-http-method-override":
            override = value.decode("latin-1")
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            has_body = True
    has_body = has_body or scope.get("http_version") == "2"
    verb = scope["method"]
    path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
    return ApiRequest(
        override.upper() if override and verb == "POST" else verb,
        host,
        path,
        scope.get("query_string", b""),
        authorization or None,
        content_type,
        await read_body(receive, BODY_LIMIT) if has_body else b"",
    )
