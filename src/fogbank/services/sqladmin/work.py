"""What calls have left for a server to do, and what follows when it has done or refused it.

Work is kept with its instance, in order, until the server has answered. An operation ends with its last piece
of work, or with the first that is refused (behaviour/cloud-sql.md#operations).
"""

from collections.abc import Iterable
from dataclasses import replace

from fogbank.resources.names import ResourceName
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.sqladmin.model import DATABASES, OF_THE_INSTANCE, USERS
from fogbank.services.sqladmin.operations import end

IN_CHANGE = frozenset({"PENDING_CREATE", "MAINTENANCE"})

_MAKES = {"create database": DATABASES, "create user": USERS}
_DROPS = {"drop database": DATABASES, "drop user": USERS}


def with_work(instance: Resource, operation: Resource, work: Json) -> Resource:
    """Have the controller do ``work`` after what it has to do already, and end ``operation`` then."""
    queue = [*instance.private.get("work", ()), {**work, "operation": operation.name.path}]
    return replace(instance, private=instance.private | {"work": queue})


def finished(
    world: World, name: ResourceName, work: Json, shown: Json, moment: str, *, error: str = ""
) -> tuple[Change, ...]:
    """Take a piece of work off the instance ``name``; ``error`` says why the server has refused it.

    ``shown`` is what the instance shows from now on. What was not made, or was dropped, leaves the lists.
    """
    found = world.find(name)
    operation = str(work.get("operation", ""))
    if found is None or work not in found.private.get("work", ()):
        return end(world, operation, moment, error)
    left = [each for each in found.private["work"] if each != work]
    changed = replace(found.with_body(**shown), private=found.private | {"work": left})
    if work["do"] in OF_THE_INSTANCE and not any(each["do"] in OF_THE_INSTANCE for each in left):
        changed = changed.with_body(state="FAILED" if error else "RUNNABLE")
    continues = not error and any(each.get("operation") == operation for each in left)
    ended = () if continues else end(world, operation, moment, error)
    gone = (_MAKES if error else _DROPS).get(work["do"])
    return (Put(changed), *_unlisted(world, name, gone, work), *ended)


def given_up(world: World, name: ResourceName, moment: str, why: str) -> tuple[Change, ...]:
    """Fail an instance whose server does not come up: nobody waits in vain, and another change may mend it.

    What a new server must be told stays to be told.
    """
    found = world.find(name)
    if found is None or found.body["state"] not in IN_CHANGE:
        return ()
    queue = found.private.get("work", ())
    left = [{k: v for k, v in each.items() if k != "operation"} for each in queue if each["do"] == "set up"]
    failed = replace(found.with_body(state="FAILED"), private=found.private | {"work": left})
    unlisted = (c for each in queue for c in _unlisted(world, name, _MAKES.get(each["do"]), each))
    return (Put(failed), *unlisted, *_ended(world, queue, moment, why))


def _unlisted(world: World, name: ResourceName, kind: str | None, work: Json) -> Iterable[Change]:
    if kind is not None:
        collection = kind.rpartition(".")[2]
        record = ResourceName(kind, f"{name.path}/{collection}/{work['name']}")
        if world.find(record) is not None:
            yield Delete(record)


def _ended(world: World, queue: Iterable[Json], moment: str, why: str) -> Iterable[Change]:
    for path in dict.fromkeys(str(each["operation"]) for each in queue if "operation" in each):
        yield from end(world, path, moment, why)
