"""Memory: a pure function need not work again when its arguments are the very same objects.

Worlds share what did not change, so most of a pass meets values that the last pass met. Arguments are
compared by identity, which costs nothing and suits bodies that cannot be hashed; they are kept alive as
long as their result, so an identity never comes to mean something else.

How much is kept follows from how much there is: what neither this pass nor the last one needed goes, as soon
as as much again has come. The surprising fact: what is found again hides what it was made of, so a result is
also needed while the one that was last made with it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, TypeVarTuple

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

_FEW = 8
"""So few results are never looked through."""


@dataclass(slots=True, eq=False)
class _Known:
    """A result, what it was made of, the last pass that met it, and what was last made with it."""

    arguments: tuple[object, ...]
    met: int
    result: Any = None
    user: "_Known | None" = None

    def needed(self, since: int) -> bool:
        """Return whether a pass from ``since`` on met it, or what was made with it."""
        known: _Known | None = self
        while known is not None and known.met < since:
            known = known.user
        return known is not None


class _Passes:
    """The number of the pass, and what is being made now, the outermost first."""

    def __init__(self) -> None:
        self.now = 0
        self.making: list[_Known] = []


_passes = _Passes()


def begin_generation() -> None:
    """Begin a pass: what it does not need, and the one before did not, may be forgotten."""
    _passes.now += 1


def memoized(function: Callable[[*Ts], R]) -> Callable[[*Ts], R]:
    """Keep the results of a pure function, which takes positional arguments only from now on."""
    memory: dict[tuple[int, ...], _Known] = {}
    enough = _FEW

    def make(key: tuple[int, ...], args: tuple[*Ts]) -> _Known:
        nonlocal memory, enough
        made = _Known(args, _passes.now)
        _passes.making.append(made)
        try:
            made.result = function(*args)
        finally:
            _passes.making.pop()
        if len(memory) >= enough:
            memory = {each: known for each, known in memory.items() if known.needed(_passes.now - 1)}
            enough = max(_FEW, 2 * len(memory))
        memory[key] = made
        return made

    @wraps(function)
    def recall(*args: *Ts) -> R:
        key = tuple(map(id, args))
        known = memory.get(key) or make(key, args)
        known.met = _passes.now
        if _passes.making and not (known.user and known.user.needed(_passes.now - 1)):
            known.user = _passes.making[-1]
        result: R = known.result
        return result

    return recall


@memoized
def interned(*members: R) -> tuple[R, ...]:
    """Return the same tuple for the same members, so that what is made of it is found again."""
    return members
