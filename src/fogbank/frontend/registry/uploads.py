"""Uploads of blobs: sessions that live in this process alone, and the reading of bodies into them.

A body is written and hashed in a thread, piece by piece, while the next piece arrives; a whole one is never
in memory. A client that goes away in the middle takes its upload with it.
"""

import asyncio
import logging
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from fogbank.frontend.http.asgi import Message, Receive
from fogbank.frontend.registry.errors import RegistryError, disk_full, too_large
from fogbank.store.blobs import BlobStore, Upload

PIECE = 1024 * 1024
"""Bytes that are handed to the thread at once."""

SMALL = 64 * 1024
"""A body up to this is written where we are: a thread would cost more."""

IDLE_SECONDS = 3600.0
"""How long a session may wait for its next part (ours)."""

MOST_SESSIONS = 256
"""Sessions at a time; one more ends the one that has waited longest."""

LARGEST_BLOB = 16 * 1024**3
"""Bytes of one blob (ours): several times the layers that people push."""

SPARE_BYTES = 256 * 1024**2
"""Bytes that uploads leave free on the disk: the World is written there, too."""

LOOK_BYTES = 16 * 1024**2
"""How much of a body is taken before the disk is looked at again."""

_RANGE = re.compile(r"(?:bytes )?(\d{1,18})-(\d{1,18})(?:/.*)?")

_log = logging.getLogger(__name__)


class ClientGoneError(Exception):
    """The client went away before its body was whole."""


@dataclass(slots=True, eq=False)
class Session:
    """One upload: its ``id``, and the path of the ``repository`` that it is for."""

    id: str
    repository: str
    upload: Upload
    used: float
    busy: bool = field(default=False)


class Uploads:
    """The sessions of a registry. ``clock`` gives seconds. Must be used in the event loop."""

    def __init__(
        self,
        blobs: BlobStore,
        clock: Callable[[], float],
        *,
        largest: int = LARGEST_BLOB,
        spare: int = SPARE_BYTES,
    ) -> None:
        self._blobs, self._clock = blobs, clock
        self._largest, self._spare = largest, spare
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, repository: str) -> Session:
        """Begin one."""
        self._expire()
        identifier = str(uuid.uuid4())
        session = Session(identifier, repository, self._blobs.begin(identifier), self._clock())
        self._sessions[identifier] = session
        return session

    def find(self, identifier: str, repository: str) -> Session:
        """Find one that nobody is using; RegistryError otherwise."""
        session = self._sessions.get(identifier)
        if session is None or session.repository != repository:
            raise RegistryError(
                HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", f"There is no upload {identifier[:80]}."
            )
        if session.busy:
            raise RegistryError(
                HTTPStatus.CONFLICT, "BLOB_UPLOAD_INVALID", "Another request writes to this upload."
            )
        return session

    def drop(self, session: Session) -> None:
        """Forget a session, and remove what there is of its file."""
        self._sessions.pop(session.id, None)
        session.upload.discard()

    async def fill(self, session: Session, receive: Receive) -> None:
        """Add a request's body; when that fails in any way, the session has ended."""
        session.busy = True
        try:
            await _copy(session.upload, self._bounded(session.upload.size, receive))
        except BaseException:
            self.drop(session)
            raise
        session.busy, session.used = False, self._clock()

    def _bounded(self, size: int, receive: Receive) -> Receive:
        """Read a body to which ``size`` bytes are there already; RegistryError when it becomes too much."""
        checked = size

        async def bounded() -> Message:
            nonlocal size, checked
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._largest:
                raise too_large(self._largest)
            if size - checked > LOOK_BYTES:
                checked = size
                self._check_disk()
            return message

        self._check_disk()
        return bounded

    def _check_disk(self) -> None:
        free = self._blobs.free_bytes()
        if free < self._spare:
            raise disk_full(free)

    async def finish(self, session: Session, digest: str) -> None:
        """Make a blob of a session; BadDigestError when it is another one. The session has ended."""
        session.busy = True
        self._sessions.pop(session.id, None)
        await asyncio.to_thread(self._blobs.finish, session.upload, digest, session.repository)

    def close(self) -> None:
        """End every session."""
        for session in list(self._sessions.values()):
            self.drop(session)

    def _expire(self) -> None:
        now = self._clock()
        waiting = sorted((s for s in self._sessions.values() if not s.busy), key=lambda s: s.used)
        surplus = len(self._sessions) + 1 - MOST_SESSIONS
        for number, session in enumerate(waiting):
            if number < surplus or now - session.used > IDLE_SECONDS:
                _log.info("the upload %s was given up", session.id)
                self.drop(session)


async def _copy(upload: Upload, receive: Receive) -> None:
    pieces: list[bytes] = []
    held = 0
    writing: asyncio.Task[None] | None = None
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            pieces.append(message.get("body", b""))
            held += len(pieces[-1])
            more = message.get("more_body", False)
            if held >= PIECE or not more:
                if writing is not None:
                    await writing
                elif held <= SMALL and not more:
                    upload.append(b"".join(pieces))
                    return
                writing = asyncio.create_task(asyncio.to_thread(_append, upload, pieces))
                pieces, held = [], 0
            if not more:
                await writing if writing is not None else None
                return
    finally:
        if writing is not None and not writing.done():  # its file must not go while it is written
            await asyncio.wait({writing})


def _append(upload: Upload, pieces: list[bytes]) -> None:
    upload.append(b"".join(pieces))


def check_range(header: str, size: int) -> bool:
    """Return whether a ``Content-Range`` goes on where ``size`` bytes end; an absent one does."""
    if not header:
        return True
    found = _RANGE.fullmatch(header.strip())
    return found is not None and int(found[1]) == size
