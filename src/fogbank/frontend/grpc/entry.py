"""Where gRPC begins: an application that has its calls answered by the bridge, which is loaded then."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fogbank.frontend.http.asgi import Application, Receive, Scope, Send

if TYPE_CHECKING:
    from fogbank.frontend.grpc.application import GrpcApplication


class WithGrpc:
    """The ASGI application ``other``, whose calls of gRPC the one that ``make`` gives answers."""

    def __init__(self, other: Application, make: "Callable[[], GrpcApplication]") -> None:
        self._other, self._make = other, make
        self._grpc: GrpcApplication | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if not is_grpc(scope):
            await self._other(scope, receive, send)
            return
        if self._grpc is None:
            self._grpc = self._make()
        await self._grpc(scope, receive, send)


def is_grpc(scope: Scope) -> bool:
    """Return whether a request is a call of gRPC, which HTTP/2 alone carries."""
    return scope.get("http_version") == "2" and any(
        name == b"content-type" and value.startswith(b"application/grpc") for name, value in scope["headers"]
    )
