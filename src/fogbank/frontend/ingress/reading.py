"""Resources as the ingress reads them: once for each version, since every request asks."""

from collections.abc import Callable
from typing import Generic, TypeVar

from fogbank.resources.world import Resource

T = TypeVar("T")

MOST_KEPT = 4096
"""Resources that are kept as read; then it begins anew."""


class ReadOnce(Generic[T]):
    """Reads resources by ``read``, and keeps what it said of each: a resource never changes."""

    def __init__(self, read: Callable[[Resource], T]) -> None:
        self._read = read
        self._known: dict[int, tuple[Resource, T]] = {}

    def __call__(self, resource: Resource) -> T:
        known = self._known.get(id(resource))
        if known is not None:  # it holds the resource, so no other has its id
            return known[1]
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        found = self._read(resource)
        self._known[id(resource)] = resource, found
        return found
