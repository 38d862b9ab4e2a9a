"""How many instances a revision should have: pure rules over the load.

Enough instances that requests in flight fill 60 % of their concurrency, never fewer than the minimum, never
more than the maximum (behaviour/cloud-run.md#scaling). An instance that is not needed stays until it has
been idle for a while; a revision without requests and without a minimum then has none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

TARGET_UTILISATION = 0.6
"""The share of its concurrency that an instance should carry (behaviour/cloud-run.md#scaling, unverified)."""

IDLE_SECONDS = 15 * 60.0
"""How long an idle instance is kept (behaviour/cloud-run.md#scaling)."""

PENDING_SECONDS = 10.0
"""The least time that a request waits for an instance (behaviour/cloud-run.md#scaling)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the revision asks for: instance counts, and requests that one instance takes at a time.

    ``manual`` is the number of instances whatever the load, None when they follow it.
    """

    minimum: int
    maximum: int
    concurrency: int
    manual: int | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """What a service's own scaling comes to for one of its revisions."""

    minimum: int = 0
    manual: int | None = None
    maximum: int | None = None

    def within(self, own: Limits, *, standby: int = 0) -> Limits:
        """Give the limits of a revision that has its ``own`` and keeps ``standby`` instances besides."""
        minimum = max(own.minimum, self.minimum, standby)
        maximum = own.maximum if self.maximum is None else min(own.maximum, self.maximum)
        return Limits(minimum, maximum, own.concurrency, self.manual)


def portion_of(percent: int, minimum: int, manual: int | None) -> Portion:
    """Take the part of a revision with ``percent`` of traffic from its service's numbers of instances.

    Each part is rounded up (https://cloud.google.com/run/docs/configuring/services/manual-scaling). A
    revision without traffic, which only a tag reaches or which is checked, scales by itself.
    """
    shared = math.ceil(minimum * percent / 100)
    return Portion(shared, math.ceil(manual * percent / 100) if manual is not None and percent else None)


def deal_maximum(percents: Mapping[T, int], maximum: int) -> dict[T, int]:
    """Deal a service's ``maximum`` out to its revisions by their shares of traffic, in percent.

    The parts add up to the maximum, but a revision with traffic has at least one. One without traffic may
    have as many as the service.
    """
    parts, reached = {}, 0
    for revision, percent in percents.items():
        before, reached = reached, reached + percent
        if percent:
            parts[revision] = max(1, maximum * reached // 100 - maximum * before // 100)
    for _ in range(sum(parts.values()) - max(maximum, len(parts))):
        parts[max(parts, key=lambda revision: parts[revision])] -= 1
    return {revision: parts.get(revision, maximum) for revision in percents}


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that are being served or wait, and for how long each instance has been idle (seconds)."""

    in_flight: int
    idle_seconds: tuple[float, ...]


def desired_instances(load: Load, limits: Limits, *, serves: bool) -> int:
    """Decide how many instances a revision should have; ``serves``: it gets traffic or is checked."""
    if not serves:
        return 0
    if limits.manual is not None:
        return limits.manual
    lately_used = sum(idle < IDLE_SECONDS for idle in load.idle_seconds)
    kept = min(len(load.idle_seconds), max(_needed(load.in_flight, limits), lately_used))
    return max(required_instances(load.in_flight, limits), min(kept, max(limits.maximum, 1)))


def required_instances(in_flight: int, limits: Limits) -> int:
    """Decide how many instances a serving revision needs at least, whatever it has now.

    Only `desired_instances`, which looks at each of them, can decide that there are too many.
    """
    if limits.manual is not None:
        return limits.manual
    return min(max(limits.minimum, _needed(in_flight, limits)), max(limits.maximum, 1))


def _needed(in_flight: int, limits: Limits) -> int:
    return math.ceil(in_flight / (TARGET_UTILISATION * limits.concurrency))


def pending_limit(mean_start_seconds: float) -> float:
    """How long a request may wait for an instance before it gets a 429 (behaviour/cloud-run.md#scaling)."""
    return max(PENDING_SECONDS, 3.5 * mean_start_seconds)
