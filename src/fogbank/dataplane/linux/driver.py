"""The Linux driver: topologies become namespaces, interfaces, rules, sockets and containers.

It only sorts: each kind of element belongs to one group (:mod:`groups`), and neighbours in a plan that belong
to one group are done together. The groups remember what they built and, when asked, believe the kernel more
than their memory.
"""

import itertools
import shutil
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address

from fogbank.dataplane.driver import (
    CountedFlow,
    FirstPacket,
    InterfaceCounters,
    Message,
    Outcome,
    Report,
    RuleReport,
    TrackedFlow,
)
from fogbank.dataplane.linux.firewall import conntrack
from fogbank.dataplane.linux.firewall.libnft import NftError
from fogbank.dataplane.linux.firewall.rulesets import Rulesets
from fogbank.dataplane.linux.groups import ElementGroup
from fogbank.dataplane.linux.listeners import Listeners, Serve, Unserve
from fogbank.dataplane.linux.namespace_elements import NamespaceElements
from fogbank.dataplane.linux.net.drift import DriftWatch
from fogbank.dataplane.linux.net.links_and_routes import LinksAndRoutes
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.dataplane.linux.workloads import ContainerRuntime, NoContainerRuntime, Workloads
from fogbank.errors import DriverError
from fogbank.network.topology import DeviceName, Element, Key, NetnsName, Topology
from fogbank.planning.plan import Action, element_of


