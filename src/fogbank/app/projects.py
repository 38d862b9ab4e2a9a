"""Projects come to be when somebody first uses them, complete with Google's default network."""

import re
from collections.abc import Callable
from datetime import datetime

from fogbank.errors import ApiError
from fogbank.resources.decisions import Decision
from fogbank.resources.projects import project_id, project_name
from fogbank.resources.world import World
from fogbank.services.cloudresourcemanager import new_project
from fogbank.services.compute import default_network
from fogbank.store.store import Store

_ID = re.compile(r"[a-z][-a-z0-9]{1,28}[a-z0-9]")


class Projects:
    """Makes sure that the project of a call exists; with ``strict`` only created ones do."""

    def __init__(
        self,
        store: Store,
        *,
        owner: str,
        strict: bool,
        now: Callable[[], datetime],
        new_id: Callable[[], int],
    ) -> None:
        self._store, self._owner, self._strict = store, owner, strict
        self._now, self._new_id = now, new_id

    async def ensure(self, reference: str) -> str:
        """Give the id of the project that ``reference`` (an id or a number) names, made now if need be."""
        project = project_id(self._store.world, reference)
        if self._store.world.find(project_name(project)) is not None:
            return project
        if self._strict or not _ID.fullmatch(project):
            raise unknown_project(project)
        await self.create(project)
        return project

    async def create(self, project: str) -> None:
        """Make ``project`` unless somebody else just did."""

        def decide(world: World) -> Decision:
            if world.find(project_name(project)) is not None:
                return Decision()
            now = self._now()
            made = new_project(project, now, self._new_id, owner=self._owner)
            return Decision((*made, *default_network(project, now, self._new_id)))

        await self._store.commit(decide)


def unknown_project(project: str) -> ApiError:
    """Refuse a project that does not exist; Google does not say whether it does (SEMANTICS 10)."""
    return ApiError(
        403,
        f"Permission denied on resource project {project}.",
        "PERMISSION_DENIED",
        "forbidden",
        (
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "CONSUMER_INVALID",
                "domain": "googleapis.com",
                "metadata": {"consumer": f"projects/{project}"},
            },
        ),
    )
