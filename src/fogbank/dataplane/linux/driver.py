"""The Linux driver: topologies become namespaces, interfaces, rules, sockets and containers.

It only sorts: what connects namespaces goes to :mod:`wiring`, rules to :mod:`rulesets`, containers to the
object that was given, sockets of listeners are opened here and handed to the program. A plan comes sorted by
kind, so neighbours of one kind are done together. It remembers what it built and, when asked, believes the
kernel more than its memory.
"""

import itertools
import logging
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fogbank.dataplane.driver import InterfaceCounters, Outcome, Report, TrackedFlow
from fogbank.dataplane.linux.firewall import conntrack
from fogbank.dataplane.linux.firewall.libnft import NftError
from fogbank.dataplane.linux.firewall.rulesets import RULINGS, Rulesets
from fogbank.dataplane.linux.firewall.timewait import TimeWaitKeeper
from fogbank.dataplane.linux.net.drift import DriftWatch
from fogbank.dataplane.linux.net.links_and_routes import LinksAndRoutes
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.errors import DriverError
from fogbank.network.topology import (
    DeviceName,
    Element,
    Key,
    Listener,
    NetnsName,
    NetworkNamespace,
    Topology,
    Workload,
    namespaces_of,
)
from fogbank.planning.plan import Action, Create, Remove, Replace, element_of

_log = logging.getLogger(__name__)

_RULES = "rules"


class ContainerRuntime(Protocol):
    """What runs workloads."""

    def start(self, workload: Workload) -> None:
        """Run ``workload`` in its namespace; DriverError when it cannot start."""
        ...

    def stop(self, name: str) -> None:
        """End the workload ``name``; nothing when it does not run."""
        ...

    def running(self) -> Mapping[str, Workload]:
        """Return the workloads that run, by name."""
        ...

    def close(self) -> None:
        """End every workload."""
        ...


class NoContainerRuntime:
    """Refuses workloads: for worlds that are only a network."""

    def start(self, workload: Workload) -> None:
        """Refuse."""
        raise DriverError(f"{workload.name} cannot run: this world has no containers")

    def stop(self, name: str) -> None:
        """Do nothing: none runs."""

    def running(self) -> Mapping[str, Workload]:
        """Return none."""
        return {}

    def close(self) -> None:
        """Do nothing."""


