"""The default egress pool: instances have one of its addresses, and another one every few minutes.

See behaviour/cloud-run.md#egress.
"""

import secrets

from fogbank.clock import Clock
from fogbank.resources.fleet import Instance
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.instances import with_pool

POOL_SECONDS = 300.0
"""How long an idle instance keeps its address of the default egress pool (behaviour/cloud-run.md#egress)."""
POOL_SIZE = 250


def draw() -> int:
    """Draw an address of the pool, by its number."""
    return secrets.randbelow(POOL_SIZE)


def redrawn(instance: InstanceState, clock: Clock) -> Instance | None:
    """Give an idle instance another address when it is time; None when it is not."""
    if instance.in_flight or clock.seconds() - instance.pool_drawn <= POOL_SECONDS:
        return None
    instance.pool_drawn = clock.seconds()
    instance.spec = with_pool(instance.spec, draw())
    return instance.spec
