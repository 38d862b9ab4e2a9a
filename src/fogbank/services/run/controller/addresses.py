"""Addresses for instances with Direct VPC egress: asks the World for them, several at a time.

An instance that needs one is not built before it has it. The surprising fact: what was asked for meanwhile
goes into one commit, so many instances that start together wait once.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Runtime
from fogbank.resources.compute import Subnetwork
from fogbank.resources.decisions import Decision
from fogbank.resources.direct_vpc import rules_of
from fogbank.resources.fleet import Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.serverless_blocks import Block, all_blocks, count_free
from fogbank.resources.world import Change, World
from fogbank.services.run.addresses import (
    Allocation,
    Ended,
    Wanted,
    allocate,
    exhausted_message,
    give_back,
    release,
    stop_all,
    subnetwork_missing_message,
)
from fogbank.services.run.instances import with_address

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an instance got no address, in Google's words; ``missing`` when there is no subnetwork at all."""

    message: str
    missing: bool = False


Answer = Callable[[Instance | Refusal], None]
"""Takes the instance with its address, or why it has none; called in the event loop."""


@dataclass(frozen=True, slots=True)
class _Asked:
    wanted: Wanted
    instance: Instance
    answer: Answer


class Addresses:
    """Gives instances their addresses in subnetworks, and takes them back."""

    def __init__(self, runtime: Runtime, tasks: BackgroundTasks) -> None:
        self._store, self._clock, self._tasks = runtime.store, runtime.clock, tasks
        self._asked: dict[str, _Asked] = {}
        self._ended: list[Ended] = []
        self._at_work = False
        self._started = False

    def __contains__(self, identifier: str) -> bool:
        """Return whether an instance waits for its address."""
        return identifier in self._asked

    def ask(self, instance: Instance, subnetwork: ResourceName, answer: Answer) -> None:
        """Get an address for ``instance``; ``answer`` is called when that is decided."""
        self._asked[instance.id] = _Asked(Wanted(instance.id, instance.owner, subnetwork), instance, answer)
        self._wake()

    def ended(self, instance: str, subnetwork: ResourceName, *, successor: bool) -> None:
        """Take note that an instance is gone; ``successor`` as in :class:`Ended`."""
        self._ended.append(Ended(instance, subnetwork, successor))
        self._wake()

    def look(self) -> None:
        """Give back what nobody needs any more, when there is something."""
        if not self._started or self._ended or give_back(self._store.world, self._clock.now()):
            self._wake()

    def retry(self) -> None:
        """Try again what the disk has refused."""
        if self._asked or self._ended:
            self._wake()

    def _wake(self) -> None:
        if not self._at_work:
            self._at_work = True
            self._tasks.spawn(self._work())

    async def _work(self) -> None:
        try:
            while await self._step():
                pass
        finally:
            self._at_work = False

    async def _step(self) -> bool:
        """Commit what has come together; False when that was nothing, or the disk refused."""
        asked, ended = list(self._asked.values()), self._ended
        self._ended = []
        allocation = Allocation((), {})

        def decide(world: World) -> Decision:
            nonlocal allocation
            changes, allocation = self._decide(world, [each.wanted for each in asked], ended)
            return Decision(changes)

        try:
            committed = await self._store.commit(decide)
        except Exception:
            log.exception("addresses of instances could not be kept")
            self._ended = ended + self._ended
            return False
        self._started = True
        self._answer(asked, allocation, committed.world)
        return bool(self._asked or self._ended)

    def _decide(
        self, world: World, wanted: Sequence[Wanted], ended: Iterable[Ended]
    ) -> tuple[tuple[Change, ...], Allocation]:
        now = self._clock.now()
        changes: tuple[Change, ...] = () if self._started else stop_all(world, now)
        world = world.after(changes)
        released = release(world, ended, now)
        world = world.after(released)
        given_back = give_back(world, now)
        world = world.after(given_back)
        allocation = allocate(world, wanted, rules_of(world), now)
        return (*changes, *released, *given_back, *allocation.changes), allocation

    def _answer(self, asked: Iterable[_Asked], allocation: Allocation, world: World) -> None:
        nat = rules_of(world).nat
        for each in asked:
            del self._asked[each.instance.id]
            address, name = allocation.addresses.get(each.instance.id), each.wanted.subnetwork
            subnetwork = world.find(name)
            if address is not None and subnetwork is not None:
                network = Subnetwork.of(subnetwork).network
                each.answer(with_address(each.instance, network, address, nat=nat))
            elif subnetwork is None:
                each.answer(Refusal(subnetwork_missing_message(name), missing=True))
            else:
                each.answer(Refusal(exhausted_message(name)))

    def status(self) -> list[dict[str, Any]]:
        """List the subnetworks that instances have addresses in."""
        world = self._store.world
        return [_row(world, name, blocks) for name, blocks in sorted(all_blocks(world).items())]


def _row(world: World, name: ResourceName, blocks: Sequence[Block]) -> dict[str, Any]:
    slots = [slot for block in blocks for slot in block.slots.values()]
    resource = world.find(name)
    longest = rules_of(world).longest_prefix
    return {
        "subnetwork": name.path,
        "revisions": ", ".join(sorted({ResourceName("", s.revision).id for s in slots if s.ended is None})),
        "instances": sum(slot.ended is None for slot in slots),
        "blocks": len(blocks),
        "freeBlocks": count_free(world, Subnetwork.of(resource), longest) if resource else 0,
    }
