"""Shows on revisions, and through them on their services, what became of images and instances.

Each report is a commit that `services.run.convergence` decides; whoever waits for the service is woken.
"""

import asyncio
import logging
from collections.abc import Callable

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import ImageDenied, Runtime
from fogbank.errors import DriverError
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.run import Readiness, Revision
from fogbank.resources.run_containers import ContainerProbe
from fogbank.resources.world import Change, World
from fogbank.services.run import convergence
from fogbank.services.run.controller.addresses import Refusal
from fogbank.services.run.objects import log_url

log = logging.getLogger(__name__)


def has_own_probe(revision: Revision) -> bool:
    """Return whether a start-up probe of ``revision`` is its user's and not the one that every port has."""
    default = ContainerProbe("tcp", revision.port)
    probes = (each.startup_probe for each in revision.containers)
    return any(each is not None and each != default for each in probes)


class _ImageRefused(Exception):
    """An image that a revision cannot have: Google's ``reason`` and ``message``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class RevisionReports:
    """Reports from instances to the World."""

    def __init__(self, runtime: Runtime, tasks: BackgroundTasks) -> None:
        self._runtime, self._tasks = runtime, tasks
        self._resolving: set[ResourceName] = set()

    def serving(self, revision: ResourceName) -> None:
        """Report that a revision serves, perhaps again."""
        now = self._runtime.clock.now()
        self._tasks.spawn(self._commit(lambda world: convergence.revision_active(world, revision, now)))

    def retired(self, revision: ResourceName) -> None:
        """Report that a revision serves no longer."""
        now = self._runtime.clock.now()
        self._tasks.spawn(self._commit(lambda world: convergence.revision_retired(world, revision, now)))

    def connector_changed(self, connector: ResourceName) -> None:
        """Report that a connector came or went."""
        now = self._runtime.clock.now()
        self._tasks.spawn(self._commit(lambda world: convergence.connector_changed(world, connector, now)))

    def resolve_images(self, revision: Revision) -> None:
        """Find out the digests of a revision's images and report them; at most once at a time."""
        if revision.name not in self._resolving:
            self._resolving.add(revision.name)
            self._tasks.spawn(self._resolve(revision))

    async def _resolve(self, revision: Revision) -> None:
        clock, digests = self._runtime.clock, dict(revision.digests)
        try:
            for image in revision.unresolved:
                digests[image] = await asyncio.to_thread(self._digest_of, revision, image)
        except _ImageRefused as error:
            await self._failed(revision, error.reason, error.message)
        else:
            await self._commit(
                lambda world: convergence.images_resolved(world, revision.name, digests, clock.now())
            )
        finally:
            self._resolving.discard(revision.name)

    def _digest_of(self, revision: Revision, image: str) -> str:
        project = revision.name.project
        try:
            return self._runtime.resolve_image(image, project)
        except ImageDenied as error:
            message = convergence.image_denied_message(self._runtime.store.world, image, project)
            raise _ImageRefused(convergence.IMAGE_DENIED, message) from error
        except DriverError as error:
            log.warning("image %s of %s: %s", image, revision.name, error)
            raise _ImageRefused(
                convergence.IMAGE_MISSING, convergence.image_missing_message(image)
            ) from error

    async def secrets_refused(self, revision: Revision, message: str) -> None:
        """Report that an instance of ``revision`` would have secrets that it may not read."""
        await self._failed(revision, convergence.SECRETS_REFUSED, message)

    async def ready(self, revision: Revision) -> None:
        """Report that an instance of ``revision`` listens."""
        now = self._runtime.clock.now()
        await self._commit(lambda world: convergence.revision_ready(world, revision.name, now))
        self._runtime.loop.settled(revision.service.path)

    async def failed_to_start(self, revision: Revision, *, probed: bool) -> None:
        """Report that an instance of ``revision`` did not come up; one that was ready before stays so.

        ``probed`` when a start-up probe failed, and the container had not ended.
        """
        if revision.readiness is Readiness.UNKNOWN:
            logs = log_url(revision.name, revision.service.id)
            message = (
                convergence.probe_failed_message(logs)
                if probed and has_own_probe(revision)
                else convergence.container_failed_message(revision.port, logs)
            )
            await self._failed(revision, convergence.CONTAINER_FAILED, message)

    async def without_address(self, instance: str, revision: Revision, refusal: Refusal) -> None:
        """Report that there is no address for an instance; a revision that was ready before serves on."""
        log_name = f"run/{revision.service.id}/{instance}"
        self._runtime.logbook.append(log_name, "system", refusal.message, "ERROR")
        if revision.readiness is Readiness.UNKNOWN:
            reason = convergence.NETWORK_MISSING if refusal.missing else convergence.ADDRESSES_EXHAUSTED
            await self._failed(revision, reason, refusal.message)

    async def _failed(self, revision: Revision, reason: str, message: str) -> None:
        now = self._runtime.clock.now()
        await self._commit(
            lambda world: convergence.revision_failed(world, revision.name, reason, message, now)
        )
        self._runtime.loop.settled(revision.service.path)

    async def _commit(self, decide: Callable[[World], tuple[Change, ...]]) -> None:
        await self._runtime.store.commit(lambda world: Decision(decide(world)))
