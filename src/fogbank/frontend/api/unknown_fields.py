"""Fields of requests that compute leaves out without a word: remembered, so that a typo can be found.

``fogbank status`` lists them, and the log names each once. Compute at Google ignores what it does not know,
which real clients rely on: Terraform's provider sends fields of the beta API to v1.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

_log = logging.getLogger(__name__)

_MOST = 100
"""How many fields are remembered; clients that send more kinds are not worth the memory."""

_LONGEST = 200
"""How much of a field's name is kept."""


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field that requests of ``method`` carried ``times`` times, and that the API does not have."""

    method: str
    field: str
    times: int


class UnknownFields:
    """What was left out since the region started."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], int] = {}

    def note(self, method: str, fields: Iterable[str]) -> None:
        """Take note that a request of ``method`` carried ``fields``."""
        for field in fields:
            key = method, field[:_LONGEST]
            if key in self._times:
                self._times[key] += 1
            elif len(self._times) < _MOST:
                self._times[key] = 1
                _log.warning("%s: the unknown field %s was left out, as Google does", *key)

    def list(self) -> tuple[UnknownField, ...]:
        """List the fields, the first seen first."""
        return tuple(UnknownField(*key, times) for key, times in self._times.items())
