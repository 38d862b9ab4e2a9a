"""Blobs: files under the hash of what is in them, and which repositories have each.

``blobs/sha256/HEX`` is a blob, once for the whole region; ``repositories/…/HEX`` is a hard link to it for
each repository that has it, so that nobody reads by a digest alone what is another repository's. ``uploads/``
has what is still on its way: a file gets its name only when it is whole, hashes to its digest and is on the
disk. What a process that was killed had begun is removed by the next one. All functions block: call those
that touch much in a thread.
"""

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from urllib.parse import quote

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class BadDigestError(ValueError):
    """The content does not hash to what it should, or the digest is none."""


class Upload:
    """A blob on its way into a store; used by one task at a time. ``size`` is bytes so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb", buffering=0)
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """The digest of what is here so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def append(self, content: bytes) -> None:
        """Add to the end."""
        left = memoryview(content)
        while left:
            left = left[self._file.write(left) :]
        self._hash.update(content)
        self.size += len(content)

    def finish(self) -> Path:
        """Wait until all of it is on the disk; return the file, which the caller moves."""
        os.fdatasync(self._file.fileno())
        self._file.close()
        return self._path

    def discard(self) -> None:
        """Remove it; nothing happens when it was moved."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class BlobStore:
    """The blobs in ``folder``. Safe from any thread. ``now`` gives the seconds that files' times are in."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._blobs = folder / "blobs" / "sha256"
        self._uploads = folder / "uploads"
        self._repositories = folder / "repositories"
        self._now = now
        for each in (self._blobs, self._uploads, self._repositories):
            each.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return the file that holds (or would hold) a blob; BadDigestError for what is no digest."""
        return self._blobs / _hex(digest)

    def free_bytes(self) -> int:
        """Return how much room the disk has for whoever is not root."""
        found = os.statvfs(self._uploads)
        return found.f_bavail * found.f_frsize

    def sweep_uploads(self) -> None:
        """Remove every upload: those of a region that has ended."""
        for each in self._uploads.iterdir():
            each.unlink(missing_ok=True)

    def begin(self, name: str) -> Upload:
        """Begin an upload under a name that is new."""
        return Upload(self._uploads / name)

    def finish(self, upload: Upload, digest: str, repository: str) -> None:
        """Keep an upload in a repository; BadDigestError when it does not hash to ``digest``."""
        try:
            if upload.digest != digest:
                raise BadDigestError(f"the content hashes to {upload.digest}, not to {digest}")
            path = self.path(digest)
            if path.exists():
                self._touch(path)
            else:
                upload.finish().replace(path)
            self.link(digest, repository)
        finally:
            upload.discard()

    def put(self, content: bytes, repository: str, name: str) -> str:
        """Keep a small blob in a repository; return its digest. ``name`` is a new one for its upload."""
        upload = self.begin(name)
        upload.append(content)
        digest = upload.digest
        self.finish(upload, digest, repository)
        return digest

    def link(self, digest: str, repository: str) -> None:
        """Let a repository have a blob that is here; FileNotFoundError when it is not."""
        folder = self._folder(repository)
        folder.mkdir(parents=True, exist_ok=True)
        self._touch(self.path(digest))
        with contextlib.suppress(FileExistsError):
            os.link(self.path(digest), folder / _hex(digest))

    def find(self, digest: str, repository: str) -> Path | None:
        """Return the file of a blob that a repository has, which stays a while from now; None for others."""
        try:
            path = self._folder(repository) / _hex(digest)
            self._touch(path)
        except (BadDigestError, FileNotFoundError):
            return None
        return path

    def unlink(self, digest: str, repository: str) -> bool:
        """Take a blob from a repository; return whether it was there."""
        path = self.find(digest, repository)
        if path is not None:
            path.unlink(missing_ok=True)
        return path is not None

    def collect(
        self, kept: Collection[str], repositories: Callable[[str], Collection[str] | None], seconds: float
    ) -> int:
        """Remove what nobody needs and nobody asked for within ``seconds``; return how many blobs went.

        ``kept`` are the digests that stay in any case; ``repositories`` gives those that a repository needs,
        None for one that is gone.
        """
        before = self._now() - seconds
        for repository, folder in self._all_repositories():
            needed = repositories(repository)
            if needed is None:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for link in folder.iterdir():
                if f"sha256:{link.name}" not in needed and link.stat().st_mtime < before:
                    link.unlink(missing_ok=True)
        return sum(self._drop_unlinked(before, kept))

    def _drop_unlinked(self, before: float, kept: Collection[str]) -> Iterator[int]:
        linked = {link.name for _, folder in self._all_repositories() for link in folder.iterdir()}
        for path in self._blobs.iterdir():
            unused = path.name not in linked and f"sha256:{path.name}" not in kept
            if unused and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
                yield 1

    def _all_repositories(self) -> Iterator[tuple[str, Path]]:
        for folder in sorted(self._repositories.glob("*/*/*")):
            project, location, name = folder.relative_to(self._repositories).parts
            yield f"projects/{project}/locations/{location}/repositories/{name}", folder

    def _folder(self, repository: str) -> Path:
        """Return the folder of ``projects/P/locations/L/repositories/R``."""
        parts = [quote(part, safe=":") for part in repository.split("/")[1::2]]
        if len(parts) != 3 or any(part.strip(".") == "" for part in parts):
            raise ValueError(f"{repository!r} is not the path of a repository")
        return self._repositories.joinpath(*parts)

    def _touch(self, path: Path) -> None:
        now = self._now()
        os.utime(path, (now, now))


def _hex(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise BadDigestError(f"{digest!r} is not a sha256 digest")
    return digest.removeprefix("sha256:")
