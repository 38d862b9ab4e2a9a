"""Shows on executions and jobs what became of images and tasks.

Each report is a commit that `services.run.jobs.convergence` decides. What happens to one execution while a
commit is on its way goes into the next one together.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import ImageDenied, Runtime
from fogbank.errors import DriverError
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.run_jobs import JOBS, Execution
from fogbank.resources.world import Change, Put, Resource, World
from fogbank.services.run.convergence import (
    IMAGE_DENIED,
    IMAGE_MISSING,
    image_denied_message,
    image_missing_message,
)
from fogbank.services.run.jobs import convergence
from fogbank.services.run.jobs.changes import is_settled
from fogbank.services.run.jobs.convergence import ImageFailure
from fogbank.services.run.jobs.task_steps import Ended, Report

log = logging.getLogger(__name__)


class Noted(Protocol):
    """Who is told that reports of tasks that ``ended`` are on the disk, or could not be ``kept``."""

    def __call__(self, execution: ResourceName, ended: Iterable[int], *, kept: bool) -> None:
        """Go on from there."""
        ...


class ExecutionReports:
    """Reports from tasks to the World."""

    def __init__(self, runtime: Runtime, tasks: BackgroundTasks, noted: Noted) -> None:
        self._runtime, self._tasks, self._noted = runtime, tasks, noted
        self._reports: dict[ResourceName, list[Report]] = {}
        self._writing: set[ResourceName] = set()
        self._importing: set[ResourceName] = set()
        self._checking: set[ResourceName] = set()

    def world_changed(self, changes: Sequence[Change]) -> None:
        """Look for the images of jobs that were written."""
        for change in changes:
            if isinstance(change, Put) and change.resource.name.collection == JOBS:
                self._check_job(change.resource)

    def check_jobs(self) -> None:
        """Look for the images of all jobs that are not decided."""
        for job in self._runtime.store.world.all(JOBS):
            self._check_job(job)

    def _check_job(self, job: Resource) -> None:
        if not is_settled(job.body) and job.name not in self._checking:
            self._checking.add(job.name)
            self._tasks.spawn(self._check_image(job))

    async def _check_image(self, job: Resource) -> None:
        generation = job.body["metadata"]["generation"]
        container = job.body["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]
        try:
            found = await self._resolve(container["image"], job.name.project)
            now = self._runtime.clock.now()
            if isinstance(found, ImageFailure):
                why = found
                await self._commit(
                    lambda world: convergence.image_unknown(world, job.name, generation, why, now)
                )
            else:
                await self._commit(lambda world: convergence.image_found(world, job.name, generation, now))
        finally:
            self._checking.discard(job.name)
        self._runtime.loop.settled(job.name.path)
        newest = self._runtime.store.world.find(job.name)
        if newest is not None and newest.body["metadata"]["generation"] != generation:
            self._check_job(newest)

    async def _resolve(self, image: str, project: str) -> str | ImageFailure:
        """Return the digest of an image, or why there is none."""
        try:
            return await asyncio.to_thread(self._runtime.resolve_image, image, project)
        except ImageDenied:
            message = image_denied_message(self._runtime.store.world, image, project)
            return ImageFailure(IMAGE_DENIED, message)
        except DriverError as error:
            log.warning("image %s: %s", image, error)
            return ImageFailure(IMAGE_MISSING, image_missing_message(image))

    def import_image(self, execution: Execution) -> None:
        """Find out the digest of an execution's image and report it; at most once at a time."""
        if execution.name not in self._importing:
            self._importing.add(execution.name)
            self._tasks.spawn(self._import(execution))

    async def _import(self, execution: Execution) -> None:
        name, clock = execution.name, self._runtime.clock
        try:
            found = await self._resolve(execution.image, name.project)
            if isinstance(found, ImageFailure):
                why = found
                await self._commit(lambda world: convergence.image_missing(world, name, why, clock.now()))
            else:
                digest = found
                await self._commit(lambda world: convergence.image_imported(world, name, digest, clock.now()))
        finally:
            self._importing.discard(name)

    def stopped(self, execution: ResourceName) -> None:
        """Report that no task of a cancelled execution runs."""
        now = self._runtime.clock.now()
        self._tasks.spawn(self._commit(lambda world: convergence.stopped(world, execution, now)))

    def report(self, execution: ResourceName, report: Report) -> None:
        """Report what happened to a task."""
        self._reports.setdefault(execution, []).append(report)
        if execution not in self._writing:
            self._writing.add(execution)
            self._tasks.spawn(self._write(execution))

    async def _write(self, execution: ResourceName) -> None:
        try:
            while reports := self._reports.pop(execution, None):
                await self._write_some(execution, reports)
        finally:
            self._writing.discard(execution)

    async def _write_some(self, execution: ResourceName, reports: Sequence[Report]) -> None:
        now = self._runtime.clock.now()
        ended = [each.index for each in reports if isinstance(each, Ended)]
        try:
            await self._commit(lambda world: convergence.reported(world, execution, reports, now))
        except Exception:
            self._noted(execution, ended, kept=False)
            raise
        self._noted(execution, ended, kept=True)

    async def _commit(self, decide: Callable[[World], tuple[Change, ...]]) -> None:
        await self._runtime.store.commit(lambda world: Decision(decide(world)))
