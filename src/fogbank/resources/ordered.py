"""A persistent sorted set: every change gives a new one, which shares nearly everything with the one before.

Entries stand in sorted chunks of bounded length. A change copies one chunk and the list of chunks, which is a
thousand pointers for a set of 100,000 entries.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Any

LONGEST_CHUNK = 128
_FIRST: Callable[[tuple["Entry", ...]], "Entry"] = itemgetter(0)

Entry = tuple[Any, ...]
"""Entries of one set can be compared with one another."""


class OrderedSet:
    """Sorted entries without duplicates. ``chunks`` are not empty and have at most ``longest`` entries."""

    __slots__ = ("chunks", "longest")

    def __init__(self, chunks: tuple[tuple[Entry, ...], ...] = (), longest: int = LONGEST_CHUNK) -> None:
        self.chunks = chunks
        self.longest = longest

    @staticmethod
    def of(entries: Iterable[Entry], longest: int = LONGEST_CHUNK) -> "OrderedSet":
        """Make the set of ``entries``; they may come in any order and more than once."""
        return OrderedSet(_cut(tuple(sorted(dict.fromkeys(entries))), longest), longest)

    def __iter__(self) -> Iterator[Entry]:
        for chunk in self.chunks:
            yield from chunk

    def __len__(self) -> int:
        return sum(map(len, self.chunks))

    def starting_at(self, low: Entry) -> Iterator[Entry]:
        """Return the entries that are ``low`` or sort after it, in order."""
        chunks = self.chunks
        at = self._chunk_of(low)
        if at < len(chunks):
            first = chunks[at]
            yield from first[bisect_left(first, low) :]
        for chunk in islice(chunks, at + 1, None):
            yield from chunk

    def place_of(self, entry: Entry) -> int:
        """Return how many entries sort before ``entry``."""
        at = self._chunk_of(entry)
        within = bisect_left(self.chunks[at], entry) if self.chunks else 0
        return sum(map(len, self.chunks[:at])) + within

    def with_entry(self, entry: Entry) -> "OrderedSet":
        """Return the set with ``entry``."""
        at = self._chunk_of(entry)
        chunk = self.chunks[at] if self.chunks else ()
        place = bisect_left(chunk, entry)
        if place < len(chunk) and chunk[place] == entry:
            return self
        return self._with_chunk(at, at + 1, chunk[:place] + (entry,) + chunk[place:])  # noqa: RUF005 - faster

    def without_entry(self, entry: Entry) -> "OrderedSet":
        """Return the set without ``entry``."""
        at = self._chunk_of(entry)
        chunk = self.chunks[at] if self.chunks else ()
        place = bisect_left(chunk, entry)
        if place == len(chunk) or chunk[place] != entry:
            return self
        kept, end = chunk[:place] + chunk[place + 1 :], at + 1
        if len(kept) < self.longest // 4 and end < len(self.chunks):
            kept, end = kept + self.chunks[end], end + 1  # or chunks would dwindle to one entry each
        return self._with_chunk(at, end, kept)

    def _chunk_of(self, entry: Entry) -> int:
        """Return the number of the chunk that holds ``entry``, or would."""
        return max(0, bisect_right(self.chunks, entry, key=_FIRST) - 1)

    def _with_chunk(self, start: int, end: int, chunk: tuple[Entry, ...]) -> "OrderedSet":
        """Replace the chunks from ``start`` to ``end`` by ``chunk``, in pieces when it is too long."""
        chunks = self.chunks
        return OrderedSet(chunks[:start] + _cut(chunk, self.longest) + chunks[end:], self.longest)


def _cut(entries: tuple[Entry, ...], longest: int) -> tuple[tuple[Entry, ...], ...]:
    """Cut sorted entries into chunks that have room to grow; one that is short enough stays whole."""
    if len(entries) <= longest:
        return (entries,) if entries else ()
    size = longest // 2 + 1
    return tuple(entries[start : start + size] for start in range(0, len(entries), size))
