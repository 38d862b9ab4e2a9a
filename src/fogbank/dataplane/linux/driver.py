"""The Linux driver: topologies become namespaces, interfaces, rules, sockets and containers.

It only sorts: what connects spaces goes to :mod:`wiring`, rules to :mod:`rulesets`, containers to the object
that was given, sockets of listeners are opened here and handed to the program. A plan comes sorted by kind,
so neighbours of one kind are done together. It remembers what it built and, when asked, believes the kernel
more than its memory.
"""

import itertools
import logging
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fogbank.dataplane.driver import Carried, Outcome, Report, TrackedFlow
from fogbank.dataplane.linux import conntrack
from fogbank.dataplane.linux.drift import DriftWatch
from fogbank.dataplane.linux.libnft import NftError
from fogbank.dataplane.linux.rulesets import RULINGS, Rulesets
from fogbank.dataplane.linux.spaces import Spaces
from fogbank.dataplane.linux.timewait import TimeWaitKeeper
from fogbank.dataplane.linux.wiring import Wiring
from fogbank.errors import DriverError
from fogbank.network.topology import (
    DeviceName,
    Element,
    Key,
    Listener,
    Space,
    SpaceName,
    Topology,
    Workload,
    spaces_of,
)
from fogbank.planning.plan import Action, Create, Remove, Replace, element_of

_log = logging.getLogger(__name__)

_RULES = "rules"


class Containers(Protocol):
    """What runs workloads."""

    def start(self, workload: Workload) -> None:
        """Run ``workload`` in its space; DriverError when it cannot start."""
        ...

    def stop(self, name: str) -> None:
        """End the workload ``name``; nothing when it does not run."""
        ...

    def running(self) -> Mapping[str, Workload]:
        """Give the workloads that run, by name."""
        ...

    def close(self) -> None:
        """End every workload."""
        ...


