"""Decisions: what a service wants to happen, before anything has.

`services` make them, the store commits them, `frontend` answers by them.
"""

from dataclasses import dataclass

from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation
from fogbank.resources.world import Change, Json


@dataclass(frozen=True, slots=True)
class Decision:
    """What a write should do: ``changes`` to commit, and how to answer.

    With an ``operation`` the answer is that operation (the front end adds a PutOperation and may hold the
    answer for a moment so that it is already done); else it is ``answer``. ``settles`` names a resource
    whose convergence the front end may await a moment before it answers with ``read(world)``. An operation
    that needs nothing from the network comes with status DONE. ``opened`` is the operation as the caller sees
    it first, in APIs that always answer at once and have their clients poll.
    """

    changes: tuple[Change, ...] = ()
    operation: Operation | None = None
    opened: Operation | None = None
    answer: Json | None = None
    settles: ResourceName | None = None
