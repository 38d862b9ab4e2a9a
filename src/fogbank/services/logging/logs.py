"""Logs: the names under which a project has entries, and how to forget them."""

from collections.abc import Sequence
from typing import Protocol

from fogbank.errors import ApiError
from fogbank.resources.log_entries import log_name
from fogbank.resources.projects import project_id
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.logging.names import REQUIRED_LOGS, bad, read_source, split_log_name
from fogbank.services.logging.paging import page_size

DEFAULT_PAGE = 1000


class Logs(Protocol):
    """Where logs are kept."""

    async def logs(self, projects: Sequence[str]) -> list[str]:
        """Return the names of the logs that have entries."""
        ...

    async def delete_log(self, project: str, name: str) -> int:
        """Forget all entries of a log."""
        ...


async def list_logs(kept: Logs, world: World, call: Call) -> Json:
    """List the logs of a project that have entries, by name."""
    source = read_source(call["parent"])
    names = await kept.logs((project_id(world, source.project),))
    if source.bucket:
        required = source.bucket == "_Required"
        names = [name for name in names if name.lower().endswith(REQUIRED_LOGS) == required]
    after = str(call.parameters.get("pageToken") or "")
    size = page_size(int(call.parameters.get("pageSize") or DEFAULT_PAGE))
    names = [name for name in names if name > after]
    answer: Json = {"logNames": names[:size]} if names else {}
    if len(names) > size:
        answer["nextPageToken"] = names[size - 1]
    return answer


async def delete_log(kept: Logs, world: World, call: Call) -> Json:
    """Forget all entries of a log; Google's 404 when there are none.

    Those of the bucket ``_Required`` stay (behaviour/logging.md#logs).
    """
    project, log = split_log_name(call["logName"])
    project = project_id(world, project)
    name = log_name(project, log)
    if name.lower().endswith(REQUIRED_LOGS):
        raise bad(f"Log {name} cannot be deleted: the bucket _Required keeps it.")
    if not await kept.delete_log(project, name):
        raise ApiError(404, f"Log {log} does not exist", "NOT_FOUND", "notFound")
    return {}