Serve = Callable[[Listener, socket.socket], None]
Unserve = Callable[[Listener], None]


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
        self._containers: ContainerRuntime = containers or NoContainerRuntime()
        self._serve, self._unserve = serve, unserve
        self._keeper = TimeWaitKeeper(self.namespaces)
        self._links_and_routes = LinksAndRoutes(self.namespaces)
        self._rulesets = Rulesets(self.namespaces, self._keeper)
        self._made: dict[NetnsName, NetworkNamespace] = {}
        self._listeners: dict[Key, Listener] = {}
        self._refiller: threading.Thread | None = None
        self._busy = threading.RLock()
        self._drift = (
            DriftWatch(self._links_and_routes.reports, self._detect_drift, report) if report else None
        )

    def observe(self) -> Topology:
        """Read what exists: memory, less what the kernel says is gone."""
        with self._busy:
            return self._observe()

    def _observe(self) -> Topology:
        changed = self._links_and_routes.changed_namespaces()
        for lost in self._links_and_routes.missing(changed).values():
            self._links_and_routes.lose(lost)
        elements: dict[Key, Element] = {netns.key: netns for netns in self._made.values()}
        elements.update(self._links_and_routes.built())
        elements.update(self._rulesets.built())
        elements.update(self._listeners)
        elements.update({workload.key: workload for workload in self._containers.running().values()})
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
        for kind, group in itertools.groupby(actions, key=_kind):
            batch = list(group)
            if kind == _RULES:
                errors = self._apply_rules(batch)
            elif isinstance(kind, tuple):
                errors = self._links_and_routes.apply(batch)
            else:
                errors = [self._apply_one(action) for action in batch]
            outcomes += [Outcome(a, _driver_error(e)) for a, e in zip(batch, errors, strict=True)]
        return tuple(outcomes)

    def _refill(self) -> None:
        """Prepare spare namespaces in the background."""
        if self.namespaces.wants_refill() and not (self._refiller and self._refiller.is_alive()):
            self._refiller = threading.Thread(target=self.namespaces.refill, name="refill", daemon=True)
            self._refiller.start()

    def _apply_rules(self, actions: Sequence[Action]) -> list[Exception | None]:
        by_netns: dict[NetnsName, list[int]] = {}
        for place, action in enumerate(actions):
            by_netns.setdefault(namespaces_of(element_of(action))[0], []).append(place)
        errors: list[Exception | None] = [None] * len(actions)
        for netns, places in by_netns.items():
            try:
                found = self._rulesets.apply(netns, [actions[place] for place in places])
            except (DriverError, NftError, OSError) as refusal:
                found = [refusal] * len(places)
            for place, error in zip(places, found, strict=True):
                errors[place] = error
        return errors

    def _apply_one(self, action: Action) -> Exception | None:
        try:
            self._do(action)
        except (DriverError, OSError) as error:
            return error
        except Exception as error:  # noqa: BLE001 - a bug about one element must not hold up all the others
            _log.exception("%s failed", action)
            return DriverError(f"{type(error).__name__}: {error}")
        return None

    def _do(self, action: Action) -> None:
        match action:
            case Create(element=NetworkNamespace() as netns):
                self._make(netns)
            case Replace(new=NetworkNamespace() as netns):
                self.namespaces.set_forwarding(netns.name, forwards=netns.forwards)
                self._made[netns.name] = netns
            case Remove(element=NetworkNamespace(name=name)):
                self._unmake(name)
            case Create(element=Listener() as listener):
                self._listen(listener)
            case Replace(old=Listener() as old, new=Listener() as new):
                self._unlisten(old)
                self._listen(new)
            case Remove(element=Listener() as listener):
                self._unlisten(listener)
            case Create(element=Workload() as workload):
                self._containers.start(workload)
            case Replace(old=Workload() as old, new=Workload() as new):
                self._containers.stop(old.name)
                self._containers.start(new)
            case Remove(element=Workload(name=name)):
                self._containers.stop(name)
            case _:
                raise DriverError(f"no way to do {action}")

    def _make(self, netns: NetworkNamespace) -> None:
        if netns.name in self.namespaces:
            raise DriverError(f"the namespace {netns.name} is there already")
        self.namespaces.create(netns.name, forwards=netns.forwards)
        try:
            self._links_and_routes.watch(netns.name)
        except OSError:
            self.namespaces.remove(netns.name)
            raise
        self._made[netns.name] = netns

    def _unmake(self, name: NetnsName) -> None:
        for workload in tuple(self._containers.running().values()):
            if workload.netns == name:
                self._containers.stop(workload.name)
        for listener in [each for each in self._listeners.values() if each.netns == name]:
            self._unlisten(listener)
        self._rulesets.forget(name)
        self._links_and_routes.forget(name)
        self.namespaces.remove(name)
        self._made.pop(name, None)

    def _listen(self, listener: Listener) -> None:
        kind = socket.SOCK_STREAM if listener.protocol == "tcp" else socket.SOCK_DGRAM
        opened = self.namespaces.open_socket(listener.netns, kind)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((str(listener.address), listener.port))
            if kind is socket.SOCK_STREAM:
                opened.listen(1024)
            opened.setblocking(False)
            self._serve(listener, opened)
        except BaseException:
            opened.close()
            raise
        self._listeners[listener.key] = listener

    def _unlisten(self, listener: Listener) -> None:
        if self._listeners.pop(listener.key, None) is not None:
            self._unserve(listener)

    def open_socket(self, netns: NetnsName, kind: socket.SocketKind) -> socket.socket:
        """Make an IPv4 socket that lives in ``netns``; safe from any thread."""
        return self.namespaces.open_socket(netns, kind)

    def flows(self, netns: NetnsName) -> tuple[TrackedFlow, ...]:
        """List what the namespace's connection tracking holds."""
        return tuple(conntrack.describe(entry, netns) for entry in self._rulesets.flows(netns))

    def drops(self, netns: NetnsName) -> dict[str, int]:
        """Count packets dropped in ``netns`` by reason."""
        with self._busy:
            return self._rulesets.drops(netns)

    def advance_conntrack_timeouts(self, seconds: int) -> None:
        """Have ``seconds`` pass for what gateways remember of their flows."""
        try:
            with self._busy:
                self._rulesets.advance_conntrack_timeouts(seconds)
        except (NftError, OSError) as error:
            raise DriverError(f"the gateways' flows cannot be made older: {error}") from error

    def interface_counters(self, netns: NetnsName) -> Mapping[DeviceName, InterfaceCounters]:
        """Read the byte counters of every link that ends in ``netns``; safe from any thread."""
        try:
            with self._busy:
                return self._links_and_routes.interface_counters(netns)
        except OSError as error:
            raise DriverError(f"the counters of {netns} cannot be read: {error}") from error

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
            self._containers.close()
            for listener in tuple(self._listeners.values()):
                self._unlisten(listener)
            self._keeper.close()
            self._rulesets.close()
            self._links_and_routes.close()
            self.namespaces.close()


def _kind(action: Action) -> object:
    """Group actions: rules together, wires by kind and verb, everything else alone."""
    element = element_of(action)
    if isinstance(element, RULINGS):
        return _RULES
    if isinstance(element, NetworkNamespace | Listener | Workload):
        return None
    return (type(element), type(action))


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