class LinuxDriver:
    """Keeps the contract of :class:`fogbank.dataplane.driver.Driver` in the namespaces of this process.

    ``serve`` is given each listener's open socket and owns it from then on; ``unserve`` must close it.
    With ``report`` a thread watches for changes that others make.
    """

    def __init__(
        self,
        *,
        serve: Serve,
        unserve: Unserve,
        containers: ContainerRuntime | None = None,
        namespaces: NetworkNamespaces | None = None,
        report: Report | None = None,
    ) -> None:
        self.namespaces = namespaces or NetworkNamespaces()
        self._links_and_routes = LinksAndRoutes(self.namespaces)
        self._rulesets = Rulesets(self.namespaces)
        self._containers = containers or NoContainerRuntime()
        self._groups: tuple[ElementGroup, ...] = (
            NamespaceElements(self.namespaces, self._watch, self._forget),
            self._links_and_routes,
            self._rulesets,
            Listeners(self.namespaces, serve, unserve),
            Workloads(self._containers),
        )
        self._group_of = {kind: group for group in self._groups for kind in group.kinds}
        self._refiller: threading.Thread | None = None
        self._busy = threading.RLock()
        self._drift = (
            DriftWatch(self._links_and_routes.reports, self._detect_drift, report) if report else None
        )

    def observe(self) -> Topology:
        """Read what exists: memory, less what the kernel says is gone."""
        with self._busy:
            elements: dict[Key, Element] = {}
            for group in self._groups:
                elements.update(group.observe())
            return Topology(elements)

    def apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        """Do ``actions`` in order; neighbours of one kind go to the kernel together."""
        with self._busy:
            outcomes = self._apply(actions)
            self._refill()  # before anyone can close: the thread must be one that can be joined
        return outcomes

    def _detect_drift(self) -> str | None:
        with self._busy:
            return self._links_and_routes.detect_drift() or self._rulesets.detect_drift()

    def _apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        outcomes: list[Outcome] = []
        for group, some in itertools.groupby(actions, key=self._group_for):
            batch = list(some)
            errors = group.apply(batch)
            outcomes += [Outcome(a, _driver_error(e)) for a, e in zip(batch, errors, strict=True)]
        return tuple(outcomes)

    def _group_for(self, action: Action) -> ElementGroup:
        return self._group_of[type(element_of(action))]

    def _watch(self, netns: NetnsName) -> None:
        self._links_and_routes.watch(netns)

    def _forget(self, netns: NetnsName) -> None:
        """End what stands in a namespace, the topmost first."""
        for group in reversed(self._groups):
            group.forget(netns)

    def _refill(self) -> None:
        """Prepare spare namespaces in the background."""
        if self.namespaces.wants_refill() and not (self._refiller and self._refiller.is_alive()):
            self._refiller = threading.Thread(target=self.namespaces.refill, name="refill", daemon=True)
            self._refiller.start()

    def open_socket(self, netns: NetnsName, kind: socket.SocketKind) -> socket.socket:
        """Make an IPv4 socket that lives in ``netns``; safe from any thread."""
        return self.namespaces.open_socket(netns, kind)

    def flows(self, netns: NetnsName) -> tuple[TrackedFlow, ...]:
        """List what the namespace's connection tracking holds."""
        return tuple(conntrack.describe(entry, netns) for entry in self._rulesets.flows(netns))

    def first_packets(self, netns: NetnsName) -> tuple[FirstPacket, ...]:
        """Return what became of the flows of ``netns`` whose first packets were looked at."""
        return self._rulesets.first_packets.take_records(netns)

    def rule_reports(self, netns: NetnsName) -> tuple[RuleReport, ...]:
        """Return what ``logged`` rules decided since the last call; safe from any thread."""
        return self._rulesets.rule_reports.take(netns)

    def take_flow_counts(self, netns: NetnsName) -> tuple[CountedFlow, ...]:
        """Count what connections carried since the last call; safe from any thread."""
        return self._rulesets.flow_counts.take(netns)

    def drops(self, netns: NetnsName) -> dict[str, int]:
        """Count packets dropped in ``netns`` by reason."""
        with self._busy:
            return self._rulesets.drops(netns)

    def refused_packets(self, netns: NetnsName) -> Mapping[IPv4Address, int]:
        """Count what ``counted`` policies of ``netns`` dropped so far, by destination."""
        try:
            with self._busy:
                return self._rulesets.refused_packets(netns)
        except (NftError, OSError) as error:
            raise DriverError(f"the drops of {netns} cannot be counted: {error}") from error

    def advance_conntrack_timeouts(self, seconds: int) -> None:
        """Have ``seconds`` pass for what gateways remember of their flows."""
        try:
            with self._busy:
                self._rulesets.advance_conntrack_timeouts(seconds)
        except (NftError, OSError) as error:
            raise DriverError(f"the gateways' flows cannot be made older: {error}") from error

    def interface_counters(self, netns: NetnsName) -> Mapping[DeviceName, InterfaceCounters]:
        """Read the counters of every link that ends in ``netns``; safe from any thread."""
        try:
            with self._busy:
                return self._links_and_routes.interface_counters(netns)
        except OSError as error:
            raise DriverError(f"the counters of {netns} cannot be read: {error}") from error

    def tell(self, workload: str, message: Message) -> None:
        """Have a machine hear of something; nothing when it does not run."""
        self._containers.tell(workload, message)

    def diagnose(self, netns: NetnsName) -> str:
        """Print links, routes, ruleset and connections of ``netns`` for a person."""
        commands = (
            ("ip", "-stats", "address"),
            ("ip", "route", "show", "table", "all"),
            ("ip", "neighbour"),
            ("tc", "-s", "qdisc"),
            ("nft", "list", "ruleset"),
            ("conntrack", "-L"),
        )
        with self.namespaces.inside(netns):
            return "\n".join(_print(netns, command) for command in commands)

    def close(self) -> None:
        """End every workload and listener; namespaces go with the world."""
        if self._drift is not None:
            self._drift.close()
        with self._busy:  # what is being applied ends first
            if self._refiller is not None:
                self._refiller.join()
            for group in reversed(self._groups):
                group.close()


def _driver_error(error: Exception | None) -> DriverError | None:
    if error is None or isinstance(error, DriverError):
        return error
    raised = DriverError(str(error))
    raised.__cause__ = error
    return raised


def _print(netns: NetnsName, command: Sequence[str]) -> str:
    title = f"--- {netns}: {' '.join(command)}"
    program = shutil.which(command[0])
    if program is None:
        return f"{title}\n({command[0]} is not installed)"
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False, timeout=10)
    return f"{title}\n{done.stdout}{done.stderr}"
