"""Log entries: list and tail (behaviour/logging.md#entries)."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol
from urllib.parse import quote

from fogbank.resources.log_entries import Entry, Found, Search
from fogbank.resources.projects import project_id
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.logging.names import REQUIRED_LOGS, Source, bad, read_source
from fogbank.services.logging.paging import open_token, page_size, seal_of, token_of
from fogbank.services.logging.query.compile import Keep, Query, compile_query

MOST_SOURCES = 100
"""How many names one call may read from (the API's description of ``resourceNames``)."""


class Reader(Protocol):
    """Where entries are read."""

    async def search(self, search: Search) -> Found:
        """Look for entries."""
        ...

    def follow(self, projects: Sequence[str]) -> AsyncGenerator[Entry, None]:
        """Yield the entries of ``projects`` to come."""
        ...


def listed_projects(body: Json) -> Iterable[str]:
    """Return the projects whose entries a body asks for."""
    return [source.project for source in _sources(body)]


def _sources(body: Json) -> list[Source]:
    names = [
        *(body.get("resourceNames") or ()),
        *(f"projects/{each}" for each in body.get("projectIds") or ()),
    ]
    if not names:
        raise bad("Resource names cannot be empty.")
    if len(names) > MOST_SOURCES:
        raise bad(f"No more than {MOST_SOURCES} resource names may be given.")
    return [read_source(name) for name in names]


async def list_entries(reader: Reader, world: World, call: Call) -> Json:
    """List entries in the order of time."""
    body = call.body
    sources, text = _sources(body), str(body.get("filter") or "")
    order = str(body.get("orderBy") or "timestamp asc").split()
    if order not in (["timestamp"], ["timestamp", "asc"], ["timestamp", "desc"]):
        raise bad('order_by must be "timestamp asc" or "timestamp desc"')
    query = compile_query(text)
    seal = seal_of([str(source) for source in sources], text, order)
    found = await reader.search(
        Search(
            projects=_projects(world, sources),
            keep=_kept(query, sources),
            size=page_size(int(body.get("pageSize") or 0)),
            newest_first=order[-1] == "desc",
            since=query.bounds.since,
            until=query.bounds.until,
            logs=_by_id(world, query.bounds.logs),
            types=query.bounds.types,
            severity=query.bounds.severity,
            after=open_token(str(body.get("pageToken") or ""), seal),
        )
    )
    answer: Json = {"entries": list(found.entries)} if found.entries else {}
    if found.goes_on is not None:
        answer["nextPageToken"] = token_of(seal, found.goes_on)
    return answer


def _projects(world: World, sources: Iterable[Source]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(project_id(world, source.project) for source in sources))


def _by_id(_world: World, logs: frozenset[str] | None) -> frozenset[str] | None:
    """Write the names of logs as they are stored: ids escaped, in lower case."""
    if logs is None:
        return None
    parts = (each.partition("/logs/") for each in logs)
    return frozenset(f"{parent}/logs/{quote(log, safe='%').lower()}" for parent, _, log in parts)


def _kept(query: Query, sources: Sequence[Source]) -> Keep:
    """Return the test of the query and, where all sources are buckets, of the bucket."""
    buckets = {source.bucket for source in sources}
    if "" in buckets or len(buckets) > 1:
        return query.keep
    required = buckets == {"_Required"}
    return lambda entry: _is_required(entry) == required and query.keep(entry)


def _is_required(entry: Entry) -> bool:
    return str(entry.get("logName", "")).lower().endswith(REQUIRED_LOGS)


async def tail_entries(reader: Reader, world: World, call: Call) -> AsyncIterator[Json]:
    """Yield the entries to come that the filter keeps, one message each."""
    sources = _sources(call.body)
    keep = _kept(compile_query(str(call.body.get("filter") or "")), sources)
    async with aclosing(reader.follow(_projects(world, sources))) as following:
        async for entry in following:
            if keep(entry):
                yield {"entries": [entry]}
