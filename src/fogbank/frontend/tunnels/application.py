"""IAP's tunnels at tunnel.cloudproxy.app: who may open one, to which machine, and how they end.

Refusals come as codes of the WebSocket, which gcloud puts into words; only a bad token has
an HTTP status (behaviour/iap-tcp-forwarding.md#refusals). The connection to the machine starts in the
namespace of IAP in its network, with a source in 35.235.240.0/20, and passes the machine's firewall rules.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qs

from fogbank.errors import ApiError
from fogbank.frontend.http.asgi import Receive, Scope, Send, headers_of, path_of, respond, text_answer
from fogbank.frontend.http.upgrades import Upgrade
from fogbank.frontend.iam.identity import Identity
from fogbank.frontend.tunnels.relay import (
    SUBPROTOCOL,
    Session,
    relay,
    render_connected,
    render_reconnected,
)
from fogbank.frontend.tunnels.websocket import Closed, Misused, WebSocket, accepting_head
from fogbank.lowering.netns_names import iap_netns
from fogbank.network.topology import NetnsName
from fogbank.resources.authorization import Access
from fogbank.resources.instances import INSTANCES, NetworkInterface, VirtualMachine
from fogbank.resources.names import ResourceName
from fogbank.resources.world import World

HOST = "tunnel.cloudproxy.app"
PERMISSION = "iap.tunnelInstances.accessViaIAP"
CONNECT_SECONDS = 5.0
"""How long a machine has to accept the connection."""
RESUME_SECONDS = 60.0
"""How long a session waits for a client that has gone without a word."""
SID_UNKNOWN, SID_IN_USE, UNREACHABLE, FORBIDDEN, NOT_FOUND = 4001, 4002, 4003, 4033, 4047

OpenSocket = Callable[[NetnsName, socket.SocketKind], socket.socket]


class Refused(Exception):
    """A tunnel cannot be had; ``code`` says why to the client."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


_Answering = Callable[[Mapping[str, str], str, WebSocket], Awaitable[None]]


class Tunnels:
    """The ASGI application of all tunnels."""

    def __init__(
        self, world: Callable[[], World], identity: Identity, access: Access, open_socket: OpenSocket
    ) -> None:
        self._world, self._identity, self._access = world, identity, access
        self._open_socket = open_socket
        self._sessions: dict[str, Session] = {}
        self._verbs: Mapping[str, _Answering] = {"connect": self._connect, "reconnect": self._reconnect}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: one that opens a WebSocket, or an answer that says so."""
        del receive
        headers = headers_of(scope)
        verb = self._verbs.get(path_of(scope).rpartition("/")[2])
        offer: Upgrade | None = (scope.get("extensions") or {}).get("upgrade")
        head = accepting_head(headers, SUBPROTOCOL)
        try:
            principal = self._identity.authenticate(headers.get("authorization"))
        except ApiError as error:
            await respond(send, text_answer(f"{error}\n", error.code))
            return
        if verb is None:
            await respond(send, text_answer("The requested URL was not found on this server.\n", 404))
        elif offer is None or offer.protocol.lower() != "websocket" or head is None:
            await respond(
                send, text_answer(f"{HOST} serves WebSockets, and this is no request for one.\n", 400)
            )
        else:
            reader, writer = offer.take()
            writer.write(head)
            query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
            await self._serve(verb, query, principal, WebSocket(reader, writer))

    def close(self) -> None:
        """End all connections to machines."""
        for session in tuple(self._sessions.values()):
            session.close()
        self._sessions.clear()

    async def _serve(
        self, verb: _Answering, query: Mapping[str, str], principal: str, client: WebSocket
    ) -> None:
        try:
            await verb(query, principal, client)
        except Refused as refused:
            await client.close(refused.code, refused.reason)
        except Misused as misused:
            await client.close(misused.code, str(misused))
        except Closed:
            await client.close(1000, "")

    async def _connect(self, query: Mapping[str, str], principal: str, client: WebSocket) -> None:
        session = await self._open(query, principal)
        self._sessions[session.sid] = session
        await self._talk(session, client, render_connected(session.sid))

    async def _reconnect(self, query: Mapping[str, str], principal: str, client: WebSocket) -> None:
        session = self._sessions.get(query.get("sid", ""))
        if session is None or session.owner != principal:
            raise Refused(SID_UNKNOWN, "Session is unknown")
        if session.attached:
            raise Refused(SID_IN_USE, "Session is in use")
        acknowledged = query.get("ack", "0")
        session.confirm(int(acknowledged) if acknowledged.isdecimal() else -1)
        await self._talk(session, client, render_reconnected(session.received))

    async def _talk(self, session: Session, client: WebSocket, first: bytes) -> None:
        """Serve a session until it is over or its client has gone; then it may come back for a while."""
        session.attached = True
        try:
            await client.send(first)
            end = await relay(session, client)
        except Closed:
            end = None
        except Misused:
            self._forget(session)
            raise
        finally:
            session.attached = False
        if end is not None or session.over:
            self._forget(session)
            await client.close(*(end or (1000, "")))
            return
        asyncio.get_running_loop().call_later(RESUME_SECONDS, self._expire, session)

    def _expire(self, session: Session) -> None:
        if not session.attached:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.sid, None)
        session.close()

    async def _open(self, query: Mapping[str, str], principal: str) -> Session:
        """Connect to the machine that a query names; Refused when that may not or cannot be."""
        world, port = self._world(), query.get("port", "")
        if not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise Refused(NOT_FOUND, f"Port {port!r} is none")
        project = query.get("project", "")
        if not self._access.allows(world, principal, PERMISSION, project):
            raise Refused(FORBIDDEN, "not authorized")
        interface = find_interface(world, query)
        opened = self._open_socket(iap_netns(interface.network), socket.SOCK_STREAM)
        opened.setblocking(False)
        target = str(interface.address), int(port)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(opened, target)
        except (OSError, TimeoutError) as error:
            opened.close()
            raise Refused(UNREACHABLE, "failed to connect to backend") from error
        reader, writer = await asyncio.open_connection(sock=opened)
        return Session(reader, writer, principal)


def find_interface(world: World, query: Mapping[str, str]) -> NetworkInterface:
    """Find where a tunnel leads: an interface of an instance that is on; Refused without one."""
    if "host" in query:
        raise Refused(NOT_FOUND, "Tunnels to addresses (--region, --network) are not built; name an instance")
    project, zone, instance = (query.get(name, "") for name in ("project", "zone", "instance"))
    found = world.find(ResourceName(INSTANCES, f"projects/{project}/zones/{zone}/instances/{instance}"))
    machine = VirtualMachine.of(found) if found else None
    wanted = query.get("interface", "nic0")
    for each in machine.interfaces if machine is not None and machine.powered else ():
        if each.name == wanted:
            return each
    raise Refused(NOT_FOUND, "Failed to lookup instance")
