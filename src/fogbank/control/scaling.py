"""How many instances a revision should have, and how many machines a connector: pure rules over the load.

Simple and honest for now: enough instances that requests in flight fill 60 % of their concurrency, never
fewer than the minimum, never more than the maximum, and one that is kept for a revision that serves
(behaviour/cloud-run.md#scaling). An instance that is not needed stays until it has been idle for a while.

A connector's machines only come, one at a time, when those there are forward too much; none ever goes.
"""

import math
from dataclasses import dataclass

TARGET_UTILISATION = 0.6
"""The share of its concurrency that an instance should carry (behaviour/cloud-run.md#scaling, unverified)."""

IDLE_SECONDS = 15 * 60.0
"""How long an idle instance is kept (behaviour/cloud-run.md#scaling)."""

PENDING_SECONDS = 10.0
"""The least time that a request waits for an instance (behaviour/cloud-run.md#scaling)."""

MACHINE_UTILISATION = 0.6
"""The share of their rate that a connector's machines may forward before one more comes.

See behaviour/serverless-vpc-access.md#scaling.
"""

MACHINE_SECONDS = 60.0
"""The time over which what a connector forwards is averaged (behaviour/serverless-vpc-access.md#scaling)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the revision asks for: instance counts, and requests that one instance takes at a time."""

    minimum: int
    maximum: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that are being served or wait, and for how long each instance has been idle (seconds)."""

    in_flight: int
    idle_seconds: tuple[float, ...]


def desired_instances(load: Load, limits: Limits, *, serves: bool) -> int:
    """Decide how many instances a revision should have; ``serves``: it gets traffic or is checked."""
    if not serves:
        return 0
    floor = max(1, limits.minimum)
    needed = math.ceil(load.in_flight / (TARGET_UTILISATION * limits.concurrency))
    running = len(load.idle_seconds)
    lately_used = sum(idle < IDLE_SECONDS for idle in load.idle_seconds)
    kept = min(running, max(needed, lately_used))
    return min(max(floor, needed, kept), max(limits.maximum, 1))


def pending_limit(mean_start_seconds: float) -> float:
    """How long a request may wait for an instance before it gets a 429 (behaviour/cloud-run.md#scaling)."""
    return max(PENDING_SECONDS, 3.5 * mean_start_seconds)


def desired_machines(machines: int, maximum: int, bits_per_second: float, rate: int) -> int:
    """Decide how many machines a connector should have.

    ``bits_per_second`` is what all of them forwarded on average, ``rate`` what one of them can.
    """
    crowded = bits_per_second > MACHINE_UTILISATION * machines * rate
    return max(machines, min(machines + 1, maximum)) if crowded else machines
