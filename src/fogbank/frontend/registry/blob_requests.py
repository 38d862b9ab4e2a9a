"""Blobs over HTTP: read, asked for, deleted, and uploaded whole, in parts, or by a mount."""

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from fogbank.frontend.http.asgi import HttpResponse, Send
from fogbank.frontend.registry.errors import API_VERSION, RegistryError, bad_digest, unknown_blob
from fogbank.frontend.registry.exchange import Exchange, Registry, allows, answer, demand, ensure_repository
from fogbank.frontend.registry.uploads import Session, Uploads, check_range
from fogbank.resources.artifactregistry import (
    DELETE,
    DOWNLOAD,
    UPLOAD,
    HostedImage,
    blobs_of,
    read_place,
    versions_in,
)
from fogbank.resources.images import DIGEST
from fogbank.store.blobs import BadDigestError

PIECE = 512 * 1024
"""Bytes that are read from the disk and handed to the connection at once."""

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


class BlobRequests:
    """The handlers of blobs and uploads."""

    def __init__(self, registry: Registry, uploads: Uploads) -> None:
        self._registry, self._uploads = registry, uploads

    async def blob(self, exchange: Exchange, image: HostedImage, digest: str) -> HttpResponse | None:
        """Answer a request for a blob."""
        if exchange.method == "DELETE":
            return self._delete(exchange, image, digest)
        demand(self._registry, exchange, DOWNLOAD, image)
        path = self._find(image, digest)
        size = path.stat().st_size
        headers = {"Docker-Content-Digest": digest, "Accept-Ranges": "bytes"}
        first, last, status = 0, size - 1, HTTPStatus.OK
        if found := _RANGE.fullmatch(exchange.headers.get("range", "")):
            first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
            if first > last:
                return answer(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"}
                )
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        headers["Content-Length"] = str(last - first + 1)
        if exchange.method == "HEAD":
            return answer(status, headers, type_="application/octet-stream")
        await _send_file(exchange.send, status, headers, path, (first, last + 1))
        return None

    def _find(self, image: HostedImage, digest: str) -> Path:
        path = self._registry.blobs.find(digest, image.repository.path)
        if path is None:
            raise unknown_blob(digest)
        return path

    def _delete(self, exchange: Exchange, image: HostedImage, digest: str) -> HttpResponse:
        demand(self._registry, exchange, DELETE, image)
        self._find(image, digest)
        versions = versions_in(self._registry.world, image.repository)
        if any(digest in blobs_of(each) for each in versions):
            raise RegistryError(
                HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", f"The blob {digest} is part of an image."
            )
        self._registry.blobs.unlink(digest, image.repository.path)
        return answer(HTTPStatus.ACCEPTED)

    async def begin(self, exchange: Exchange, image: HostedImage) -> HttpResponse:
        """Begin an upload; with a digest the body is all of it, with ``mount`` it may be here already."""
        demand(self._registry, exchange, UPLOAD, image)
        await ensure_repository(self._registry, exchange, image)
        repository = image.repository.path
        query = exchange.query
        if (digest := query.get("mount", "")) and self._mount(exchange, repository, digest):
            return _created(exchange, digest)
        session = self._uploads.begin(repository)
        if digest := query.get("digest", ""):
            return await self._complete(exchange, session, digest)
        return _accepted(exchange, session)

    def _mount(self, exchange: Exchange, repository: str, digest: str) -> bool:
        """Let the repository have a blob of another one that the caller may read; False if it cannot."""
        source = read_place(exchange.host, exchange.query.get("from", ""))
        blobs = self._registry.blobs
        if source is None or not allows(self._registry, exchange, DOWNLOAD, source):
            return blobs.find(digest, repository) is not None
        if blobs.find(digest, source.repository.path) is None:
            return False
        blobs.link(digest, repository)
        return True

    async def upload(self, exchange: Exchange, image: HostedImage, identifier: str) -> HttpResponse:
        """Answer a request about an upload that was begun."""
        demand(self._registry, exchange, UPLOAD, image)
        session = self._uploads.find(identifier, image.repository.path)
        match exchange.method:
            case "GET" | "HEAD":
                return _accepted(exchange, session, HTTPStatus.NO_CONTENT)
            case "DELETE":
                self._uploads.drop(session)
                return answer(HTTPStatus.NO_CONTENT)
            case "PATCH":
                if not check_range(exchange.headers.get("content-range", ""), session.upload.size):
                    return _accepted(exchange, session, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                await self._uploads.fill(session, exchange.receive)
                return _accepted(exchange, session)
            case _:
                if not check_range(exchange.headers.get("content-range", ""), session.upload.size):
                    return _accepted(exchange, session, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return await self._complete(exchange, session, exchange.query.get("digest", ""))

    async def _complete(self, exchange: Exchange, session: Session, digest: str) -> HttpResponse:
        if not DIGEST.fullmatch(digest):
            self._uploads.drop(session)
            raise bad_digest(f"'{digest[:100]}' is not a sha256 digest")
        await self._uploads.fill(session, exchange.receive)
        try:
            await self._uploads.finish(session, digest)
        except BadDigestError as error:
            raise bad_digest(str(error)) from error
        return _created(exchange, digest)


def _name(exchange: Exchange) -> str:
    return exchange.path.rpartition("/blobs/")[0]


def _created(exchange: Exchange, digest: str) -> HttpResponse:
    headers = {"Location": f"{_name(exchange)}/blobs/{digest}", "Docker-Content-Digest": digest}
    return answer(HTTPStatus.CREATED, headers)


def _accepted(exchange: Exchange, session: Session, status: int = HTTPStatus.ACCEPTED) -> HttpResponse:
    headers = {
        "Location": f"{_name(exchange)}/blobs/uploads/{session.id}",
        "Range": f"0-{max(session.upload.size - 1, 0)}",
        "Docker-Upload-UUID": session.id,
    }
    return answer(status, headers)


async def _send_file(
    send: Send, status: int, headers: Mapping[str, str], path: Path, span: tuple[int, int]
) -> None:
    """Send a part of a file, as fast as the client reads; ``span`` is its first byte and the one after it."""
    first, end = span
    lines = {**API_VERSION, "content-type": "application/octet-stream", **headers}
    with path.open("rb", buffering=0) as file:
        file.seek(first)
        raw = [(n.lower().encode(), v.encode()) for n, v in lines.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        left = end - first
        while left > 0:
            piece = await asyncio.to_thread(file.read, min(PIECE, left))
            if not piece:
                raise OSError(f"{path} is shorter than it was")
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
        if end == first:
            await send({"type": "http.response.body", "body": b""})
