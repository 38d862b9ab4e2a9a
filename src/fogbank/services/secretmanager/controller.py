"""Secret Manager while the region runs: secrets expire and versions are destroyed when their time comes.

Who asks after an expired secret does not find it in the meantime, so a minute's delay is seen by nobody.
"""

from fogbank.control.controller import Controller, Runtime
from fogbank.control.periodic import every
from fogbank.resources.decisions import Decision
from fogbank.services.secretmanager.expiry import due

PAUSE_SECONDS = 60.0


class SecretsController(Controller):
    """Carries out what secrets are promised to do by themselves."""

    name = "secretmanager"

    def __init__(self, runtime: Runtime) -> None:
        self._store, self._clock = runtime.store, runtime.clock

    async def run(self) -> None:
        """Look once a minute until cancelled."""
        await every(PAUSE_SECONDS, self.expire)

    async def expire(self) -> None:
        """Delete and destroy what is due now."""
        if due(self._store.world, self._clock.now()):
            await self._store.commit(lambda world: Decision(due(world, self._clock.now())))


def make_controller(runtime: Runtime) -> SecretsController:
    """Make the controller of Secret Manager."""
    return SecretsController(runtime)
