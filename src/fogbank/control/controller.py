"""Controllers: what an API does while the region runs, beside what lowering says should exist.

An API whose resources need care after they were promised (instances that are started and replaced, machines
that follow the load) has a module ``controller`` in its package that makes one from a :class:`Runtime`. The
region runs every controller, shows its status, and offers it the events of the machine.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from fogbank.clock import Clock
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.control.outgoing import Outgoing, send_nowhere
from fogbank.control.progress import Failure
from fogbank.dataplane.driver import Driver, Event
from fogbank.dataplane.linux.data_folders import DataFolders
from fogbank.errors import DriverError
from fogbank.network.packet_captures import ProbeResult
from fogbank.network.topology import NetnsName
from fogbank.paths.compare import Observation
from fogbank.paths.trace import Trace
from fogbank.resources.authorization import UNRESTRICTED, Access
from fogbank.resources.backend_health import BackendHealth
from fogbank.resources.consoles import Consoles
from fogbank.resources.names import ResourceName
from fogbank.store.log_entries import LogEntries
from fogbank.store.spans import Spans
from fogbank.store.store import Store
from fogbank.store.time_series import TimeSeries


class ImageDenied(DriverError):
    """An image may not be read by the service agent that should run it."""


Observe = Callable[[Trace], Awaitable[tuple[ProbeResult, Observation]]]
"""Sends one real packet for a predicted flow, and says what became of it."""


async def _send_no_packet(trace: Trace) -> tuple[ProbeResult, Observation]:
    raise NotImplementedError(f"nothing sends packets for {trace.flow}")


def _issue_none(hosts: Iterable[str], _lifetime: timedelta) -> bytes:
    raise NotImplementedError(f"nobody issues a certificate for {', '.join(hosts)}")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a controller may use.

    ``resolve_image`` turns an image's reference into its digest, as Cloud Run's service agent of a project
    (the second argument) reads it; without a project it is one of the region's own images. It blocks, so call
    it in a thread; DriverError when nobody knows the image, ImageDenied when the agent may not read it.
    ``data`` is what servers keep on the disk. ``log_entries`` takes what clients read by the logging API;
    ``logbook`` what ``fogbank logs`` shows. ``access`` tells what service accounts may do. ``outgoing`` sends
    HTTP requests as Google's products do. ``time_series`` asks its sources for samples once a minute;
    ``spans`` takes what the trace API reads. ``trace_sources`` are those of all controllers, and ``observe``
    sends one packet for a trace, as ``fogbank trace --probe`` does. ``consoles`` has what virtual machines
    write on serial ports, ``backend_health`` what health checks saw. ``issue_certificate`` has the region's
    authority make a key and a certificate for names (one PEM), for so long.
    """

    store: Store
    loop: ControlLoop
    driver: Driver
    clock: Clock
    logbook: Logbook
    resolve_image: Callable[[str, str], str]
    data: DataFolders
    log_entries: LogEntries = field(default_factory=lambda: LogEntries(None, lambda: datetime.now(UTC)))
    access: Access = UNRESTRICTED
    outgoing: Outgoing = send_nowhere
    time_series: TimeSeries = field(default_factory=TimeSeries)
    spans: Spans = field(default_factory=Spans)
    trace_sources: "Callable[[], Iterable[TraceSource]]" = tuple
    observe: "Observe" = _send_no_packet
    consoles: Consoles = field(default_factory=Consoles)
    backend_health: BackendHealth = field(default_factory=BackendHealth)
    issue_certificate: Callable[[Iterable[str], timedelta], bytes] = _issue_none


@dataclass(frozen=True, slots=True)
class TraceSource:
    """Something that sends packets, where ``fogbank trace`` can start: ``id`` in the namespace ``netns``.

    ``resource`` is what a client made of it; ``parts`` are the ids below that name by which a person may
    choose one of several (a revision's, the instance's own last). A person writes API/NAME/PART. Names mean
    what they mean in the VPC network ``network``.
    """

    id: str
    netns: NetnsName
    resource: ResourceName
    parts: tuple[str, ...] = ()
    network: ResourceName | None = None


class Controller(Protocol):
    """One API's part of the control plane; all but ``run`` is called in the event loop and returns soon.

    A class that inherits from this one implements what it needs; the rest does nothing.
    """

    name: str
    """Its API's name, under which its share of the fleet is kept."""

    async def run(self) -> None:
        """Work until cancelled; the first pass of the control loop has ended."""
        ...

    def reconcile(self) -> None:
        """Look at everything again, now: time was skipped or a person asked."""
        return

    def status(self) -> Mapping[str, list[dict[str, Any]]]:
        """Return its sections of ``fogbank status``: rows of the same name make one section."""
        return {}

    def explain(self) -> Iterable[tuple[ResourceName, Failure]]:
        """List what is not as promised and is no failure of an element: those are the loop's."""
        return ()

    def handle(self, event: Event) -> bool:
        """Take an event of the machine; False when it is about nothing of this controller's."""
        del event
        return False

    def log_names(self) -> Iterable[str]:
        """Name what has a log, though it may have written nothing yet: ``run/production``."""
        return ()

    def trace_sources(self) -> Iterable[TraceSource]:
        """List what runs now and can be traced from."""
        return ()
