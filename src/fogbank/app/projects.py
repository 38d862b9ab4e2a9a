"""Projects come to be when somebody first uses them, complete with Google's default network."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from fogbank.errors import ApiError
from fogbank.resources.decisions import Decision
from fogbank.resources.projects import is_usable_id, project_id, project_name, unusable_project
from fogbank.resources.world import Change, Put, World
from fogbank.services.cloudresourcemanager import new_project
from fogbank.store.store import Store

_PROVISIONED = "furnished"
"""Marks a project that was given its default network, which its owner may since have deleted."""


class Projects:
    """Makes sure that the project of a call exists; with ``strict`` only created ones do.

    ``defaults`` makes what the region's APIs put into a new one (``Catalogue.new_project``).
    """

    def __init__(
        self,
        store: Store,
        *,
        owner: str,
        strict: bool,
        defaults: Callable[[str, datetime, Callable[[], int]], tuple[Change, ...]],
        now: Callable[[], datetime],
        new_id: Callable[[], int],
    ) -> None:
        self._store, self._owner, self._strict = store, owner, strict
        self._defaults = defaults
        self._now, self._new_id = now, new_id

    async def ensure(self, reference: str) -> str:
        """Return the id of the project that ``reference`` (an id or a number) names, made now if need be."""
        project = project_id(self._store.world, reference)
        found = self._store.world.find(project_name(project))
        if found is not None and _PROVISIONED in found.private:
            return project
        if found is None and (self._strict or not is_usable_id(project)):
            raise unknown_project(project)
        await self.provision_default_network(project)
        return project

    async def provision_default_network(self, project: str, number: str | None = None) -> None:
        """Make ``project`` unless it exists, and its default network unless it had one before.

        ``number`` is for one that is made; by default it follows from the id.
        """

        def decide(world: World) -> Decision:
            now, name = self._now(), project_name(project)
            made: tuple[Change, ...] = ()
            if world.find(name) is None:
                made = new_project(project, now, self._new_id, owner=self._owner, number=number)
            found = world.after(made).get(name)
            if _PROVISIONED in found.private:
                return Decision()
            marked = replace(found, private=found.private | {_PROVISIONED: True})
            return Decision((*made, Put(marked), *self._defaults(project, now, self._new_id)))

        await self._store.commit(decide)


def unknown_project(project: str) -> ApiError:
    """Refuse a project that does not exist; Google does not say whether it does (behaviour/iam.md#roles)."""
    return unusable_project(f"Permission denied on resource project {project}.", project)
