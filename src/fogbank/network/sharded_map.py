"""A persistent map whose versions can be compared in the time of what changed.

Entries are spread over a fixed number of small dictionaries. A change copies those that it touches; the
others are shared between the versions, and two versions differ only where they share nothing.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_SHARDS = 1024
_MASK = _SHARDS - 1
_EMPTY: dict[Any, Any] = {}
_NONE: tuple[dict[Any, Any], ...] = (_EMPTY,) * _SHARDS


class ShardedMap(Mapping[K, V], Generic[K, V]):
    """An immutable map; iteration is in no particular order."""

    __slots__ = ("shards", "size")

    def __init__(self, shards: tuple[dict[K, V], ...] = _NONE, size: int = 0) -> None:
        self.shards = shards
        self.size = size

    def __getitem__(self, key: K) -> V:
        return self.shards[hash(key) & _MASK][key]

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default``."""
        return self.shards[hash(key) & _MASK].get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self.shards[hash(key) & _MASK]

    def __iter__(self) -> Iterator[K]:
        return chain.from_iterable(self.shards)

    def __len__(self) -> int:
        return self.size

    def changed(self, puts: Mapping[K, V], gone: Iterable[K] = ()) -> "ShardedMap[K, V]":
        """Make the map without ``gone`` (KeyError when one is not there) and with ``puts``."""
        copies: dict[int, dict[K, V]] = {}
        size = self.size
        for key in gone:
            del self._copy(copies, key)[key]
            size -= 1
        for key, value in puts.items():
            shard = self._copy(copies, key)
            size += key not in shard
            shard[key] = value
        if not copies:
            return self
        shards = list(self.shards)
        for place, shard in copies.items():
            shards[place] = shard
        return ShardedMap(tuple(shards), size)

    def _copy(self, copies: dict[int, dict[K, V]], key: K) -> dict[K, V]:
        place = hash(key) & _MASK
        shard = copies.get(place)
        if shard is None:
            shard = copies[place] = self.shards[place].copy()
        return shard

    def differing(self, other: "ShardedMap[K, V]") -> Iterator[K]:
        """List the keys whose values in ``other`` are not the very same objects, or that only one has."""
        for mine, theirs in zip(self.shards, other.shards, strict=True):
            if mine is not theirs:
                yield from (key for key, value in mine.items() if theirs.get(key) is not value)
                yield from (key for key in theirs if key not in mine)
