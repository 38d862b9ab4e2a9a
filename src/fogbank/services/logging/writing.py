"""Write log entries: complete what a client leaves out, and refuse what no log takes.

See behaviour/logging.md#writing.
"""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol

from fogbank.errors import ApiError
from fogbank.resources.log_entries import Entry, log_name, nanoseconds, time_of, time_text
from fogbank.resources.projects import project_id
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.logging.names import bad, split_log_name

LARGEST_ENTRY = 256 * 1024
MOST_LABELS = 64
FUTURE = timedelta(hours=24)
"""Quotas of Cloud Logging, and how far ahead an entry's time may be."""

_ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Writer(Protocol):
    """Where entries are written."""

    def append(self, project: str, entry: Entry) -> None:
        """Take in an entry."""
        ...

    async def flush(self) -> None:
        """Return when what was taken in is written."""
        ...


def written_projects(body: Json) -> Iterable[str]:
    """Return the projects that a body writes entries of."""
    entries = body.get("entries") or ()
    names = {str(entry.get("logName") or body.get("logName") or "") for entry in entries}
    if not names:
        names = {str(body["logName"])} if body.get("logName") else set()
    return [split_log_name(name)[0] for name in sorted(names)]


async def write_entries(writer: Writer, world: World, call: Call) -> Json:
    """Write entries, all or none; with ``partialSuccess`` those that are right."""
    ready: list[tuple[str, Json]] = []
    wrong: dict[int, ApiError] = {}
    for number, entry in enumerate(call.body.get("entries") or ()):
        try:
            ready.append(_completed(world, call, entry))
        except ApiError as error:
            wrong[number] = error
    if wrong and not call.body.get("partialSuccess"):
        raise next(iter(wrong.values()))
    if not call.body.get("dryRun"):
        for project, entry in ready:
            writer.append(project, entry)
        await writer.flush()
    if wrong:
        raise _partial(wrong)
    return {}


def _partial(wrong: dict[int, ApiError]) -> ApiError:
    first = next(iter(wrong.values()))
    errors = {str(number): {"code": 3, "message": error.message} for number, error in wrong.items()}
    detail = {
        "@type": "type.googleapis.com/google.logging.v2.WriteLogEntriesPartialErrors",
        "logEntryErrors": errors,
    }
    return ApiError(first.code, first.message, first.status, first.reason, (detail,))


def _completed(world: World, call: Call, entry: Json) -> tuple[str, Json]:
    """Return an entry with all that it must have, and its project."""
    body = call.body
    project, log = split_log_name(str(entry.get("logName") or body.get("logName") or ""))
    project = project_id(world, project)
    resource = entry.get("resource") or body.get("resource")
    if not resource or not resource.get("type"):
        raise bad("Log entry is missing the required field: resource.type")
    moment = _moment(call, entry)
    labels = {**(body.get("labels") or {}), **(entry.get("labels") or {})}
    if len(labels) > MOST_LABELS:
        raise bad(f"Log entry has {len(labels)} labels, which is more than {MOST_LABELS}.")
    completed: Json = {
        **{key: value for key, value in entry.items() if value not in (None, {}, "", "DEFAULT")},
        "logName": log_name(project, log),
        "resource": {
            "type": resource["type"],
            "labels": {"project_id": project, **(resource.get("labels") or {})},
        },
        "timestamp": time_text(moment),
        "receiveTimestamp": time_text(time_of(call.now)),
        "insertId": entry.get("insertId") or _new_insert_id(call.new_id()),
    }
    if labels:
        completed["labels"] = labels
    size = len(json.dumps(completed))
    if size > LARGEST_ENTRY:
        raise bad(f"Log entry with size {size / 1024:.1f}K exceeds maximum size of {LARGEST_ENTRY / 1024}K")
    return project, completed


def _moment(call: Call, entry: Json) -> int:
    given = entry.get("timestamp")
    if not given:
        return time_of(call.now)
    moment = nanoseconds(str(given))
    if moment > time_of(call.now + FUTURE):
        raise bad("Log entry has a timestamp that is more than 24 hours in the future.")
    return moment


def _new_insert_id(number: int) -> str:
    """Write a number as Cloud Logging's ids look: digits and lower-case letters."""
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _ID_LETTERS[digit] + text
    return text or "0"
