"""The way in to Cloud Run services: a request for ``*.run.app`` becomes one to an instance's own port.

The host names the service, the service's traffic the revision, and the fleet lends an instance. Bodies stream
both ways. Connections are made from inside the fabric, so the container sees them come over its network.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

from fogbank.clock import Clock
from fogbank.frontend.http import refusals
from fogbank.frontend.http.asgi import (
    HttpResponse,
    Receive,
    Scope,
    Send,
    headers_of,
    host_of,
    html_answer,
    path_of,
    respond,
    text_answer,
)
from fogbank.frontend.iam.identity import Identity
from fogbank.frontend.ingress import error_pages, invoker
from fogbank.frontend.ingress.exchange import (
    AnswerTooLargeError,
    BadRequestError,
    ClientGoneError,
    Exchange,
    RequestRecord,
    RequestTooLargeError,
    read_body,
    target_of,
)
from fogbank.frontend.ingress.forwarded_headers import (
    BadAnswerError,
    as_the_client_wrote,
    client_of,
    new_trace,
    request_headers,
)
from fogbank.frontend.ingress.http1_exchange import exchange_http1
from fogbank.frontend.ingress.reading import ReadOnce
from fogbank.frontend.ingress.sessions import Session, read_session, session_cookie
from fogbank.frontend.ingress.upstreams import InstancePort, OpenSocket, Upstreams
from fogbank.lowering.edge import PROXY_SOURCE
from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.run import SERVICES, Revision, RunService, Target, read_revision, read_service
from fogbank.resources.urls import parse_host
from fogbank.resources.world import Resource, World

VPC_PROJECT = "fogbank.vpc_project"
"""Key of a scope: the project in whose VPC network the caller is, when the connection says so."""


MOST_BYTES = 32 * 1024 * 1024
"""A request or an answer over HTTP/1 (behaviour/cloud-run.md#container)."""


class Lender(Protocol):
    """The fleet, as the ingress sees it."""

    def lease(
        self, revision: ResourceName, session: Session | None = None
    ) -> AbstractAsyncContextManager[InstancePort]:
        """Lend an instance of ``revision``: where to connect; raises when none frees in time.

        A ``session`` prefers its instance, and is told which one it got.
        """
        ...


class Ingress:
    """The ASGI application for every host under run.app.

    ``exhausted`` is what the lender raises when no instance frees; ``draw`` gives a number from 0 to 1 for
    each request; ``record`` is told about every request to a service. ``vpc_project`` tells from which
    project's VPC networks a caller's address is, None for one from anywhere else; ``google_project`` for
    which project a product of Google's called from an address and a port.
    """

    def __init__(
        self,
        world: Callable[[], World],
        identity: Identity,
        clock: Clock,
        lender: Lender,
        *,
        exhausted: type[Exception],
        open_socket: OpenSocket,
        draw: Callable[[], float],
        record: Callable[[RequestRecord], None],
        vpc_project: Callable[[str], str | None] = lambda _address: None,
        google_project: Callable[[str, int], str | None] = lambda _address, _port: None,
    ) -> None:
        self._world, self._identity, self._clock, self._lender = world, identity, clock, lender
        self._exhausted, self._draw, self._record = exhausted, draw, record
        self._vpc_project, self._google_project = vpc_project, google_project
        self._upstreams = Upstreams(open_socket)
        self._read_service, self._read_revision = ReadOnce(read_service), ReadOnce(read_revision)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await _refuse_websocket(scope, receive, send)
            return
        headers = headers_of(scope)
        found = self._find(host_of(headers))
        if found is None:
            await respond(send, html_answer(error_pages.not_found(), 404, _FRONT_END))
        elif not path_of(scope).startswith("/"):  # OPTIONS *: it asks the front end, not a service
            await respond(send, html_answer(refusals.page(400), 400, _FRONT_END))
        elif scope.get("scheme") == "http":
            location = f"https://{host_of(headers)}{target_of(scope)}"
            await respond(send, html_answer("", 302, {**_FRONT_END, "Location": location}))
        else:
            resource, tag = found
            if _by_load_balancer(scope):
                headers = as_the_client_wrote(headers)
            record = _new_record(scope, headers, resource.name)
            await self._serve(Exchange(scope, receive, send, headers, record), resource, tag)

    async def close(self) -> None:
        """Drop all connections."""
        self._upstreams.close()

    def _find(self, host: str) -> tuple[Resource, str | None] | None:
        """Find the service that ``host`` names, and the tag before it."""
        world = self._world()
        found = next(world.by(_BY_HOST, host), None)
        if found is not None:
            return found, None
        parsed = parse_host(host)
        if parsed is None or parsed.tag is None:
            return None
        found = next(world.by(_BY_HOST, parsed.service), None)
        return None if found is None else (found, parsed.tag)

    async def _serve(self, exchange: Exchange, resource: Resource, tag: str | None) -> None:
        began = self._clock.seconds()
        try:
            answer = await self._admit(exchange, resource, tag)
            if answer is not None:
                await _answer(exchange, answer)
        finally:
            exchange.record.latency = self._clock.seconds() - began
            self._record(exchange.record)

    async def _admit(self, exchange: Exchange, resource: Resource, tag: str | None) -> HttpResponse | None:
        """Check and forward; gives the answer when it is ours to give."""
        world, path, record = self._world(), path_of(exchange.scope), exchange.record
        service = self._read_service(resource)
        target = pick(service.traffic, tag, self._draw())
        if target is None or not service.default_url or not self._enters(service, exchange):
            return html_answer(error_pages.not_found(), 404)
        verdict = invoker.check(resource, service, exchange.headers, self._identity)
        if isinstance(verdict, invoker.Refused):
            record.message = verdict.why
            if verdict.status == 401:
                return html_answer(error_pages.unauthorized(path), 401, {"WWW-Authenticate": _CHALLENGE})
            return html_answer(error_pages.forbidden(path), 403)
        found = world.find(service.revision(target.revision))
        if found is None:
            return html_answer(error_pages.not_found(), 404)
        revision = self._read_revision(found)
        record.revision = revision.name
        return await self._forward(exchange, revision, verdict)

    def _enters(self, service: RunService, exchange: Exchange) -> bool:
        """Return whether the service's ingress lets a caller in, whoever it is.

        Internal are the VPC networks of the service's own project (behaviour/cloud-run.md#ingress). A request
        from an instance is so when its egress sends it through the VPC, and not by the egress pool. It comes
        by Private Google Access, or with an address of Cloud NAT. So is what Cloud Scheduler sends for a job
        of that project. A load balancer may call in behalf of anybody where the ingress says so.
        """
        if _by_load_balancer(exchange.scope):
            return service.ingress in _LOAD_BALANCED
        if service.ingress in _INTERNAL:
            address, port = exchange.scope.get("client") or ("", 0)
            project = exchange.scope.get(VPC_PROJECT) or self._vpc_project(exchange.record.remote_ip)
            return service.name.project in {project, self._google_project(address, port)}
        return service.ingress == "all"

    async def _forward(
        self, exchange: Exchange, revision: Revision, admitted: invoker.Admitted
    ) -> HttpResponse | None:
        record = exchange.record
        try:
            session = read_session(exchange.headers.get("cookie", "")) if revision.session_affinity else None
            preferred = session.instance if session else ""
            exchange.limit_to(None if revision.ingress.http2 else MOST_BYTES)
            async with (
                asyncio.timeout(revision.timeout),
                self._lender.lease(revision.name, session) as place,
            ):
                if session is not None and session.instance != preferred:
                    exchange.cookie = session_cookie(session)
                headers = request_headers(exchange.headers, record, admitted.header)
                if revision.ingress.http2:
                    await self._speak_http2(place, exchange, headers)
                else:
                    await exchange_http1(self._upstreams, place, exchange, headers)
        except self._exhausted:
            record.message = error_pages.NO_INSTANCE
            return text_answer(error_pages.NO_INSTANCE, 429)
        except RequestTooLargeError:
            return None if exchange.started else html_answer(error_pages.too_large(), 413)
        except AnswerTooLargeError:
            record.message = error_pages.ANSWER_TOO_LARGE
            return text_answer(error_pages.ANSWER_TOO_LARGE, 500)
        except BadRequestError:
            return html_answer(refusals.page(400), 400)
        except TimeoutError:
            record.message = error_pages.TIMED_OUT
            return None if exchange.started else text_answer(error_pages.UPSTREAM_TIMEOUT, 504)
        except (OSError, BadAnswerError) as error:
            return _broken(exchange, error)
        except ClientGoneError:
            record.status = record.status or 499
        return None

    async def _speak_http2(
        self, place: InstancePort, exchange: Exchange, headers: list[tuple[str, str]]
    ) -> None:
        """Exchange messages with a container that speaks HTTP/2 (``--use-http2``)."""
        from fogbank.frontend.ingress.http2_upstream import exchange_http2

        connection = await self._upstreams.connect(place)
        speaking = exchange_http2(connection, exchange, target_of(exchange.scope), headers)
        forwarding, reading = asyncio.create_task(speaking), asyncio.create_task(read_body(exchange))
        try:
            await asyncio.wait({forwarding, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not forwarding.done():
                await reading
                raise ClientGoneError
            await forwarding
        finally:
            for task in (forwarding, reading):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task


_INTERNAL = frozenset({"internal", "internal-and-cloud-load-balancing"})
_LOAD_BALANCED = frozenset({"all", "internal-and-cloud-load-balancing"})


def _by_load_balancer(scope: Scope) -> bool:
    """Return whether a request came over a front end of load balancers."""
    return bool((scope.get("client") or ("", 0))[0] == str(PROXY_SOURCE))


_FRONT_END = {"Server": "Google Frontend"}
_NO_WEBSOCKETS = "Fogbank does not forward WebSockets yet."
_CHALLENGE = 'Bearer error="invalid_token" error_description="The access token could not be verified"'


def pick(traffic: Iterable[Target], tag: str | None, draw: float) -> Target | None:
    """Choose where a request goes: the tagged target, or one by its share; ``draw`` is from 0 to 1."""
    targets = tuple(traffic)
    if tag is not None:
        return next((target for target in targets if target.tag == tag), None)
    left = draw * sum(target.percent for target in targets)
    serving = [target for target in targets if target.percent]
    for target in serving:
        left -= target.percent
        if left < 0:
            return target
    return serving[-1] if serving else None


def _new_record(scope: Scope, headers: Mapping[str, str], service: ResourceName) -> RequestRecord:
    return RequestRecord(
        service=service,
        method=scope["method"],
        url=f"https://{host_of(headers)}{target_of(scope)}",
        remote_ip=client_of(headers) if _by_load_balancer(scope) else (scope.get("client") or ("", 0))[0],
        user_agent=headers.get("user-agent", ""),
        protocol=f"HTTP/{scope.get('http_version', '1.1')}",
        trace=new_trace(headers),
    )


def _broken(exchange: Exchange, error: Exception) -> HttpResponse | None:
    """Answer for an instance that refused or dropped the connection; nothing helps a half-sent answer."""
    exchange.record.message = f"The instance closed the connection: {error}."
    return None if exchange.started else html_answer(error_pages.unavailable(), 503)


def _hosts_of(resource: Resource) -> list[str]:
    service = read_service(resource)
    return [url.removeprefix("https://") for url in (*service.urls, service.url) if url]


_BY_HOST = Index(SERVICES, _hosts_of)


async def _answer(exchange: Exchange, answer: HttpResponse) -> None:
    record = exchange.record
    record.status, record.response_size = answer.status, len(answer.body)
    headers = {**answer.headers, **_FRONT_END, "X-Cloud-Trace-Context": f"{record.trace.trace_id};o=1"}
    await respond(exchange.send, HttpResponse(answer.status, answer.body, answer.type, headers))


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Say that WebSockets are not built yet, in the way that the protocol allows."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1011, "reason": _NO_WEBSOCKETS})
        return
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "websocket.http.response.start", "status": 501, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": f"{_NO_WEBSOCKETS}\n".encode()})
