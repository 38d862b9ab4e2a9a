"""Runs the connectivity tests that are due: predicts the path, sends a packet where it can, keeps both."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Controller, Runtime
from fogbank.network.filtering import TCP
from fogbank.paths.compare import compare
from fogbank.paths.predict import predict
from fogbank.paths.trace import Trace
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.world import Change, Json, Resource, changed_members
from fogbank.services.networkmanagement.connectivity_tests import TESTS, ran
from fogbank.services.networkmanagement.controller.endpoints import Ends, NotTraceableError, find_ends
from fogbank.services.networkmanagement.controller.steps import (
    Shown,
    analysis_failed,
    probing_details,
    reachability_details,
)

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""How long a test waits for the network to be as the World says."""


class TestsController(Controller):
    """All connectivity tests."""

    __test__ = False
    name = "networkmanagement"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._store, self._loop, self._clock = (
            runtime,
            runtime.store,
            runtime.loop,
            runtime.clock,
        )
        self._running: set[ResourceName] = set()
        self._tasks = BackgroundTasks("a connectivity test")
        self._disagreements: dict[ResourceName, tuple[str, ...]] = {}
        self._store.watch_changes(self._changed)

    async def run(self) -> None:
        """Look once; then each change of a test is heard of."""
        self.reconcile()

    def reconcile(self) -> None:
        """Begin what is due."""
        for test in self._store.world.all(TESTS):
            self._begin(test.name)

    def _changed(self, changes: Sequence[Change]) -> None:
        for name in dict.fromkeys(changed_members(changes, TESTS)):
            self._begin(name)

    def _begin(self, name: ResourceName) -> None:
        """Run a test if it is due; one that runs already is looked at again when that run ends."""
        test = self._store.world.find(name)
        if test is not None and test.private.get("due") and name not in self._running:
            self._running.add(name)
            self._tasks.spawn(self._run(test))

    def status(self) -> Mapping[str, list[dict[str, Any]]]:
        """List tests whose packet did otherwise than predicted: those are faults of Fogbank."""
        rows = [
            {"test": name.path, "differences": list(differences)}
            for name, differences in sorted(self._disagreements.items())
            if self._store.world.find(name) is not None
        ]
        return {"connectivityTestDisagreements": rows} if rows else {}

    async def _run(self, test: Resource) -> None:
        """Run ``test`` once, and once more if somebody asked for it meanwhile."""
        try:
            results = await self._results_or_error(test)
            await self._store.commit(lambda world: Decision(ran(world, test, results, self._clock.now())))
        finally:
            self._running.discard(test.name)
        self._begin(test.name)

    async def _results_or_error(self, test: Resource) -> Json:
        """Return the results; a fault of Fogbank's is a result, too, so that nobody waits for another."""
        try:
            await self._loop.applied(self._store.world.version, PATIENCE_SECONDS)
            return await self._results(test)
        except Exception as error:
            log.exception("%s: the analysis failed", test.name.path)
            return analysis_failed(rfc3339(self._clock.now()), error)

    async def _results(self, test: Resource) -> Json:
        shown = Shown(self._store.world, self._loop.lowered.owners, test, rfc3339(self._clock.now()))
        try:
            ends = find_ends(test.body, self._store.world, self._loop.observed, self._runtime.trace_sources())
        except NotTraceableError as error:
            return reachability_details(shown, error)
        trace = await asyncio.to_thread(predict, self._loop.observed, ends.flow)
        return reachability_details(shown, trace, ends) | await self._probed(test, shown, trace, ends)

    async def _probed(self, test: Resource, shown: Shown, trace: Trace, ends: Ends) -> Json:
        """Send a packet from a running source; probes are TCP connections."""
        self._disagreements.pop(test.name, None)
        if ends.source is None or ends.flow.protocol != TCP:
            return {"probingDetails": None}
        packet, observed = await self._runtime.observe(trace)
        differences = compare(trace, observed)
        if differences:
            log.error("%s: prediction and packet disagree: %s", test.name.path, "; ".join(differences))
            self._disagreements[test.name] = differences
        return {"probingDetails": probing_details(shown, trace, ends, packet, agrees=not differences)}


def make_controller(runtime: Runtime) -> TestsController:
    """Make the controller of the Network Management API."""
    return TestsController(runtime)
