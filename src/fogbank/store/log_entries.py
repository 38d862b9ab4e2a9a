"""The log entries of all projects, in a SQLite file of their own, bounded in number, bytes and age.

Entries come from the event loop, which only puts them into a buffer; one thread writes them a few times a
second, reads what queries ask for, and forgets the oldest. What is in the buffer is written before a query
reads, so who was told of an entry finds it. kill -9 takes the last fraction of a second; when the disk
refuses, the entries are lost and the log says so.
"""

import asyncio
import json
import logging
import sqlite3
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from fogbank.resources.log_entries import SEVERITIES, Entry, Found, Place, Search, nanoseconds, time_of
from fogbank.store.lines import Followers

FLUSH_SECONDS = 0.25
"""How long an entry waits for others, to be written with them."""

LONGEST_BUFFER = 20_000
"""Entries that wait to be written; when the disk cannot follow, the oldest of them go."""

RETENTION = timedelta(days=30)
"""How long entries are kept (behaviour/logging.md#buckets)."""

MOST_ENTRIES = 500_000
MOST_BYTES = 512 * 1024 * 1024

SCAN_SECONDS = 1.0
"""How long one search may read; it then says where the next one goes on."""

_AT_ONCE = 500
_PRUNE_EVERY = 60.0
_LARGEST = 2**63 - 1

_SCHEMA = """
create table if not exists entries(
    seq integer primary key, project text, time integer, id text, log text, type text, severity integer,
    bytes integer, body text);
create unique index if not exists by_time on entries(project, time, id, log);
"""

R = TypeVar("R")

log = logging.getLogger(__name__)


class LogEntries:
    """The entries; all but what the thread does belongs to the event loop. Without ``path``, in memory."""

    def __init__(
        self,
        path: Path | None,
        now: Callable[[], datetime],
        *,
        most_entries: int = MOST_ENTRIES,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._path, self._now = path, now
        self._most_entries, self._most_bytes = most_entries, most_bytes
        self._buffer: deque[tuple[str, Entry]] = deque(maxlen=LONGEST_BUFFER)
        self._flushing: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(1, "log-entries")
        self._database: sqlite3.Connection | None = None
        self._refused = False
        self._pruned = 0.0
        self._lost = 0
        self.followers = Followers()

    def append(self, project: str, entry: Entry) -> None:
        """Take in an entry of ``project``: whole, with its time, id and log name."""
        if len(self._buffer) == LONGEST_BUFFER:
            self._lost += 1
        self._buffer.append((project, entry))
        self.followers.tell({"project": project, "entry": entry})
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_soon)

    async def flush(self) -> None:
        """Return when what was taken in is written."""
        await self._in_thread(self._write, self._taken())

    async def search(self, search: Search) -> Found:
        """Look for entries; as far as SCAN_SECONDS reach."""
        return await self._in_thread(self._search, self._taken(), search)

    async def logs(self, projects: Sequence[str]) -> list[str]:
        """Return the names of the logs that have entries, in order."""
        return await self._in_thread(self._logs, self._taken(), tuple(projects))

    async def delete_log(self, project: str, name: str) -> int:
        """Forget all entries of a log; return how many there were."""
        return await self._in_thread(self._delete, self._taken(), project, name)

    async def follow(self, projects: Sequence[str]) -> AsyncGenerator[Entry, None]:
        """Yield the entries of ``projects`` to come, until the reader goes or is far too slow."""
        async with aclosing(self.followers.follow(())) as lines:
            async for line in lines:
                if line["project"] in projects:
                    yield line["entry"]

    async def close(self) -> None:
        """Write what is left and close the file."""
        if self._flushing is not None:
            self._flushing.cancel()
        await self._in_thread(self._close, self._taken())
        self._thread.shutdown(wait=False)

    def _taken(self) -> list[tuple[str, Entry]]:
        taken = list(self._buffer)
        self._buffer.clear()
        if self._lost:
            log.warning("%d log entries were lost: the disk could not follow", self._lost)
            self._lost = 0
        return taken

    def _flush_soon(self) -> None:
        self._flushing = None
        self._thread.submit(self._write, self._taken()).add_done_callback(_log_failure)

    async def _in_thread(self, work: Callable[..., R], *args: object) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    # What the thread does.

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            place = ":memory:" if self._path is None else self._path
            database = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
            database.execute("pragma journal_mode=wal")
            database.execute("pragma synchronous=off")  # a power cut may take entries, as it may take others'
            database.executescript(_SCHEMA)
            if self._path is not None:
                self._path.chmod(0o600)
            self._database = database
        return self._database

    def _write(self, taken: Sequence[tuple[str, Entry]]) -> None:
        """Write entries; the same one again changes nothing (behaviour/logging.md#writing)."""
        if not taken:
            return
        try:
            database = self._opened()
            database.execute("begin")
            database.executemany(
                "insert or ignore into entries(project, time, id, log, type, severity, bytes, body) "
                "values(?, ?, ?, ?, ?, ?, ?, ?)",
                map(_row, taken),
            )
            database.execute("commit")
            self._prune(database)
        except sqlite3.Error as error:
            if not self._refused:
                log.warning("log entries are lost until %s can be written: %s", self._path, error)
            self._refused = True
        else:
            self._refused = False
        finally:  # also after a bug: the next entries begin a transaction of their own
            if self._database is not None and self._database.in_transaction:
                self._database.execute("rollback")

    def _prune(self, database: sqlite3.Connection) -> None:
        """Forget what is too old, and the oldest when there are too many."""
        now = time.monotonic()
        if self._pruned and now - self._pruned < _PRUNE_EVERY:
            return
        self._pruned = now
        database.execute("delete from entries where time < ?", (time_of(self._now() - RETENTION),))
        count, size = database.execute("select count(*), coalesce(sum(bytes), 0) from entries").fetchone()
        surplus = max(count - self._most_entries, 0)
        if size > self._most_bytes:
            surplus = max(surplus, int(count * (1 - self._most_bytes / size)) + 1)
        if surplus:
            database.execute(
                "delete from entries where seq in (select seq from entries order by seq limit ?)", (surplus,)
            )

    def _search(self, taken: Sequence[tuple[str, Entry]], search: Search) -> Found:
        self._write(taken)
        began = time.monotonic()
        found: list[Entry] = []
        place: Place | None = None
        cursor = self._opened().execute(*_statement(search, time_of(self._now() - RETENTION)))
        while rows := cursor.fetchmany(_AT_ONCE):
            for moment, identifier, name, body in rows:
                if len(found) == search.size:
                    return Found(tuple(found), place)
                place = moment, identifier, name
                entry = json.loads(body)
                if search.keep(entry):
                    found.append(entry)
            if time.monotonic() - began > SCAN_SECONDS:
                return Found(tuple(found), place)
        return Found(tuple(found), None)

    def _logs(self, taken: Sequence[tuple[str, Entry]], projects: tuple[str, ...]) -> list[str]:
        self._write(taken)
        marks = ",".join("?" * len(projects))
        rows = self._opened().execute(
            f"select distinct log from entries where project in ({marks}) order by log",  # noqa: S608 - marks
            projects,
        )
        return [name for (name,) in rows]

    def _delete(self, taken: Sequence[tuple[str, Entry]], project: str, name: str) -> int:
        self._write(taken)
        deleted = self._opened().execute("delete from entries where project = ? and log = ?", (project, name))
        return deleted.rowcount

    def _close(self, taken: Sequence[tuple[str, Entry]]) -> None:
        self._write(taken)
        if self._database is not None:
            self._database.close()


