"""The ASGI application of the registry: from a request to its handler, and from a refusal to an answer.

A host stands for a location (``asia-northeast1-docker.pkg.dev``) or for one of the old Container Registry's
(``gcr.io``); the path begins with the image's project and repository.
"""

import asyncio
import logging
import re
from collections.abc import Iterator
from http import HTTPStatus

from fogbank.frontend.http.asgi import (
    HttpResponse,
    Receive,
    Scope,
    Send,
    TooLargeError,
    headers_of,
    host_of,
    path_of,
    read_request,
    respond,
    text_answer,
)
from fogbank.frontend.iam.identity import Identity
from fogbank.frontend.registry.blob_requests import BlobRequests
from fogbank.frontend.registry.credentials import answer_token, principal_of
from fogbank.frontend.registry.errors import RegistryError, bad_name, no_credentials, render
from fogbank.frontend.registry.exchange import Exchange, Registry, allows, answer
from fogbank.frontend.registry.manifest_requests import ManifestRequests, paged
from fogbank.frontend.registry.uploads import ClientGoneError, Uploads
from fogbank.resources.artifactregistry import (
    DOWNLOAD,
    GCR_LOCATIONS,
    PACKAGES,
    HostedImage,
    image_of,
    location_of_host,
    read_place,
    repository_of,
)
from fogbank.resources.images import is_image_path

_PATH = re.compile(
    r"/v2/(?P<name>.+)/(?:(?P<uploads>blobs/uploads)/(?P<upload>[\w-]*)|blobs/(?P<blob>[^/]+)"
    r"|manifests/(?P<manifest>[^/]+)|(?P<tags>tags/list)|referrers/(?P<referrers>[^/]+))"
)

_log = logging.getLogger(__name__)


class RegistryApplication:
    """Serves every host of Docker repositories."""

    def __init__(self, registry: Registry, identity: Identity) -> None:
        self._registry, self._identity = registry, identity
        self.uploads = Uploads(registry.blobs, asyncio.get_running_loop().time)
        self._blobs = BlobRequests(registry, self.uploads)
        self._manifests = ManifestRequests(registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1011})
            return
        headers, path = headers_of(scope), path_of(scope)
        host = host_of(headers)
        try:
            if location_of_host(host) is None:
                raise _no_registry(host)
            if path == "/v2/token":
                reply: HttpResponse | None = answer_token(self._identity, await read_request(scope, receive))
            else:
                principal = principal_of(self._identity, headers.get("authorization"), host)
                exchange = Exchange(scope, receive, send, host, path, headers, principal)
                reply = await self._answer(exchange)
        except RegistryError as error:
            reply = render(error)
        except TooLargeError:
            reply = text_answer("The request is too large.\n", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except ClientGoneError:
            return
        except OSError as error:
            _log.exception("the registry's files cannot be used")
            reply = render(
                RegistryError(HTTPStatus.INTERNAL_SERVER_ERROR, "UNKNOWN", f"The disk refuses: {error}")
            )
        if reply is not None:
            await respond(send, reply)

    async def _answer(self, exchange: Exchange) -> HttpResponse | None:
        if exchange.path in {"/v2", "/v2/"}:
            if "authorization" not in exchange.headers:
                raise no_credentials(exchange.host)
            return answer(HTTPStatus.OK, body=b"{}", type_="application/json")
        if exchange.path == "/v2/_catalog":
            return self._catalog(exchange)
        found = _PATH.fullmatch(exchange.path)
        if found is None:
            return text_answer("404 page not found\n", HTTPStatus.NOT_FOUND)
        image = read_place(exchange.host, found["name"])
        if image is None or not is_image_path(found["name"]):
            raise bad_name(found["name"])
        allowed = _allowed(found)
        if exchange.method not in allowed:
            raise _no_method(exchange.method, allowed)
        if found["uploads"]:
            if found["upload"]:
                return await self._blobs.upload(exchange, image, found["upload"])
            return await self._blobs.begin(exchange, image)
        if found["blob"]:
            return await self._blobs.blob(exchange, image, found["blob"])
        return await self._manifest_request(exchange, image, found)

    async def _manifest_request(
        self, exchange: Exchange, image: HostedImage, found: re.Match[str]
    ) -> HttpResponse:
        if found["manifest"]:
            return await self._manifests.manifest(exchange, image, found["manifest"])
        if found["tags"]:
            return await self._manifests.tags(exchange, image)
        return await self._manifests.referrers(exchange, image, found["referrers"])

    def _catalog(self, exchange: Exchange) -> HttpResponse:
        """List the images of the host that the caller may read."""
        if exchange.principal is None:
            raise no_credentials(exchange.host, "registry:catalog:*")
        last = exchange.query.get("last", "")
        names = (each for each in sorted(self._names(exchange)) if each > last)
        return paged(exchange, {}, "repositories", names)

    def _names(self, exchange: Exchange) -> Iterator[str]:
        location = location_of_host(exchange.host)
        for package in self._registry.world.all(PACKAGES):
            repository = repository_of(package.name)
            old = exchange.host in GCR_LOCATIONS
            if repository.region != location or (old and repository.id != exchange.host):
                continue
            place = HostedImage(repository, image_of(package.name))
            if allows(self._registry, exchange, DOWNLOAD, place):
                project = repository.project.replace(":", "/")
                yield f"{project}/{place.image}" if old else f"{project}/{repository.id}/{place.image}"

    def close(self) -> None:
        """Give up every upload."""
        self.uploads.close()


def _allowed(found: re.Match[str]) -> frozenset[str]:
    """Return the methods of what a path names."""
    if found["uploads"]:
        return frozenset({"GET", "HEAD", "PATCH", "PUT", "DELETE"} if found["upload"] else {"POST"})
    if found["blob"]:
        return frozenset({"GET", "HEAD", "DELETE"})
    return frozenset({"GET", "HEAD", "PUT", "DELETE"} if found["manifest"] else {"GET", "HEAD"})


def _no_method(method: str, allowed: frozenset[str]) -> RegistryError:
    return RegistryError(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "UNSUPPORTED",
        f"{method} is not allowed here.",
        {"Allow": ", ".join(sorted(allowed))},
    )


def _no_registry(host: str) -> RegistryError:
    return RegistryError(
        HTTPStatus.BAD_REQUEST,
        "UNSUPPORTED",
        f"Fogbank implements Docker repositories alone: {host} is not LOCATION-docker.pkg.dev of a location "
        "of Artifact Registry, nor a host of gcr.io.",
    )
