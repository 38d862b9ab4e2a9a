"""One controller's share of the fleet: what it wants to run, what of that is built, what is ending.

Whoever runs containers needs this: an instance is wanted, a pass of the control loop builds it, later it is
told to end, and its network must outlive its container. One that is told to end before it was ever built has
no container whose end could be awaited, so it goes after the next pass.
"""

from collections.abc import Iterable
from dataclasses import replace

from fogbank.control.loop import ControlLoop
from fogbank.lowering.workloads import workload_name
from fogbank.resources.fleet import Instance


class FleetShare:
    """The instances of the controller ``name``, by id. Changes reach the loop with :meth:`publish`."""

    def __init__(self, name: str, loop: ControlLoop) -> None:
        self._name, self._loop = name, loop
        self._wanted: dict[str, Instance] = {}
        self._unbuilt: dict[str, set[str]] = {}
        """By instance, its containers that no pass has started."""
        self._alive: dict[str, set[str]] = {}
        """By instance, its containers that run or may yet be started."""
        self._changed = False

    def put(self, instance: Instance) -> None:
        """Have ``instance`` run, or run with these other properties or further containers."""
        known = self._wanted.get(instance.id)
        before = {each.name for each in known.containers} if known else set()
        if new := {each.name for each in instance.containers} - before:
            self._unbuilt.setdefault(instance.id, set()).update(new)
            self._alive.setdefault(instance.id, set()).update(new)
        self._wanted[instance.id] = instance
        self._changed = True

    def end(self, identifier: str) -> Instance:
        """Have an instance end; it keeps its network until :meth:`drop`. Return what it is now."""
        ending = replace(self._wanted[identifier], ending=True)
        self.put(ending)
        return ending

    def ended(self, identifier: str, container: str) -> bool:
        """Take note that a container is gone; return whether its instance has no other."""
        self._unbuilt.get(identifier, set()).discard(container)
        alive = self._alive.get(identifier, set())
        alive.discard(container)
        return not alive

    def drop(self, identifier: str) -> None:
        """Take an instance away: its containers are gone."""
        self._changed |= self._wanted.pop(identifier, None) is not None
        self._unbuilt.pop(identifier, None)
        self._alive.pop(identifier, None)

    def take_built(self) -> tuple[list[str], list[str]]:
        """Return whose containers the last pass has started, and which ended before they ever were.

        To be called after each pass. The latter are dropped.
        """
        started, never = self.take_started()
        built = dict.fromkeys(identifier for identifier, _ in started if identifier not in self._unbuilt)
        return list(built), never

    def take_started(self) -> tuple[list[tuple[str, str]], list[str]]:
        """Return the containers that the last pass has started, each with its instance before it.

        Second come the instances that ended before any container was; they are dropped.
        """
        started = [(each, name) for each, names in self._unbuilt.items() for name in self._built(each, names)]
        for identifier, name in started:
            self._unbuilt[identifier].discard(name)
        never: list[str] = []
        for identifier, names in tuple(self._unbuilt.items()):
            if self._wanted[identifier].ending:  # what was not started will not be
                self._alive[identifier] -= names
                names.clear()
                if not self._alive[identifier]:
                    never.append(identifier)
            if not names:
                del self._unbuilt[identifier]
        for identifier in never:
            self.drop(identifier)
        return started, never

    def _built(self, identifier: str, names: Iterable[str]) -> list[str]:
        observed = self._loop.observed.elements
        return [name for name in names if ("workload", workload_name(identifier, name)) in observed]

    def publish(self) -> None:
        """Tell the loop what should run, when that has changed."""
        if self._changed:
            self._changed = False
            self._loop.set_fleet(self._name, dict(self._wanted))
