"""Manifests, tags and referrers over HTTP: what images there are, and how one comes to be."""

import asyncio
import re
import uuid
from collections.abc import Iterable
from http import HTTPStatus
from itertools import islice
from urllib.parse import quote

from fogbank.errors import ApiError
from fogbank.frontend.http.asgi import HttpResponse, TooLargeError, read_body
from fogbank.frontend.http.json_bodies import parse_json
from fogbank.frontend.registry.errors import RegistryError, bad_digest, unknown_manifest
from fogbank.frontend.registry.exchange import (
    Exchange,
    Registry,
    answer,
    demand,
    ensure_repository,
    json_value,
)
from fogbank.resources.artifactregistry import (
    DELETE,
    DOWNLOAD,
    UPLOAD,
    HostedImage,
    find_digest,
    referrers_of,
    tags_in,
)
from fogbank.resources.images import DIGEST
from fogbank.resources.manifests import LONGEST, OCI_INDEX, Manifest, parse_manifest
from fogbank.resources.world import Json, Resource
from fogbank.services.artifactregistry.pushes import Received, UnknownPartError, pushed, removed

MOST_LISTED = 1000
"""Tags or names in one answer, when the client asks for no number."""

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)")
_LONGEST_CONFIG = 1024 * 1024


class ManifestRequests:
    """The handlers of manifests, tags and referrers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def manifest(self, exchange: Exchange, image: HostedImage, reference: str) -> HttpResponse:
        """Answer a request about a manifest, which a tag or a digest names."""
        if not (DIGEST.fullmatch(reference) or _TAG.fullmatch(reference)):
            if exchange.method != "PUT":
                raise unknown_manifest(reference[:200])
            raise bad_digest(f"'{reference[:200]}' is neither a tag nor a sha256 digest")
        match exchange.method:
            case "PUT":
                return await self._put(exchange, image, reference)
            case "DELETE":
                return await self._delete(exchange, image, reference)
            case _:
                return await self._get(exchange, image, reference)

    async def _get(self, exchange: Exchange, image: HostedImage, reference: str) -> HttpResponse:
        demand(self._registry, exchange, DOWNLOAD, image)
        world = self._registry.world
        digest = find_digest(world, image, reference)
        if digest is None:
            raise unknown_manifest(reference)
        version = world.get(image.version(digest))
        headers = {"Docker-Content-Digest": digest, "Content-Length": str(version.private["bytes"])}
        kind = version.private["mediaType"]
        if exchange.method == "HEAD":
            return answer(HTTPStatus.OK, headers, type_=kind)
        path = self._registry.blobs.find(digest, image.repository.path)
        if path is None:
            raise unknown_manifest(reference)
        return answer(HTTPStatus.OK, headers, path.read_bytes(), kind)

    async def _put(self, exchange: Exchange, image: HostedImage, reference: str) -> HttpResponse:
        demand(self._registry, exchange, UPLOAD, image)
        await ensure_repository(self._registry, exchange, image)
        try:
            content = await read_body(exchange.receive, LONGEST)
        except TooLargeError as error:
            message = f"A manifest may have at most {LONGEST:,} bytes."
            raise RegistryError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID", message) from error
        received = await asyncio.to_thread(
            self._receive, image, content, exchange.headers.get("content-type", "")
        )
        digest, manifest = received.digest, received.manifest
        by_digest = ":" in reference
        if by_digest and reference != digest:
            raise bad_digest(f"the manifest hashes to {digest}, not to {reference}")
        await self._commit(image, received, "" if by_digest else reference)
        headers = {
            "Location": f"{exchange.path.rpartition('/')[0]}/{digest}",
            "Docker-Content-Digest": digest,
        }
        if manifest.subject:
            headers["OCI-Subject"] = manifest.subject
        return answer(HTTPStatus.CREATED, headers)

    def _receive(self, image: HostedImage, content: bytes, content_type: str) -> Received:
        """Read a manifest, find its parts and keep it. It blocks: a manifest may name thousands of parts."""
        try:
            manifest = parse_manifest(content, content_type)
        except ValueError as error:
            raise _invalid(str(error)) from error
        sizes = self._sizes(image, manifest)
        digest = self._registry.blobs.put(content, image.repository.path, str(uuid.uuid4()))
        return Received(digest, manifest, sizes, len(content), self._build_time(image, manifest))

    async def _commit(self, image: HostedImage, received: Received, tag: str) -> None:
        registry = self._registry
        try:
            await registry.store.commit(
                lambda world: pushed(world, image, received, tag, now=registry.now(), new_id=registry.new_id)
            )
        except UnknownPartError as error:
            raise RegistryError(
                HTTPStatus.BAD_REQUEST,
                "MANIFEST_BLOB_UNKNOWN",
                f"The index names {error}, which is not in the repository.",
            ) from error
        except ApiError as error:
            raise _invalid(error.message) from error

    def _sizes(self, image: HostedImage, manifest: Manifest) -> dict[str, int]:
        """Find the blobs of a manifest in the repository; RegistryError when one is missing."""
        sizes = {}
        for digest in (*manifest.blobs, *manifest.foreign):
            path = self._registry.blobs.find(digest, image.repository.path)
            if path is None and digest in manifest.foreign:
                continue
            if path is None:
                raise RegistryError(
                    HTTPStatus.BAD_REQUEST,
                    "MANIFEST_BLOB_UNKNOWN",
                    f"The manifest names {digest}, which is not in the repository.",
                )
            sizes[digest] = path.stat().st_size
        return sizes

    def _build_time(self, image: HostedImage, manifest: Manifest) -> str:
        """Read when the image was made from its configuration; nothing when that does not say."""
        path = self._registry.blobs.find(manifest.config, image.repository.path) if manifest.config else None
        if path is None or path.stat().st_size > _LONGEST_CONFIG:
            return ""
        try:
            config = parse_json(path.read_bytes())
        except ValueError:  # a configuration may be anything
            return ""
        created = config.get("created") if isinstance(config, dict) else None
        return created if isinstance(created, str) and _MOMENT.fullmatch(created) else ""

    async def _delete(self, exchange: Exchange, image: HostedImage, reference: str) -> HttpResponse:
        demand(self._registry, exchange, DELETE, image)
        try:
            await self._registry.store.commit(lambda world: removed(world, image, reference))
        except ApiError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                raise unknown_manifest(reference) from error
            raise RegistryError(HTTPStatus.BAD_REQUEST, "DENIED", error.message) from error
        return answer(HTTPStatus.ACCEPTED)

    async def tags(self, exchange: Exchange, image: HostedImage) -> HttpResponse:
        """List the tags of an image, page by page."""
        demand(self._registry, exchange, DOWNLOAD, image)
        world = self._registry.world
        if world.find(image.package) is None:
            raise RegistryError(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", f'Package "{image.image}" not found')
        last = exchange.query.get("last", "")
        after = image.tag(last).path if last else ""
        found = (tag.name.id for tag in tags_in(world, image.package, after))
        name = exchange.path.removeprefix("/v2/").removesuffix("/tags/list")
        return paged(exchange, {"name": name}, "tags", found)

    async def referrers(self, exchange: Exchange, image: HostedImage, digest: str) -> HttpResponse:
        """List the manifests that are about another one."""
        demand(self._registry, exchange, DOWNLOAD, image)
        if not DIGEST.fullmatch(digest):
            raise RegistryError(
                HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", f"'{digest[:100]}' is not a sha256 digest"
            )
        found = [_descriptor(each) for each in referrers_of(self._registry.world, image.package, digest)]
        headers = {}
        if wanted := exchange.query.get("artifactType"):
            found = [each for each in found if each.get("artifactType") == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        return answer(HTTPStatus.OK, headers, json_value(index), OCI_INDEX)


def paged(exchange: Exchange, content: Json, field: str, items: Iterable[str]) -> HttpResponse:
    """Answer with as many ``items`` as the client asks for, and where the next ones are."""
    count = exchange.whole("n")
    wanted = MOST_LISTED if count is None else min(count, MOST_LISTED)
    found = list(islice(items, wanted + 1))
    headers = {}
    if len(found) > wanted and wanted:
        last = quote(found[wanted - 1], safe="")
        headers["Link"] = f'<{exchange.path}?n={wanted}&last={last}>; rel="next"'
    return answer(HTTPStatus.OK, headers, json_value({**content, field: found[:wanted]}), "application/json")


def _descriptor(version: Resource) -> Json:
    facts = version.private
    shown = {
        "mediaType": facts["mediaType"],
        "digest": version.name.id,
        "size": facts["bytes"],
        "artifactType": facts["artifactType"],
        "annotations": facts["annotations"],
    }
    return {key: value for key, value in shown.items() if value}


def _invalid(message: str) -> RegistryError:
    return RegistryError(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", message)
