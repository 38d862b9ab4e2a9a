"""Where a region's images come from: its registry, and beside it what is built in or was loaded.

Both keep their blobs in one folder. Now and then those are removed that no image is made of any more and
nobody has asked for in a while.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from fogbank.app.registry import services
from fogbank.control.controller import ImageDenied
from fogbank.dataplane.linux.images.archive import load_archive
from fogbank.dataplane.linux.images.store import BadContent, ImageMissing, ImageStore
from fogbank.frontend.iam.identity import Identity
from fogbank.frontend.registry.application import RegistryApplication
from fogbank.frontend.registry.exchange import Registry
from fogbank.resources.artifactregistry import (
    REPOSITORIES,
    blobs_of,
    versions_in,
)
from fogbank.resources.authorization import Access
from fogbank.resources.images import DIGEST, parse_image
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import project_number, service_agent
from fogbank.resources.run import REVISIONS
from fogbank.resources.world import World
from fogbank.services.artifactregistry.pulls import find_image
from fogbank.services.contract import catalogue_of
from fogbank.store.blobs import BlobStore
from fogbank.store.store import Store

COLLECT_SECONDS = 1800.0
"""How often blobs are looked through."""

UNUSED_SECONDS = 3600.0
"""How long a blob stays that no image has, after it came or was asked for: a push may yet name it."""

_log = logging.getLogger(__name__)


class ImageSources:
    """The images of a region: ``loaded`` are its own; the files of both are in ``folder``."""

    def __init__(self, world: Callable[[], World], access: Access, loaded: ImageStore, folder: Path) -> None:
        self._world, self._access, self._loaded = world, access, loaded
        self._folder, self._blobs = folder, BlobStore(folder)
        self._blobs.sweep_uploads()

    def serve(
        self, store: Store, identity: Identity, now: Callable[[], datetime], new_id: Callable[[], int]
    ) -> RegistryApplication:
        """Make the application of the registry's hosts."""
        catalogue = catalogue_of(services())

        def check_enabled(world: World, project: str) -> None:
            catalogue.check_enabled(world, project, "artifactregistry.googleapis.com")

        return RegistryApplication(
            Registry(store, self._blobs, self._access, check_enabled, now, new_id), identity
        )

    def resolve(self, reference: str, project: str) -> str:
        """Return the manifest digest that a reference names now, for Cloud Run's agent of ``project``.

        Without a project it is one of the region's own images, such as a managed service's server.
        ImageMissing when nobody has it, ImageDenied when the agent may not read the repository.
        """
        if not project:
            return self._loaded.resolve(reference)
        world = self._world()
        try:
            image = parse_image(reference)
        except ValueError as error:
            raise ImageMissing(reference) from error
        agent = service_agent(project_number(world, project))
        found = find_image(world, self._access, image, agent)
        if found is not None and found.digest is not None:
            return found.digest
        try:
            return self._loaded.resolve(reference)
        except ImageMissing:
            if found is not None and not found.allowed:
                raise ImageDenied(f"{agent} may not read {reference}") from None
            raise

    def load(self, name: str) -> Mapping[str, str]:
        """Load an archive that lies among the uploads; it is gone afterwards. DriverError when it is none."""
        if "/" in name:
            raise BadContent(f"{name!r} is not the name of an upload")
        archive = self._folder / "uploads" / name
        try:
            return load_archive(archive, self._loaded)
        except FileNotFoundError as error:
            raise BadContent(f"{archive} is not there") from error
        finally:
            archive.unlink(missing_ok=True)

    async def collect_soon(self) -> None:
        """Collect in a thread."""
        await asyncio.to_thread(self.collect)

    def collect(self, seconds: float = UNUSED_SECONDS) -> int:
        """Remove the blobs that nothing needs; return how many."""
        world = self._world()
        kept = self._loaded.parts_of((*self._loaded.images().values(), *_deployed(world)))

        def needed(repository: str) -> frozenset[str] | None:
            name = ResourceName(REPOSITORIES, repository)
            if world.find(name) is None:
                return None
            return frozenset().union(*map(blobs_of, versions_in(world, name)))

        count = self._blobs.collect(kept, needed, seconds)
        if count:
            _log.info("removed %d blobs that no image has", count)
        return count


def _deployed(world: World) -> Iterator[str]:
    """List the digests that revisions run: Cloud Run keeps them when their image is deleted
    (behaviour/artifact-registry.md#images).
    """
    for revision in world.all(REVISIONS):
        found = DIGEST.search(str(revision.body.get("status", {}).get("imageDigest", "")))
        if found is not None:
            yield found[0]
