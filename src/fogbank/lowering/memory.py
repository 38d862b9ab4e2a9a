"""Memory: a pure function need not work again when its arguments are the very same objects.

Worlds share what did not change, so most of a pass meets values that the last pass met. Arguments are
compared by identity, which costs nothing and suits bodies that cannot be hashed; they are kept alive as
long as their result, so an identity never comes to mean something else.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def remembered(size: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep the last ``size`` results of a pure function that is called with positional arguments only."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known: dict[tuple[int, ...], tuple[object, R]] = {}

        @wraps(function)
        def recall(*args: P.args, **kwargs: P.kwargs) -> R:
            key = tuple(map(id, args))
            if (hit := known.get(key)) is not None:
                return hit[1]
            result = function(*args, **kwargs)
            if len(known) >= size:
                del known[next(iter(known))]
            known[key] = (args, result)
            return result

        return recall

    return decorate
