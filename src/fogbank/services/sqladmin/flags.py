"""The database flags that are passed on to PostgreSQL, and what their values may be.

Types and bounds are those of Google's list, which are PostgreSQL's own ``pg_settings``; numbers are in the
setting's unit, without a suffix (behaviour/cloud-sql.md#flags).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from fogbank.errors import ApiError
from fogbank.resources.world import Json

MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: its ``kind``, the bounds of an INTEGER, the words of a STRING if they are few."""

    kind: Literal["BOOLEAN", "INTEGER", "FLOAT", "STRING"]
    least: int = 0
    most: int = MOST
    words: tuple[str, ...] = ()
    restarts: bool = False

    def takes(self, value: str) -> bool:
        """Return whether ``value`` is one."""
        match self.kind:
            case "BOOLEAN":
                return value in {"on", "off"}
            case "INTEGER":
                return bool(re.fullmatch(r"-?[0-9]{1,10}", value)) and self.least <= int(value) <= self.most
            case "FLOAT":
                return bool(re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", value))
            case "STRING":
                usual = bool(re.fullmatch(r"[A-Za-z0-9_./+-]{1,100}", value))
                return value in self.words if self.words else usual


_SWITCH = Flag("BOOLEAN")

FLAGS: Mapping[str, Flag] = {
    "autovacuum": _SWITCH,
    "deadlock_timeout": Flag("INTEGER", least=1),
    "default_statistics_target": Flag("INTEGER", least=1, most=10_000),
    "effective_cache_size": Flag("INTEGER", least=1),
    "idle_in_transaction_session_timeout": Flag("INTEGER"),
    "lock_timeout": Flag("INTEGER"),
    "log_connections": _SWITCH,
    "log_disconnections": _SWITCH,
    "log_duration": _SWITCH,
    "log_lock_waits": _SWITCH,
    "log_min_duration_statement": Flag("INTEGER", least=-1),
    "log_statement": Flag("STRING", words=("none", "ddl", "mod", "all")),
    "maintenance_work_mem": Flag("INTEGER", least=1024),
    "max_connections": Flag("INTEGER", least=14, most=262_143, restarts=True),
    "max_locks_per_transaction": Flag("INTEGER", least=10, restarts=True),
    "random_page_cost": Flag("FLOAT"),
    "shared_buffers": Flag("INTEGER", least=16, most=1_073_741_823, restarts=True),
    "statement_timeout": Flag("INTEGER"),
    "temp_file_limit": Flag("INTEGER", least=-1),
    "timezone": Flag("STRING"),
    "work_mem": Flag("INTEGER", least=64),
}


def check_flags(given: Iterable[Json]) -> list[Json]:
    """Return the flags of an instance as they are stored; Cloud SQL's 400 for one that cannot be."""
    checked = {}
    for each in given:
        name, value = str(each.get("name", "")), str(each.get("value", ""))
        if name not in FLAGS:
            raise _invalid(f"Invalid request: Invalid flag name {name}.")
        if not FLAGS[name].takes(value):
            raise _invalid(f"Invalid request: Invalid flag value {value!r} for flag {name}.")
        if name in checked:
            raise _invalid(f"Invalid request: Flag {name} is given twice.")
        checked[name] = value
    return [{"name": name, "value": value} for name, value in checked.items()]


def _invalid(message: str) -> ApiError:
    return ApiError(400, message, "INVALID_ARGUMENT", "invalid")


def listed_flags(versions: Iterable[str]) -> Iterable[Json]:
    """Describe the flags for clients."""
    applies = list(versions)
    for name, flag in FLAGS.items():
        bounds = {"minValue": str(flag.least), "maxValue": str(flag.most)} if flag.kind == "INTEGER" else {}
        words = {"allowedStringValues": list(flag.words)} if flag.words else {}
        head = {"kind": "sql#flag", "name": name, "type": flag.kind, "appliesTo": applies}
        yield {**head, **bounds, **words, "requiresRestart": flag.restarts}
