"""Log records by OTLP become entries of Cloud Logging (behaviour/telemetry.md#logs)."""

from collections.abc import Mapping
from typing import Any, Protocol

from fogbank.resources.log_entries import Entry, log_name, time_of, time_text
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.telemetry.attributes import (
    attributes,
    bad,
    identifier,
    integer,
    items,
    moment,
    plain,
    resource_of,
    text,
)
from fogbank.services.telemetry.monitored_resources import of_entry

LOG = "gcp.log_name"
DEFAULT_LOG = "otlp_logs"

_SEVERITIES = (
    *("DEFAULT", *("DEBUG",) * 8, "INFO", "INFO", "NOTICE", "NOTICE"),
    *("WARNING",) * 4,
    *("ERROR",) * 4,
    *("CRITICAL", "CRITICAL", "ALERT", "EMERGENCY"),
)
"""By OTLP's number of a severity: four each for TRACE, DEBUG, INFO, WARN, ERROR and FATAL."""


class EntryWriter(Protocol):
    """Where entries are written."""

    def append(self, project: str, entry: Entry) -> None:
        """Take in an entry."""
        ...

    async def flush(self) -> None:
        """Return when what was taken in is written."""
        ...


class Stores(Protocol):
    """What a region keeps of logs."""

    @property
    def log_entries(self) -> EntryWriter:
        """The entries of all projects."""
        ...


async def export(stores: Stores, world: World, call: Call) -> Json:
    """Write the records of a request, all or none."""
    written: list[tuple[str, Json]] = []
    for each in items(call.body.get("resourceLogs"), "resourceLogs"):
        project, about = resource_of(world, each)
        for scope in items(each.get("scopeLogs"), "scopeLogs"):
            records = items(scope.get("logRecords"), "logRecords")
            written += [(project, _entry(call, project, about, record)) for record in records]
    for project, entry in written:
        stores.log_entries.append(project, entry)
    await stores.log_entries.flush()
    return {}


def _entry(call: Call, project: str, about: Mapping[str, Any], record: Json) -> Json:
    found = attributes(record)
    log = text(found.pop(LOG, "")) or text(about.get(LOG)) or DEFAULT_LOG
    given = record.get("timeUnixNano") or record.get("observedTimeUnixNano")
    when = moment(given, "timeUnixNano") if given else time_of(call.now)
    entry: Json = {
        "logName": log_name(project, log),
        "resource": of_entry(project, about),
        "timestamp": time_text(when),
        "receiveTimestamp": time_text(time_of(call.now)),
        "insertId": f"{call.new_id():x}",
        **_payload(plain(record.get("body"))),
    }
    severity = _severity(record.get("severityNumber"))
    if severity != "DEFAULT":
        entry["severity"] = severity
    if found:
        entry["labels"] = {name: text(value) for name, value in found.items()}
    trace = identifier(record.get("traceId"), 16, "traceId")
    if trace:
        entry["trace"] = f"projects/{project}/traces/{trace}"
        entry["spanId"] = identifier(record.get("spanId"), 8, "spanId")
        if integer(record.get("flags"), "flags") & 1:
            entry["traceSampled"] = True
    return entry


def _payload(body: object) -> Json:
    match body:
        case dict():
            return {"jsonPayload": body}
        case list():
            return {"jsonPayload": {"body": body}}
        case _:
            return {"textPayload": text(body)}


def _severity(given: object) -> str:
    if isinstance(given, str) and not given.isdecimal():
        given = _NUMBERS.get(given, -1)
    number = integer(given, "severityNumber")
    if not 0 <= number < len(_SEVERITIES):
        raise bad("Invalid value at 'severityNumber': it must be a number from 0 to 24.")
    return _SEVERITIES[number]


_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_NUMBERS = {"SEVERITY_NUMBER_UNSPECIFIED": 0} | {
    f"SEVERITY_NUMBER_{level}{step or ''}": 4 * at + (step or 1)
    for at, level in enumerate(_LEVELS)
    for step in (0, 2, 3, 4)
}
"""Its names, as messages of gRPC have them."""
