"""What a service is: functions from a World and a call to a decision, an answer or a listing.

`frontend` has already parsed the URL and checked the body against Google's schema; it will make the lists'
pages and filters, and both operation dialects. A service adds defaults, validation and in-use rules, and
decides. It has no clock and no chance: ``call.now`` and ``call.new_id()`` bring them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fogbank.network.topology import Topology
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation
from fogbank.resources.world import Change, Json, World

__all__ = ["Call", "Decision", "List", "Method", "Read", "Service", "Write"]


@dataclass(frozen=True, slots=True)
class Call:
    """One API call, parsed.

    ``method`` is the discovery id with its version (``compute.v1.subnetworks.insert``); ``parameters``
    holds path and query parameters, typed as the discovery document says; ``principal`` is the caller's
    e-mail address. ``observed`` is the network as the driver last saw it.
    """

    method: str
    parameters: Mapping[str, Any]
    body: Json
    principal: str
    now: datetime
    new_id: Callable[[], int]
    observed: Topology = field(default_factory=Topology)

    def __getitem__(self, parameter: str) -> str:
        """Return a path parameter, which is always there."""
        return str(self.parameters[parameter])


@dataclass(frozen=True, slots=True)
class Read:
    """A method that answers with one JSON object and changes nothing."""

    read: Callable[[World, Call], Json]


@dataclass(frozen=True, slots=True)
class List:
    """A method that lists: all items, unpaged and unfiltered; the front end does the rest.

    ``items`` names the field of the answer that holds them (``items`` in compute, ``connectors`` …).
    One that is ``filtered`` has read the filter itself, for it is in a language of its own.
    """

    list: Callable[[World, Call], Iterable[Json]]
    items: str = "items"
    filtered: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """A method that changes something."""

    decide: Callable[[World, Call], Decision]


Method = Read | List | Write


@dataclass(frozen=True, slots=True)
class Service:
    """One Google API: its discovery ``name``, and handlers by method id (``subnetworks.insert``) for each
    version.

    ``methods`` is keyed ``v1.subnetworks.insert`` or, when all versions agree, ``subnetworks.insert``.
    ``converged`` is asked which changes follow once the kernel has what the World promises about a resource
    (a state that becomes READY). ``operation_response`` gives the message of a finished longrunning
    operation. ``finishes`` tells whether an operation is over once the network is as promised; one that
    awaits more (a revision that must listen first) is ended by its service's own changes.
    """

    name: str
    methods: Mapping[str, Method]
    converged: Callable[[World, ResourceName, datetime], tuple[Change, ...]] = lambda _w, _n, _t: ()
    operation_response: Callable[[World, Operation], Mapping[str, Any] | None] = lambda _w, _o: None
    finishes: Callable[[World, Operation], bool] = lambda _w, _o: True
