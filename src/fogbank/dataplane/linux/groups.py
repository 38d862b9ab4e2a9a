"""Element groups: what the Linux driver is made of.

Each kind of element belongs to one group, which does it in the way that is fast for it: links and routes in
batches of netlink messages, rules in transactions, sockets and containers one by one. A group has a table
with a builder for each of its kinds, so nothing is matched with a default that could swallow a new one.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from fogbank.errors import DriverError
from fogbank.network.topology import Element, Key, NetnsName
from fogbank.planning.plan import Action, Create, Remove, Replace, element_of

E_contra = TypeVar("E_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_log = logging.getLogger(__name__)

Errors = list[Exception | None]
"""What became of each action, in their order; None is success."""


class ElementGroup(Protocol):
    """Builds the elements of some kinds; called by one thread at a time."""

    @property
    def kinds(self) -> tuple[type, ...]:
        """The classes of elements that this group builds."""
        ...

    def apply(self, actions: Sequence[Action]) -> Errors:
        """Do ``actions``, all of this group's kinds, in order; one that fails does not stop the others."""
        ...

    def observe(self) -> Mapping[Key, Element]:
        """Return what was built and still stands."""
        ...

    def forget(self, netns: NetnsName) -> None:
        """End everything in ``netns``, which is about to be removed."""
        ...

    def close(self) -> None:
        """End everything that does not go with the namespaces."""
        ...


class Builder(Protocol[E_contra, R_co]):
    """Knows how one kind of element is created, changed and removed: does it, or returns how it is done."""

    def create(self, element: E_contra) -> R_co:
        """Build ``element``."""
        ...

    def replace(self, old: E_contra, new: E_contra) -> R_co:
        """Turn ``old`` into ``new``, which has the same key and makes the same devices."""
        ...

    def remove(self, element: E_contra) -> R_co:
        """Take ``element`` away."""
        ...


def build(builders: Mapping[type, Builder[Any, R]], action: Action) -> R:
    """Have the builder of an action's kind do ``action``."""
    builder = builders[type(element_of(action))]
    match action:
        case Create(element=element):
            return builder.create(element)
        case Replace(old=old, new=new):
            return builder.replace(old, new)
        case Remove(element=element):
            return builder.remove(element)


def one_by_one(builders: Mapping[type, Builder[Any, None]], actions: Sequence[Action]) -> Errors:
    """Do each of ``actions`` by itself."""
    return [_attempt(builders, action) for action in actions]


def _attempt(builders: Mapping[type, Builder[Any, None]], action: Action) -> Exception | None:
    try:
        build(builders, action)
    except (DriverError, OSError) as error:
        return error
    except Exception as error:  # noqa: BLE001 - a bug about one element must not hold up all the others
        _log.exception("%s failed", action)
        return DriverError(f"{type(error).__name__}: {error}")
    return None
