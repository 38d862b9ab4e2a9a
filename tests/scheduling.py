"""The order in which tests start, and how many run at once: what is long and starts last holds all up."""

import os
from collections.abc import Sequence
from typing import TypeVar

import pytest

Item = TypeVar("Item", bound=pytest.Item)


def seconds_of(item: pytest.Item) -> float:
    """Return what the nearest ``slow(seconds)`` mark says, 1 for one without; 0 without a mark."""
    mark = item.get_closest_marker("slow")
    return float(mark.args[0] if mark.args else 1.0) if mark else 0.0


def group_of(item: pytest.Item) -> str:
    """Name what runs in one piece: the ``xdist_group``, or the test alone."""
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark else item.nodeid


def longest_first(items: Sequence[Item]) -> list[Item]:
    """Order by the time of each piece; pieces of the same length, and the tests of one, stay as they were."""
    totals: dict[str, float] = {}
    first: dict[str, int] = {}
    for place, item in enumerate(items):
        totals[group_of(item)] = totals.get(group_of(item), 0.0) + seconds_of(item)
        first.setdefault(group_of(item), place)
    return sorted(items, key=lambda item: (-totals[group_of(item)], first[group_of(item)]))


def workers() -> int:
    """Choose how many tests run at once: half as many again as processors, for most of them often wait."""
    return max(2, len(os.sched_getaffinity(0)) * 3 // 2)
