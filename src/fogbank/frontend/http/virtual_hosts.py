"""Whose a host is: Google's APIs, its account hosts, Cloud Run's services, registries, or nobody's.

:func:`kind_of` is asked by the proxy before it accepts a tunnel; :class:`Hosts` sends each request to its
application.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from fogbank.frontend.http.asgi import (
    Application,
    HttpResponse,
    Receive,
    Scope,
    Send,
    plain_host,
    respond,
    text_answer,
)
from fogbank.frontend.iam import iamcredentials, oauth

HostKind = Literal["accounts", "iamcredentials", "api", "run", "registry", "tunnel"]

_REGISTRIES = frozenset({"gcr.io", "mirror.gcr.io"})


@lru_cache(4096)
def kind_of(host: str) -> HostKind | None:
    """Return whose ``host`` (lower case, no port) is; None for one that Fogbank does not stand for."""
    if host in oauth.HOSTS:
        return "accounts"
    if host == iamcredentials.HOST:
        return "iamcredentials"
    if host == "googleapis.com" or host.endswith(".googleapis.com"):
        return "api"
    if host.endswith(".run.app"):
        return "run"
    if host in _REGISTRIES or host.endswith((".pkg.dev", ".gcr.io")):
        return "registry"
    return "tunnel" if host == "tunnel.cloudproxy.app" else None


class Hosts:
    """The ASGI application that sends each request to the one its host and path belong to.

    ``applications`` has one for each kind that is served; what is missing is refused with 400.
    """

    def __init__(self, applications: Mapping[HostKind, Application]) -> None:
        self._applications = applications

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        host = _host(scope)
        kind = kind_of(host)
        if kind == "api" and oauth.owns(host, scope["path"]):
            kind = "accounts"
        application = self._applications.get(kind) if kind is not None else None
        if application is not None:
            await application(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1011})
        else:
            await respond(send, _refusal(host, kind))


def _refusal(host: str, kind: HostKind | None) -> HttpResponse:
    if kind is None:
        return text_answer(f"{host or 'No host'} is not served by Fogbank.\n", 404)
    return text_answer(f"Fogbank does not implement {kind} hosts ({host}) yet.\n", 400)


def _host(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            return plain_host(value.decode("latin-1"))
    return ""
