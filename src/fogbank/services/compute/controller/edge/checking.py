"""Health checks that run: a task for each endpoint of each backend service with a check.

An endpoint begins unhealthy. Of one that is unhealthy it is asked more often than its interval says, at first
and whenever the network has changed, because somebody waits for it; the verdict is the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from fogbank.resources.backend_health import BackendHealth
from fogbank.resources.load_balancing import Endpoint, HealthCheck

Probe = Callable[[HealthCheck, Endpoint], Awaitable[str]]

_SHORTEST_PAUSE = 0.05
_SLOWER = 1.5


@dataclass(slots=True, eq=False)
class _Checked:
    """One endpoint that is checked: consecutive ``passed`` and ``failed`` probes."""

    task: asyncio.Task[None] | None = None
    again: asyncio.Event = field(default_factory=asyncio.Event)
    passed: int = 0
    failed: int = 0
    pause: float = _SHORTEST_PAUSE


class HealthChecking:
    """Checks endpoints, notes what it sees in ``health`` and calls ``changed`` when a verdict is new."""

    def __init__(self, health: BackendHealth, probe: Probe, changed: Callable[[], None]) -> None:
        self._health, self._probe, self._changed = health, probe, changed
        self._checked: dict[tuple[HealthCheck, Endpoint], _Checked] = {}

    def want(self, pairs: Iterable[tuple[HealthCheck, Endpoint]]) -> None:
        """Check exactly these from now on."""
        wanted = set(pairs)
        names = {(check.name, endpoint) for check, endpoint in wanted}
        for pair in self._checked.keys() - wanted:
            gone = self._checked.pop(pair)
            if gone.task is not None:
                gone.task.cancel()
            key = (pair[0].name, pair[1])
            if key not in names:
                self._health.forget(key)
        for pair in wanted - self._checked.keys():
            made = self._checked[pair] = _Checked()
            made.task = asyncio.create_task(self._run(*pair, made))

    def hurry(self) -> None:
        """Look at once at those that are not healthy: the network has changed, or time was skipped."""
        for (check, endpoint), each in self._checked.items():
            if not self._health.is_healthy(check.name, endpoint):
                each.pause = _SHORTEST_PAUSE
                each.again.set()

    async def close(self) -> None:
        """End all checks."""
        tasks = [each.task for each in self._checked.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        self._checked.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, check: HealthCheck, endpoint: Endpoint, state: _Checked) -> None:
        while True:
            state.again.clear()
            why = await self._attempt(check, endpoint, state)
            if why is None:
                continue
            self._judge(check, endpoint, state, why)
            healthy = self._health.is_healthy(check.name, endpoint)
            pause = check.interval if healthy else min(state.pause, check.interval)
            state.pause = _SHORTEST_PAUSE if healthy else state.pause * _SLOWER
            try:
                await asyncio.wait_for(state.again.wait(), pause)
            except TimeoutError:
                continue

    async def _attempt(self, check: HealthCheck, endpoint: Endpoint, state: _Checked) -> str | None:
        """Probe; None when the network changed meanwhile and another attempt is better."""
        probe = asyncio.ensure_future(self._probe(check, endpoint))
        again = asyncio.ensure_future(state.again.wait())
        try:
            await asyncio.wait({probe, again}, return_when=asyncio.FIRST_COMPLETED)
            return probe.result() if probe.done() else None
        finally:
            for each in (probe, again):
                each.cancel()

    def _judge(self, check: HealthCheck, endpoint: Endpoint, state: _Checked, why: str) -> None:
        state.passed, state.failed = (0, state.failed + 1) if why else (state.passed + 1, 0)
        key = (check.name, endpoint)
        healthy = self._health.is_healthy(check.name, endpoint)
        if not healthy and state.passed >= check.healthy:
            self._health.note(key, healthy=True)
            self._changed()
        elif healthy and state.failed >= check.unhealthy:
            self._health.note(key, healthy=False, why=why)
            self._changed()
        elif not healthy and why:
            self._health.note(key, healthy=False, why=why)
