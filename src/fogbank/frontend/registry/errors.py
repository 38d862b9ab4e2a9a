"""Refusals of the registry: the errors of the distribution protocol, in the words of Artifact Registry."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from fogbank.frontend.http.asgi import HttpResponse
from fogbank.resources.names import ResourceName

API_VERSION = {"Docker-Distribution-API-Version": "registry/2.0"}


class RegistryError(Exception):
    """A request that is refused: an HTTP status and a code of the protocol (``NAME_UNKNOWN``)."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}


def render(error: RegistryError) -> HttpResponse:
    """Answer with an error."""
    body = json.dumps({"errors": [{"code": error.code, "message": str(error)}]}).encode()
    return HttpResponse(error.status, body, "application/json", {**API_VERSION, **error.headers})


def denied(permission: str, repository: ResourceName, *, anonymous: bool) -> RegistryError:
    """Refuse for want of a permission (behaviour/artifact-registry.md#the-registry)."""
    where = f'on resource "{repository.path}" (or it may not exist)'
    if anonymous:
        message = (
            f'Unauthenticated request. Unauthenticated requests do not have permission "{permission}" {where}'
        )
    else:
        message = f'Permission "{permission}" denied {where}'
    return RegistryError(HTTPStatus.FORBIDDEN, "DENIED", message)


def no_credentials(host: str, scope: str = "", message: str = "Unauthenticated request.") -> RegistryError:
    """Ask for a token; ``scope`` is what it should be for."""
    parts = [f'realm="https://{host}/v2/token"', f'service="{host}"']
    if scope:
        parts.append(f'scope="{scope}"')
    challenge = {"WWW-Authenticate": f"Bearer {','.join(parts)}"}
    return RegistryError(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", message, challenge)


def unknown_repository(repository: ResourceName) -> RegistryError:
    """Refuse a repository that does not exist."""
    return RegistryError(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", f'Repository "{repository.id}" not found')


def unknown_manifest(reference: str) -> RegistryError:
    """Refuse a manifest that is not there."""
    return RegistryError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", f'Failed to fetch "{reference}"')


def unknown_blob(digest: str) -> RegistryError:
    """Refuse a blob that the repository does not have."""
    return RegistryError(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", f"The blob {digest} is not in the repository.")


def bad_digest(message: str) -> RegistryError:
    """Refuse content that is not what its digest says."""
    return RegistryError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", message)


def too_large(most: int) -> RegistryError:
    """Refuse a blob that has more than ``most`` bytes."""
    return RegistryError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "SIZE_INVALID",
        f"A blob has at most {most} bytes here. Split the layer.",
    )


def disk_full(free: int) -> RegistryError:
    """Refuse an upload for which the machine's disk has no room."""
    return RegistryError(
        HTTPStatus.INSUFFICIENT_STORAGE,
        "UNKNOWN",
        f"The disk with the region's registry has only {free} bytes left. Make room, or delete images.",
    )


def bad_name(name: str) -> RegistryError:
    """Refuse what names no image."""
    return RegistryError(
        HTTPStatus.NOT_FOUND,
        "NAME_UNKNOWN",
        f'"{name[:200]}" does not name an image: write LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE.',
    )
