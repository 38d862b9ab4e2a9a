"""Memory: a pure function need not work again when its arguments are the very same objects.

Worlds share what did not change, so most of a pass meets values that the last pass met. Arguments are
compared by identity, which costs nothing and suits bodies that cannot be hashed; they are kept alive as
long as their result, so an identity never comes to mean something else.

How much is kept follows from how much there is: what neither this pass nor the last one met goes, as soon as
as much again has come.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_FEW = 8
"""So few results are never looked through."""


@dataclass(slots=True)
class _Passes:
    """Counts passes, to know what the last one met."""

    now: int = 0


_passes = _Passes()


def new_pass() -> None:
    """Begin a pass: what it does not meet, and the one before did not, may be forgotten."""
    _passes.now += 1


@dataclass(slots=True)
class _Known(Generic[R]):
    """A result, the arguments it was made of, and the last pass that met it."""

    arguments: tuple[object, ...]
    result: R
    met: int


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Keep the results of a pure function that is called with positional arguments only."""
    known: dict[tuple[int, ...], _Known[R]] = {}
    enough = _FEW

    @wraps(function)
    def recall(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal known, enough
        key = tuple(map(id, args))
        if (hit := known.get(key)) is not None:
            hit.met = _passes.now
            return hit.result
        result = function(*args, **kwargs)
        if len(known) >= enough:
            known = {each: one for each, one in known.items() if one.met >= _passes.now - 1}
            enough = max(_FEW, 2 * len(known))
        known[key] = _Known(args, result, _passes.now)
        return result

    return recall


@remembered
def together(*members: R) -> tuple[R, ...]:
    """Give the same tuple for the same members, so that what is made of it is found again."""
    return members
