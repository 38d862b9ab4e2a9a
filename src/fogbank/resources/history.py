"""What changed lately: so that whoever knows an earlier World need not compare everything with it."""

from collections.abc import Iterable
from dataclasses import dataclass

from fogbank.resources.names import ResourceName

_KEPT = 64
"""Who is further behind compares collections, which then costs less than following every change."""


@dataclass(frozen=True, slots=True)
class History:
    """The last changes, oldest first: the state before each (told by identity), and the names it touched."""

    steps: tuple[tuple[object, tuple[ResourceName, ...]], ...] = ()

    def after(self, before: object, names: Iterable[ResourceName]) -> "History":
        """Add the change that touched ``names`` in the state ``before``."""
        return History((*self.steps[1 - _KEPT :], (before, tuple(names))))

    def since(self, state: object) -> set[ResourceName] | None:
        """Name everything touched since ``state``; None when that is too long ago, or never was."""
        found: set[ResourceName] = set()
        for before, names in reversed(self.steps):
            found.update(names)
            if before is state:
                return found
        return None
