"""What a service is: functions from a World and a call to a decision, an answer or a listing.

`frontend` has already parsed the URL and checked the body against Google's schema; it will make the lists'
pages and filters, and both operation dialects. A service adds defaults, validation and in-use rules, and
decides. It has no clock and no chance: ``call.now`` and ``call.new_id()`` bring them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from fogbank.network.topology import Topology
from fogbank.resources.apis import Catalogue, NewId
from fogbank.resources.authorization import UNRESTRICTED, Access
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation
from fogbank.resources.world import Change, Json, World

__all__ = [
    "Call",
    "Decision",
    "Elsewhere",
    "List",
    "Live",
    "Method",
    "Read",
    "Service",
    "Streaming",
    "Write",
]

NO_PERMISSION = "none"
"""The permission of a method that Google lets everybody call who has signed in."""

ErrorDialect = Literal["status", "reasons", "both"]
"""How an API writes an error: ``status`` and details, compute's list of ``errors`` with reasons, or both."""

OperationDialect = Literal["compute", "longrunning", "none"]
"""How an API shows operations: as ``compute#operation``, as ``google.longrunning.Operation``, or that it has
none of the region's, for its writes answer with what they wrote.

Knative's objects have no operations: a write answers with the object (``Decision.settles``).
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One API call, parsed.

    ``method`` is the discovery id with its version (``compute.v1.subnetworks.insert``); ``parameters``
    holds path and query parameters, typed as the discovery document says; ``principal`` is the caller's
    e-mail address. ``observed`` is the network as the driver last saw it; ``apis`` are the APIs of the
    region, for the methods that speak about other APIs. ``access`` answers about further permissions than
    the method's own, which has been checked: those on what a body refers to.
    """

    method: str
    parameters: Mapping[str, Any]
    body: Json
    principal: str
    now: datetime
    new_id: Callable[[], int]
    observed: Topology = field(default_factory=Topology)
    apis: Catalogue = field(default_factory=Catalogue)
    access: Access = UNRESTRICTED

    def __getitem__(self, parameter: str) -> str:
        """Return a path parameter, which is always there."""
        return str(self.parameters[parameter])


@dataclass(frozen=True, slots=True)
class Read:
    """A method that answers with one JSON object and changes nothing."""

    read: Callable[[World, Call], Json]
    permission: str = ""


@dataclass(frozen=True, slots=True)
class List:
    """A method that lists: all items, unpaged and unfiltered; the front end does the rest.

    ``items`` names the field of the answer that holds them (``items`` in compute, ``connectors`` …).
    One that is ``filtered`` has read the filter itself, for it is in a language of its own. Where no path
    names the project but the query does, ``projects`` finds it there, as in :class:`Live`.
    """

    list: Callable[[World, Call], Iterable[Json]]
    items: str = "items"
    filtered: bool = False
    permission: str = ""
    projects: Callable[[Json], Iterable[str]] | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """A method that changes something; ``projects`` finds in the body whose it is, as in :class:`Live`."""

    decide: Callable[[World, Call], Decision]
    permission: str = ""
    projects: Callable[[Json], Iterable[str]] | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A method that an application of its own answers on the API's own host (iamcredentials)."""

    permission: str = ""


@dataclass(frozen=True, slots=True)
class Live:
    """A method about what the World does not hold: log entries, measurements, spans.

    ``answer`` gets the backend that the API's manifest makes. Where no path names the project but the body
    does, ``projects`` finds it there (by id or number): the permission is asked on each.
    """

    answer: Callable[[Any, World, Call], Awaitable[Json]]
    permission: str = ""
    projects: Callable[[Json], Iterable[str]] | None = None


@dataclass(frozen=True, slots=True)
class Streaming:
    """A method whose answer goes on, for clients that speak gRPC: messages until the client leaves.

    Like :class:`Live`; the call's body is the first message that the client sent.
    """

    answer: Callable[[Any, World, Call], AsyncIterator[Json]]
    permission: str = ""
    projects: Callable[[Json], Iterable[str]] | None = None


Method = Read | List | Write | Elsewhere | Live | Streaming
"""A method of an API, each with the IAM permission that it needs on its resource (NO_PERMISSION: none)."""


@dataclass(frozen=True, slots=True)
class Service:
    """One Google API: its discovery ``name``, and handlers by method id (``subnetworks.insert``) for each
    version.

    ``methods`` is keyed ``v1.subnetworks.insert`` or, when all versions agree, ``subnetworks.insert``.
    ``title`` and ``versions`` are as in Google's discovery documents. ``permissions`` are those that other
    resources' methods ask about, beside those of its own methods (``compute.subnetworks.use``).
    ``new_project`` makes what a new project has of it: given its id, the time and where ids come from.
    ``converged`` is asked which changes follow once the kernel has what the World promises about a resource
    (a state that becomes READY). ``operation_response`` gives the message of a finished longrunning
    operation. ``finishes`` tells whether an operation is over once the network is as promised; one that
    awaits more (a revision that must listen first) is ended by its service's own changes.
    """

    name: str
    methods: Mapping[str, Method]
    title: str = ""
    versions: tuple[str, ...] = ()
    errors: ErrorDialect = "status"
    operations: OperationDialect = "longrunning"
    permissions: tuple[str, ...] = ()
    new_project: Callable[[str, datetime, NewId], tuple[Change, ...]] = lambda _p, _t, _i: ()
    converged: Callable[[World, ResourceName, datetime], tuple[Change, ...]] = lambda _w, _n, _t: ()
    operation_response: Callable[[World, Operation], Mapping[str, Any] | None] = lambda _w, _o: None
    finishes: Callable[[World, Operation], bool] = lambda _w, _o: True

    @property
    def host(self) -> str:
        """The API's own host, which is also its name in Service Usage; regional hosts contain it."""
        return f"{self.name}.googleapis.com"

    def method(self, version: str, name: str) -> Method | None:
        """Find the handler of a method (``networks.insert``) of one version; None when it is not built."""
        return self.methods.get(f"{version}.{name}") or self.methods.get(name)


def operation_permissions(api: str, *collections: str) -> tuple[str, ...]:
    """List the permissions of an API's methods of operations, which the front end answers."""
    return tuple(f"{api}.{each}.{verb}" for each in collections for verb in ("delete", "get", "list"))


def catalogue_of(services: Iterable[Service]) -> Catalogue:
    """Gather what ``services`` say about themselves."""
    known = tuple(services)
    permissions = {each.permission for service in known for each in service.methods.values()}
    permissions |= {each for service in known for each in service.permissions}

    def new_project(project: str, now: datetime, new_id: NewId) -> tuple[Change, ...]:
        return tuple(change for service in known for change in service.new_project(project, now, new_id))

    return Catalogue(
        {service.host: service.title for service in known},
        tuple(sorted(permissions - {NO_PERMISSION, ""})),
        new_project,
    )
