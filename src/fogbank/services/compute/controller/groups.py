"""Keeps managed instance groups as their managers say: instances are made, mended, replaced and removed.

After each change of a manager or of an instance the manager is looked at again; `groups.machines` says what
is to be done. What waits for its time (an instance that could not be made) is looked at once a second.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress

from fogbank.control.controller import Controller, Runtime
from fogbank.resources.decisions import Decision
from fogbank.resources.instance_groups import GROUP_MANAGERS, managers_of
from fogbank.resources.instances import INSTANCES
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Change, Delete, Put
from fogbank.services.compute.groups.machines import step, waits
from fogbank.services.contract import Call

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often instances that could not be made are thought of again."""


def make_controller(runtime: Runtime) -> "ManagedGroups":
    """Make the controller of managed instance groups."""
    return ManagedGroups(runtime)


class ManagedGroups(Controller):
    """The managed groups of all projects."""

    name = "instance-groups"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._woken = asyncio.Event()
        self._changed: dict[ResourceName, None] = {}
        runtime.store.watch_changes(self._world_changed)

    def _world_changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            name = change.resource.name if isinstance(change, Put) else None
            if isinstance(change, Delete):
                name = change.name
            if name is None:
                continue
            if name.collection == GROUP_MANAGERS:
                self._changed[name] = None
            elif name.collection == INSTANCES:
                self._changed |= dict.fromkeys(
                    each.name for each in managers_of(self._runtime.store.world, name)
                )
        if self._changed:
            self._woken.set()

    def reconcile(self) -> None:
        """Look at all groups again: time was skipped."""
        self._changed |= dict.fromkeys(each.name for each in self._runtime.store.world.all(GROUP_MANAGERS))
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled."""
        self.reconcile()
        waiting: set[ResourceName] = set()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS if waiting else None)
            self._woken.clear()
            chosen, self._changed = {*self._changed} | waiting, {}
            waiting = {name for name in sorted(chosen) if await self._look(name)}

    async def _look(self, name: ResourceName) -> bool:
        """Do what is to be done for one group; return whether it waits for time to pass."""
        clock, store = self._runtime.clock, self._runtime.store
        method = "compute.v1.instanceGroupManagers.patch"
        call = Call(method, {}, {}, "", clock.now(), lambda: secrets.randbits(62))
        try:
            if step(store.world, call, name):
                await store.commit(lambda world: Decision(step(world, call, name)))
        except Exception:  # a bug of one group is no reason to leave the others
            log.exception("The group of %s could not be looked after", name)
        manager = store.world.find(name)
        return manager is not None and waits(store.world, manager)
