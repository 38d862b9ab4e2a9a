"""The database file: every committed change, in SQLite with a write-ahead log.

A synced transaction returns only when its log is on the disk (``synchronous=FULL``), so neither kill -9 nor
a power cut takes it back. One that is not synced survives kill -9, and a power cut as soon as any later one
is synced. One connection, used by one thread at a time.
"""

import math
import sqlite3
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from fogbank.errors import ApiError, OperatorError
from fogbank.resources.world import Change, Delete, DeleteOperation, Put, PutOperation, World
from fogbank.store.codec import decode_operation, decode_resource, encode_operation, encode_resource

_LOG_PAGES = 250
"""When the log is moved into the file, which lets it begin anew: to write over blocks that the log already
has takes the disk half as long as to make it longer."""

_LATELY = 8
"""How many synced transactions tell whether the disk is quick."""

FORMAT = "1"
"""Raised when older files can no longer be read."""

_SCHEMA = """
create table if not exists facts(name text primary key, value text not null) without rowid;
create table if not exists resources(
    collection text, path text, id text, created text, body text, private text,
    primary key(collection, path)) without rowid;
create table if not exists operations(path text primary key, record text) without rowid;
"""


class Journal:
    """Reads the last World and writes the changes that follow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._database.execute("pragma journal_mode=wal")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
                raise
            raise OperatorError(
                f"{path} is damaged ({error}). Move it away to begin anew, or start with another --name."
            ) from error
        self._synced = False
        self._waits: deque[float] = deque(maxlen=_LATELY)
        self._sync(wanted=True)
        self._database.executescript(_SCHEMA)
        path.chmod(0o600)
        known = self.fact("format")
        if known is None:
            self._set_fact("format", FORMAT)
        elif known != FORMAT:
            raise OperatorError(
                f"{path} was written by another version of Fogbank (format {known}, not {FORMAT}). "
                "Move it away, or start with another --name."
            )

    def load(self) -> World:
        """Read every acknowledged write."""
        return replace(World().after(self._rows()), version=int(self.fact("version") or 0))

    def _rows(self) -> Iterator[Change]:
        for row in self._database.execute("select * from resources"):
            yield Put(decode_resource(row))
        for record in self._database.execute("select * from operations"):
            yield PutOperation(decode_operation(record))

    def append(self, version: int, changes: Iterable[Change], *, synced: bool = True) -> None:
        """Write ``changes`` and ``version``, all or nothing; ``synced`` waits for the disk.

        ApiError 503 when the disk refuses.
        """
        database = self._database
        started = time.perf_counter()
        try:
            self._sync(wanted=synced)
            database.execute("begin immediate")
            for change in changes:
                self._write(change)
            self._set_fact("version", str(version))
            database.execute("commit")
        except BaseException as error:
            if database.in_transaction:  # SQLite itself ends one that a full disk broke off
                database.execute("rollback")
            if isinstance(error, sqlite3.OperationalError):
                raise ApiError(503, self._refused(error), "UNAVAILABLE", "backendError") from error
            raise
        finally:
            if synced:
                self._waits.append(time.perf_counter() - started)

    @property
    def slowest(self) -> float:
        """Seconds of the slowest of the last few synced transactions, even if refused; endless at first."""
        return max(self._waits, default=math.inf)

    def _refused(self, error: sqlite3.OperationalError) -> str:
        return f"Fogbank cannot write {self._path}: {error}. Nothing was changed; try again when it can."

    def _sync(self, *, wanted: bool) -> None:
        if wanted != self._synced:
            self._database.execute(f"pragma synchronous={'full' if wanted else 'normal'}")
            # Moving the log into the file waits for the disk too, so that is left to those who wait anyway.
            self._database.execute(f"pragma wal_autocheckpoint={_LOG_PAGES if wanted else 0}")
            self._synced = wanted

    def fact(self, name: str) -> str | None:
        """Read one remembered value."""
        row = self._database.execute("select value from facts where name = ?", (name,)).fetchone()
        return row and str(row[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _set_fact(self, name: str, value: str) -> None:
        self._database.execute("insert or replace into facts values (?, ?)", (name, value))

    def _write(self, change: Change) -> None:
        match change:
            case Put(resource):
                self._database.execute(
                    "insert or replace into resources values (?, ?, ?, ?, ?, ?)", encode_resource(resource)
                )
            case Delete(name):
                self._database.execute(
                    "delete from resources where collection = ? and path = ?", (name.collection, name.path)
                )
            case PutOperation(operation):
                self._database.execute(
                    "insert or replace into operations values (?, ?)", encode_operation(operation)
                )
            case DeleteOperation(name):
                self._database.execute("delete from operations where path = ?", (name.path,))
