"""Sends the requests that Google's products make, from the address of Google's front end on the internet.

They are real connections, to third parties and to Google's own hosts alike. The ingress of Cloud Run asks
here for which project a connection was made, because what a product sends for a service's own project counts
as internal (behaviour/cloud-run.md#ingress).
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogbank.control.outgoing import IdToken, OutgoingRequest
from fogbank.frontend.iam.identity import Identity
from fogbank.lowering.netns_names import INTERNET
from fogbank.network.addressing import FRONT_END
from fogbank.network.topology import NetnsName
from fogbank.resources.dns import Answers, known

if TYPE_CHECKING:
    from aiohttp import ClientSession

_LARGEST_ANSWER = 1024 * 1024

_project: ContextVar[str] = ContextVar("project")


class GoogleRequests:
    """The sender; ``answers`` resolves names, ``trusted`` is the file with the certificates to trust."""

    def __init__(
        self,
        identity: Identity,
        open_socket: Callable[[NetnsName, socket.SocketKind], socket.socket],
        answers: Answers,
        trusted: Path,
    ) -> None:
        self._identity, self._open_socket, self._answers, self._trusted = (
            identity,
            open_socket,
            answers,
            trusted,
        )
        self._session: ClientSession | None = None
        self._projects: dict[int, str] = {}
        """For which project a connection was made, by its port."""

    def project_of(self, address: str, port: int) -> str | None:
        """Return for which project a connection from ``address`` was made; None when it is not from here."""
        return self._projects.get(port) if address == str(FRONT_END) else None

    async def send(self, request: OutgoingRequest) -> int:
        """Send a request; return the answer's status (an Outgoing)."""
        headers = {**request.headers, **await asyncio.to_thread(self._prepare, request)}
        from aiohttp import ClientError

        _project.set(request.project)
        try:
            async with (
                asyncio.timeout(request.seconds),
                self._sessions().request(
                    request.method,
                    request.url,
                    headers=headers,
                    data=request.body or None,
                    allow_redirects=False,
                ) as response,
            ):
                await response.content.read(_LARGEST_ANSWER)
                return response.status
        except (ClientError, ValueError) as error:
            raise OSError(f"{request.url}: {error}") from error

    async def close(self) -> None:
        """Drop all connections."""
        if self._session is not None:
            await self._session.close()

    def _prepare(self, request: OutgoingRequest) -> dict[str, str]:
        """Do in a thread what takes long: the client's import, the first time, and a signature."""
        import aiohttp  # noqa: F401 - not every region sends a request

        return self._authorization(request)

    def _authorization(self, request: OutgoingRequest) -> dict[str, str]:
        """Make the header with the request's token; OSError when its account is gone."""
        if request.token is None:
            return {}
        account = self._identity.account(request.token.account)
        if account is None:
            raise PermissionError(f"the service account {request.token.account} does not exist")
        if isinstance(request.token, IdToken):
            token = self._identity.id_token(account, request.token.audience)
        else:
            token = self._identity.access_token(account.email, request.token.scopes)
        return {"Authorization": f"Bearer {token}"}

    def _sessions(self) -> "ClientSession":
        if self._session is None:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

            self._session = ClientSession(
                connector=TCPConnector(
                    limit=0,
                    force_close=True,
                    ssl=ssl.create_default_context(cafile=self._trusted),
                    resolver=_resolver(self._answers),
                    use_dns_cache=False,
                    socket_factory=self._make_socket,
                ),
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None, sock_connect=10),
            )
        return self._session

    def _make_socket(self, _found: Any) -> socket.socket:
        made = self._open_socket(INTERNET, socket.SOCK_STREAM)
        made.setblocking(False)
        made.bind((str(FRONT_END), 0))
        self._projects[made.getsockname()[1]] = _project.get()
        while len(self._projects) > _MOST_PORTS:
            del self._projects[next(iter(self._projects))]
        return made


_MOST_PORTS = 10_000
"""Of so many connections is remembered for whom they were made: far more than there are at a time."""


def _resolver(answers: Answers) -> Any:
    from aiohttp.abc import AbstractResolver

    class Resolver(AbstractResolver):
        """Resolves names as the internet knows them: no network's private zones."""

        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Any]:
            del family
            records = known(answers(FRONT_END, f"{host.lower().rstrip('.')}.", "A"))
            found = [text for each in records if each.type == "A" for text in each.texts]
            if not found:
                raise OSError(f"no address of {host} is known")
            return [
                {
                    "hostname": host, "host": str(IPv4Address(address)), "port": port,
                    "family": socket.AF_INET, "proto": 0, "flags": socket.AI_NUMERICHOST,
                }
                for address in found
            ]  # fmt: skip

        async def close(self) -> None:
            return

    return Resolver()
