"""Google's APIs over HTTP: from a request to a call of :class:`Api` and back.

A request is authenticated, its method found in the discovery tables and its query converted; the answer is
cut down to the fields that the client wants. Errors become Google's envelopes, bugs a 500 with a reference.
"""

import logging
import secrets
from dataclasses import replace

from fogbank.discovery.enums import NUMBERED, with_numbers
from fogbank.discovery.routes import DiscoveryMethod, Match, find
from fogbank.errors import ApiError, not_built
from fogbank.frontend.api.batch import answer_batch, is_batch
from fogbank.frontend.api.error_envelopes import (
    challenge,
    error_body,
    internal_error,
    unbuilt_dialect,
    unknown_method,
)
from fogbank.frontend.api.field_masks import Mask, check_mask, parse_mask
from fogbank.frontend.api.invoke import Api, Invocation
from fogbank.frontend.api.messages import ApiRequest, Authenticator, Reply, json_reply
from fogbank.frontend.api.protobuf import is_message, message_reply, read_message, status_reply
from fogbank.frontend.api.query import bad_json, convert_query, parse_query, standard
from fogbank.frontend.http.asgi import Receive, Scope, Send, TooLargeError, plain_host, read_body
from fogbank.frontend.http.encodings import unpacked
from fogbank.frontend.http.json_bodies import BadJsonError, parse_json
from fogbank.resources.world import Json
from fogbank.services.contract import ErrorDialect

BODY_LIMIT = 32 * 1024 * 1024
UNKNOWN_BODY_LIMIT = 1024 * 1024
"""For callers who did not prove who they are; the parts of a batch may do so yet."""

_log = logging.getLogger(__name__)


class ApiApplication:
    """The ASGI application for all Google APIs; ``api`` answers, ``identity`` tells who calls."""

    def __init__(self, api: Api, identity: Authenticator) -> None:
        self._api, self._identity = api, identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        try:
            request = await self._read(scope, receive)
        except TooLargeError:
            error = ApiError(413, "The request is too large.", "INVALID_ARGUMENT", "uploadTooLarge")
            reply = json_reply(413, error_body(None, error))
        else:
            reply = await self.answer(request)
        headers = [
            (b"content-type", reply.type.encode()),
            (b"content-length", str(len(reply.content)).encode()),
        ]
        if reply.challenge:
            headers.append((b"www-authenticate", reply.challenge.encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.content})

    async def _read(self, scope: Scope, receive: Receive) -> ApiRequest:
        """Read a whole request; what strangers send beyond their limit is left where it is."""
        request, has_body = _read_head(scope)
        if not has_body:
            return request
        known = self._knows(request)
        limit = BODY_LIMIT if known else UNKNOWN_BODY_LIMIT
        try:
            body = unpacked(await read_body(receive, limit), request.encoding, limit)
        except TooLargeError:
            if known:
                raise
            return request
        return replace(request, body=body)

    def _knows(self, request: ApiRequest) -> bool:
        try:
            self._identity.authenticate(_authorization(request))
        except ApiError:
            return False
        return True

    async def answer(self, request: ApiRequest) -> Reply:
        """Answer one request, or a batch of them; errors become Google's envelopes."""
        if is_batch(request):
            return await answer_batch(request, self.answer)
        match = find(request.host, request.verb, request.path)
        try:
            principal = self._identity.authenticate(_authorization(request))
            if match is None:
                raise self._unknown(request)  # noqa: TRY301 - one envelope
            answer = await self._dispatch(request, match, principal)
            if is_message(request.content_type, match.method):
                return message_reply(match.method, answer)
            return json_reply(200, answer)
        except ApiError as error:
            if match is not None and is_message(request.content_type, match.method):
                return status_reply(error)
            wanted = challenge(sent=_authorization(request) is not None) if error.code == 401 else ""
            return replace(json_reply(error.code, error_body(self._dialect(match), error)), challenge=wanted)
        except Exception:  # noqa: BLE001 - a bug answers 500 and keeps its traceback in the log
            reference = secrets.token_hex(4)
            _log.exception("%s %s%s failed: %s", request.verb, request.host, request.path, reference)
            return json_reply(500, error_body(self._dialect(match), internal_error(reference)))

    def _unknown(self, request: ApiRequest) -> ApiError:
        """Refuse what no discovery table has: an API that nobody built, or a method that Google has not."""
        if self._api.serves(request.host):
            return unknown_method(request.verb, request.host, request.path)
        return not_built(f"{request.host} ({request.verb} {request.path})")

    def _dialect(self, match: Match | None) -> ErrorDialect:
        api = match.method.api if match else ""
        return self._api.error_dialect(api) or unbuilt_dialect(api)

    async def _dispatch(self, request: ApiRequest, match: Match, principal: str) -> Json:
        method = match.method
        self._api.check_built(method)
        pairs = parse_query(request.query)
        query = convert_query(pairs, method.query)
        mask = _mask(method, standard(pairs, "fields"))
        answer = await self._api.answer(Invocation(principal, match, query, _body(request, method)))
        if NUMBERED in (standard(pairs, "alt") or ""):
            answer = with_numbers(method.document, method.response, answer)
        kept: Json = mask.apply(answer)
        return kept


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


def _body(request: ApiRequest, method: DiscoveryMethod) -> Json | None:
    if is_message(request.content_type, method):
        return read_message(method, request.body)
    if not request.body or not method.request:
        return None
    try:
        body = parse_json(request.body)
    except BadJsonError as error:
        raise bad_json(str(error)) from error
    if not isinstance(body, dict):
        raise bad_json("Root element must be a message.")
    return body


def _read_head(scope: Scope) -> tuple[ApiRequest, bool]:
    """Read all but the body; tells also whether there is one."""
    host = authorization = content_type = override = encoding = ""
    has_body = False
    for name, value in scope["headers"]:
        if name == b"host":
            host = plain_host(value.decode("latin-1"))
        elif name == b"authorization":
            authorization = value.decode("latin-1")
        elif name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"content-encoding":
            encoding = value.decode("latin-1").lower()
        elif name == b"x-http-method-override":
            override = value.decode("latin-1")
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            has_body = True
    has_body = has_body or scope.get("http_version") == "2"
    verb = scope["method"]
    path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
    request = ApiRequest(
        override.upper() if override and verb == "POST" else verb,
        host,
        path,
        scope.get("query_string", b""),
        authorization or None,
        content_type,
        encoding=encoding,
    )
    return request, has_body
