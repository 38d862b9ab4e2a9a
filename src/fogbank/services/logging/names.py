"""Names in Cloud Logging: of logs, of what entries are read from, and the project in them."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from fogbank.errors import ApiError, not_built

_LOG_ID = re.compile(r"[A-Za-z0-9/_.\-]{1,511}")
_PARENT = re.compile(r"(projects|organizations|folders|billingAccounts)/([^/]+)(/.*)?")
_VIEW = re.compile(r"/locations/([^/]+)/buckets/([^/]+)/views/([^/]+)")

BUCKETS = ("_Default", "_Required")
"""The buckets that every project has, at the location ``global``."""
LOCATION = "global"
REQUIRED_LOGS = ("cloudaudit.googleapis.com%2factivity", "cloudaudit.googleapis.com%2fsystem_event")
"""The logs whose entries go to the bucket ``_Required``, and no others (behaviour/logging.md#buckets)."""


@dataclass(frozen=True, slots=True)
class Source:
    """What entries are read from: all of a project, or a ``bucket`` of it."""

    project: str
    bucket: str = ""


def bad(message: str) -> ApiError:
    """Refuse an argument."""
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


def split_log_name(name: str) -> tuple[str, str]:
    """Return the project and the log's id (unescaped) of a log's name; Google's 400 when it is none."""
    parent, found, log = name.partition("/logs/")
    project = _project(parent)
    log = unquote(log)
    if not found or not _LOG_ID.fullmatch(log):
        raise bad(
            f'Log name "{name[:200]}" is malformed: it must be of the form projects/PROJECT/logs/LOG_ID, '
            "and the log's id be URL-encoded."
        )
    return project, log


def _project(parent: str) -> str:
    found = _PARENT.fullmatch(parent)
    if found is None or found[3]:
        raise bad(f'Invalid resource name "{parent[:200]}": it must be of the form projects/PROJECT.')
    if found[1] != "projects":
        raise not_built(f"logs of {found[1]}")
    return found[2]


def read_source(name: str) -> Source:
    """Read a name that entries are asked of: a project, or a view of a bucket."""
    found = _PARENT.fullmatch(name)
    if found is None:
        raise bad(f'Invalid resource name "{name[:200]}": it must be of the form projects/PROJECT.')
    project = _project(f"{found[1]}/{found[2]}")
    if not found[3]:
        return Source(project)
    view = _VIEW.fullmatch(found[3])
    if view is None:
        raise bad(f'Invalid resource name "{name[:200]}".')
    if view[1] != LOCATION or view[2] not in BUCKETS or view[3] not in views_of(view[2]):
        raise ApiError(404, f"View `{name}` does not exist", "NOT_FOUND", "notFound")
    return Source(project, view[2] if view[3] == "_AllLogs" else "_Default")


def views_of(bucket: str) -> tuple[str, ...]:
    """Return the ids of the views that a preset bucket has (behaviour/logging.md#buckets)."""
    return ("_AllLogs", "_Default") if bucket == "_Default" else ("_AllLogs",)
