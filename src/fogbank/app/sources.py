"""Sources: which running instance a person means by ``run/production``, ``production`` or an instance's id.

`tracing` asks. The surprising fact: a name that the default project has is never another project's, not even
while nothing of the default project's runs.
"""

from collections.abc import Iterable

from fogbank.control.copies import Copy
from fogbank.errors import OperatorError
from fogbank.resources.names import ResourceName


def find_source(asked: str, ready: Iterable[Copy], services: Iterable[ResourceName], project: str) -> Copy:
    """Choose the instance of ``ready`` from which a path that begins at ``asked`` starts.

    ``asked`` is an instance's id, or ``[run/][PROJECT/]SERVICE[/REVISION or INSTANCE]``; without PROJECT it
    is ``project`` if that has it. OperatorError when nothing of it runs, and when it is more than one thing.
    """
    wanted, ready = asked.strip("/").removeprefix("run/"), list(ready)
    named = [copy for copy in ready if wanted in _names(copy.revision.service, _parts(copy))]
    meant = {copy.revision.service for copy in named} | {each for each in services if wanted in _names(each)}
    meant = {each for each in meant if each.project == project} or meant
    if len(whole := sorted({f"run/{each.project}/{each.id}" for each in meant})) > 1:
        raise OperatorError(f"{asked} is the name of more than one service: {', '.join(whole)}.")
    found = [copy for copy in named if copy.revision.service in meant]
    if not found:
        raise OperatorError(f"No instance of {asked} runs. {_way_out(meant, ready, project)}")
    if len({copy.revision.service for copy in found}) > 1:
        ids = ", ".join(sorted(copy.instance.id for copy in found))
        raise OperatorError(f"{asked} runs in more than one region. Name an instance: {ids}.")
    return found[0]


def _parts(copy: Copy) -> tuple[str, str]:
    return copy.revision.name.id, copy.instance.id


def _names(service: ResourceName, parts: tuple[str, ...] = ()) -> set[str]:
    """List every name of a service (or, with ``parts``, of one of its instances) behind ``run/``."""
    short = {service.id, *(f"{service.id}/{part}" for part in parts)}
    return {*short, *(f"{service.project}/{name}" for name in short), *parts[1:]}


def _way_out(meant: set[ResourceName], ready: Iterable[Copy], project: str) -> str:
    if meant:
        return "Send it a request first."
    running = {copy.revision.service for copy in ready}
    known = sorted(
        f"run/{each.id}" if each.project == project else f"run/{each.project}/{each.id}" for each in running
    )
    return f"These do: {', '.join(known)}." if known else "Deploy a service first."