class NoContainers:
    """Refuses workloads: for worlds that are only a network."""

    def start(self, workload: Workload) -> None:
        """Refuse."""
        raise DriverError(f"{workload.name} cannot run: this world has no containers")

    def stop(self, name: str) -> None:
        """Do nothing: none runs."""

    def running(self) -> Mapping[str, Workload]:
        """Give none."""
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
        containers: Containers | None = None,
        spaces: Spaces | None = None,
        report: Report | None = None,
    ) -> None:
        self.spaces = spaces or Spaces()
        self._containers: Containers = containers or NoContainers()
        self._serve, self._unserve = serve, unserve
        self._keeper = TimeWaitKeeper(self.spaces)
        self._wiring = Wiring(self.spaces)
        self._rulesets = Rulesets(self.spaces, self._keeper)
        self._made: dict[SpaceName, Space] = {}
        self._listeners: dict[Key, Listener] = {}
        self._refiller: threading.Thread | None = None
        self._busy = threading.RLock()
        self._drift = DriftWatch(self._wiring.reports, self._suspicion, report) if report else None

    def observe(self) -> Topology:
        """Read what exists: memory, less what the kernel says is gone."""
        with self._busy:
            return self._observe()

    def _observe(self) -> Topology:
        changed = self._wiring.changed_spaces()
        for lost in self._wiring.missing(changed).values():
            self._wiring.lose(lost)
        elements: dict[Key, Element] = {space.key: space for space in self._made.values()}
        elements.update(self._wiring.built())
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

    def _suspicion(self) -> str | None:
        with self._busy:
            return self._wiring.suspicion() or self._rulesets.suspicion()

    def _apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        outcomes: list[Outcome] = []
        for kind, group in itertools.groupby(actions, key=_kind):
            batch = list(group)
            if kind == _RULES:
                errors = self._apply_rules(batch)
            elif isinstance(kind, tuple):
                errors = self._wiring.apply(batch)
            else:
                errors = [self._apply_one(action) for action in batch]
            outcomes += [Outcome(a, _driver_error(e)) for a, e in zip(batch, errors, strict=True)]
        return tuple(outcomes)

    def _refill(self) -> None:
        """Prepare namespaces for the next spaces, beside whatever comes now."""
        if self.spaces.wants_refill() and not (self._refiller and self._refiller.is_alive()):
            self._refiller = threading.Thread(target=self.spaces.refill, name="refill", daemon=True)
            self._refiller.start()

    def _apply_rules(self, actions: Sequence[Action]) -> list[Exception | None]:
        rooms: dict[SpaceName, list[int]] = {}
        for place, action in enumerate(actions):
            rooms.setdefault(spaces_of(element_of(action))[0], []).append(place)
        errors: list[Exception | None] = [None] * len(actions)
        for space, places in rooms.items():
            try:
                found = self._rulesets.apply(space, [actions[place] for place in places])
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
            case Create(element=Space() as space):
                self._make(space)
            case Replace(new=Space() as space):
                self.spaces.set_forwarding(space.name, forwards=space.forwards)
                self._made[space.name] = space
            case Remove(element=Space(name=name)):
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

    def _make(self, space: Space) -> None:
        if space.name in self.spaces:
            raise DriverError(f"the space {space.name} is there already")
        self.spaces.create(space.name, forwards=space.forwards)
        try:
            self._wiring.watch(space.name)
        except OSError:
            self.spaces.remove(space.name)
            raise
        self._made[space.name] = space

    def _unmake(self, name: SpaceName) -> None:
        for workload in tuple(self._containers.running().values()):
            if workload.space == name:
                self._containers.stop(workload.name)
        for listener in [each for each in self._listeners.values() if each.space == name]:
            self._unlisten(listener)
        self._rulesets.forget(name)
        self._wiring.forget(name)
        self.spaces.remove(name)
        self._made.pop(name, None)

    def _listen(self, listener: Listener) -> None:
        kind = socket.SOCK_STREAM if listener.protocol == "tcp" else socket.SOCK_DGRAM
        opened = self.spaces.open_socket(listener.space, kind)
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

    def open_socket(self, space: SpaceName, kind: socket.SocketKind) -> socket.socket:
        """Make an IPv4 socket that lives in ``space``; safe from any thread."""
        return self.spaces.open_socket(space, kind)

    def flows(self, space: SpaceName) -> tuple[TrackedFlow, ...]:
        """List what the space's connection tracking holds."""
        return tuple(conntrack.describe(entry, space) for entry in self._rulesets.flows(space))

    def drops(self, space: SpaceName) -> dict[str, int]:
        """Count packets dropped in ``space`` by reason."""
        with self._busy:
            return self._rulesets.drops(space)

    def age(self, seconds: int) -> None:
        """Have ``seconds`` pass for what gateways remember of their flows."""
        try:
            with self._busy:
                self._rulesets.age(seconds)
        except (NftError, OSError) as error:
            raise DriverError(f"the gateways' flows cannot be made older: {error}") from error

    def carried(self, space: SpaceName) -> Mapping[DeviceName, Carried]:
        """Read the byte counters of every link that ends in ``space``; safe from any thread."""
        try:
            with self._busy:
                return self._wiring.carried(space)
        except OSError as error:
            raise DriverError(f"the counters of {space} cannot be read: {error}") from error

    def diagnose(self, space: SpaceName) -> str:
        """Print links, routes, ruleset and connections of ``space`` for a person."""
        commands = (
            ("ip", "-stats", "address"),
            ("ip", "route", "show", "table", "all"),
            ("ip", "neighbour"),
            ("tc", "-s", "qdisc"),
            ("nft", "list", "ruleset"),
            ("conntrack", "-L"),
        )
        with self.spaces.inside(space):
            return "\n".join(_print(space, command) for command in commands)

    def close(self) -> None:
        """End every workload and listener; spaces go with the world."""
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
            self._wiring.close()
            self.spaces.close()


def _kind(action: Action) -> object:
    """Group actions: rules together, wires by kind and verb, everything else alone."""
    element = element_of(action)
    if isinstance(element, RULINGS):
        return _RULES
    if isinstance(element, Space | Listener | Workload):
        return None
    return (type(element), type(action))


def _driver_error(error: Exception | None) -> DriverError | None:
    if error is None or isinstance(error, DriverError):
        return error
    raised = DriverError(str(error))
    raised.__cause__ = error
    return raised


def _print(space: SpaceName, command: Sequence[str]) -> str:
    title = f"--- {space}: {' '.join(command)}"
    program = shutil.which(command[0])
    if program is None:
        return f"{title}\n({command[0]} is not installed)"
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False, timeout=10)
    return f"{title}\n{done.stdout}{done.stderr}"
