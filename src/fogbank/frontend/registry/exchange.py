"""One request to the registry, and what every handler needs to answer it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from fogbank.errors import ApiError
from fogbank.frontend.http.asgi import HttpResponse, Receive, Scope, Send
from fogbank.frontend.registry.errors import (
    API_VERSION,
    RegistryError,
    denied,
    no_credentials,
    unknown_repository,
)
from fogbank.resources.artifactregistry import CREATE_ON_PUSH, GCR_LOCATIONS, UPLOAD, HostedImage, policy_name
from fogbank.resources.authorization import Access
from fogbank.resources.world import World
from fogbank.services.artifactregistry.pushes import made_on_push
from fogbank.store.blobs import BlobStore
from fogbank.store.store import Store


@dataclass(frozen=True, slots=True)
class Registry:
    """The registry's parts. ``check_enabled`` refuses a project that does not use Artifact Registry."""

    store: Store
    blobs: BlobStore
    access: Access
    check_enabled: Callable[[World, str], None]
    now: Callable[[], datetime]
    new_id: Callable[[], int]

    @property
    def world(self) -> World:
        """The newest World."""
        return self.store.world


@dataclass(frozen=True)
class Exchange:
    """One request: ``path`` is without escapes, ``principal`` an e-mail address or None for nobody's."""

    scope: Scope
    receive: Receive
    send: Send
    host: str
    path: str
    headers: Mapping[str, str]
    principal: str | None

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str(self.scope["method"])

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The first value of each parameter."""
        text = self.scope.get("query_string", b"").decode("latin-1")
        return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}

    def whole(self, name: str) -> int | None:
        """Read a parameter that counts; None when it is absent."""
        text = self.query.get(name)
        if text is None:
            return None
        if not text.isdecimal() or len(text) > 9:
            raise RegistryError(
                HTTPStatus.BAD_REQUEST, "PAGINATION_NUMBER_INVALID", f"{name} must be a whole number"
            )
        return int(text)


def answer(
    status: int, headers: Mapping[str, str] | None = None, body: bytes = b"", type_: str = "text/plain"
) -> HttpResponse:
    """Make an answer of the registry."""
    return HttpResponse(status, body, type_, {**API_VERSION, **(headers or {})})


def allows(registry: Registry, exchange: Exchange, permission: str, image: HostedImage) -> bool:
    """Return whether the caller has ``permission`` on the repository of ``image``."""
    repository = image.repository
    return registry.access.allows(
        registry.world, exchange.principal, permission, repository.project, policy_name(repository)
    )


def demand(registry: Registry, exchange: Exchange, permission: str, image: HostedImage) -> None:
    """Refuse unless the caller may, the project uses the API, and the repository is there; in this order."""
    repository = image.repository
    if not allows(registry, exchange, permission, image):
        if "authorization" not in exchange.headers:
            raise no_credentials(exchange.host, _scope(exchange, permission))
        raise denied(permission, repository, anonymous=exchange.principal is None)
    try:
        registry.check_enabled(registry.world, repository.project)
    except ApiError as error:
        raise RegistryError(HTTPStatus.FORBIDDEN, "DENIED", error.message) from error
    if registry.world.find(repository) is None and not (
        permission == UPLOAD and repository.id in GCR_LOCATIONS
    ):
        raise unknown_repository(repository)


def _scope(exchange: Exchange, permission: str) -> str:
    """Say for what a token should be asked: docker's own words for it."""
    name = exchange.path.removeprefix("/v2/")
    for mark in ("/blobs/", "/manifests/", "/tags/", "/referrers/"):
        name = name.rpartition(mark)[0] or name
    return f"repository:{name}:{'pull,push' if permission == UPLOAD else 'pull'}"


async def ensure_repository(registry: Registry, exchange: Exchange, image: HostedImage) -> None:
    """Make the repository of an old Container Registry host at its first push, for who may
    (behaviour/artifact-registry.md#hosts-of-container-registry).
    """
    repository = image.repository
    if registry.world.find(repository) is not None:
        return
    if not allows(registry, exchange, CREATE_ON_PUSH, image):
        raise RegistryError(
            HTTPStatus.FORBIDDEN,
            "DENIED",
            f"gcr.io repo does not exist. Creating on push requires the {CREATE_ON_PUSH} permission",
        )
    await registry.store.commit(
        lambda world: made_on_push(world, repository, registry.now(), registry.new_id)
    )


def json_value(content: Any) -> bytes:
    """Render JSON as answers have it."""
    return json.dumps(content, separators=(",", ":")).encode()