def _log_failure(written: "Future[None]") -> None:
    if (error := written.exception()) is not None:
        log.error("log entries were lost", exc_info=error)


def _row(taken: tuple[str, Entry]) -> tuple[Any, ...]:
    project, entry = taken
    body = json.dumps(entry, ensure_ascii=True, separators=(",", ":"))
    severity = SEVERITIES.get(str(entry.get("severity", "DEFAULT")), 0)
    kind = str(entry["resource"]["type"])
    moment = max(-_LARGEST, min(nanoseconds(entry["timestamp"]), _LARGEST))
    return project, moment, entry["insertId"], entry["logName"], kind, severity, len(body), body


def _statement(search: Search, oldest: int) -> tuple[str, list[Any]]:
    """Write the statement of a search, over the index by time; ``oldest`` is where retention ends."""
    marks = ",".join("?" * len(search.projects))
    conditions, values = [f"project in ({marks})"], list[Any](search.projects)
    conditions.append("time >= ?")
    values.append(max(oldest, min(search.since or oldest, _LARGEST)))
    if search.until is not None:
        conditions.append("time <= ?")
        values.append(max(-_LARGEST, min(search.until, _LARGEST)))
    for column, wanted in (("lower(log)", search.logs), ("lower(type)", search.types)):
        if wanted is not None:
            conditions.append(f"{column} in ({','.join('?' * len(wanted))})")
            values += sorted(wanted)
    if search.severity:
        conditions.append("severity >= ?")
        values.append(search.severity)
    if search.after is not None:
        conditions.append(f"(time, id, log) {'<' if search.newest_first else '>'} (?, ?, ?)")
        values += search.after
    way = "desc" if search.newest_first else "asc"
    order = f"time {way}, id {way}, log {way}"
    where = " and ".join(conditions)
    return f"select time, id, log, body from entries where {where} order by {order}", values  # noqa: S608
