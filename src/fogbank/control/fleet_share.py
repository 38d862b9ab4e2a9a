"""One controller's share of the fleet: what it wants to run, what of that is built, what is ending.

Whoever runs containers needs this: an instance is wanted, a pass of the control loop builds it, later it is
told to end, and its network must outlive its container. One that is told to end before it was ever built has
no container whose end could be awaited, so it goes after the next pass.
"""

from dataclasses import replace

from fogbank.control.loop import ControlLoop
from fogbank.resources.fleet import Instance


class FleetShare:
    """The instances of the controller ``name``, by id. Changes reach the loop with :meth:`publish`."""

    def __init__(self, name: str, loop: ControlLoop) -> None:
        self._name, self._loop = name, loop
        self._wanted: dict[str, Instance] = {}
        self._unbuilt: set[str] = set()
        self._changed = False

    def put(self, instance: Instance) -> None:
        """Have ``instance`` run, or run with these other properties."""
        if instance.id not in self._wanted:
            self._unbuilt.add(instance.id)
        self._wanted[instance.id] = instance
        self._changed = True

    def end(self, identifier: str) -> Instance:
        """Have an instance end; it keeps its network until :meth:`drop`. Return what it is now."""
        ending = replace(self._wanted[identifier], ending=True)
        self.put(ending)
        return ending

    def drop(self, identifier: str) -> None:
        """Take an instance away: its container is gone."""
        self._changed |= self._wanted.pop(identifier, None) is not None
        self._unbuilt.discard(identifier)

    def take_built(self) -> tuple[list[str], list[str]]:
        """Return whose containers the last pass has started, and which ended before they ever were.

        To be called after each pass. The latter are dropped.
        """
        observed = self._loop.observed.elements
        built = [each for each in self._unbuilt if ("workload", each) in observed]
        self._unbuilt.difference_update(built)
        never = [each for each in self._unbuilt if self._wanted[each].ending]
        for identifier in never:
            self.drop(identifier)
        return built, never

    def publish(self) -> None:
        """Tell the loop what should run, when that has changed."""
        if self._changed:
            self._changed = False
            self._loop.set_fleet(self._name, dict(self._wanted))
