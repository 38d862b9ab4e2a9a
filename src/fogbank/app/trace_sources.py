"""Sources: which running instance a person means by ``run/production``, ``production`` or an instance's id.

`tracing` asks. The surprising fact: a name that the default project has is never another project's, not even
while nothing of the default project's runs.
"""

from collections.abc import Iterable

from fogbank.control.controller import TraceSource
from fogbank.errors import OperatorError
from fogbank.resources.names import ResourceName


def find_source(
    asked: str, ready: Iterable[TraceSource], services: Iterable[ResourceName], project: str
) -> TraceSource:
    """Choose the instance of ``ready`` from which a path that begins at ``asked`` starts.

    ``asked`` is an instance's id, or ``[API/][PROJECT/]NAME[/PART]`` with a part as in TraceSource: Cloud
    Run's are ``[run/][PROJECT/]SERVICE[/REVISION or INSTANCE]``. Without PROJECT it is ``project`` if that
    has it. OperatorError when nothing of it runs, and when it is more than one thing.
    """
    wanted, ready = asked.strip("/"), list(ready)
    named = [source for source in ready if wanted in _names(source.resource, source)]
    meant = {source.resource for source in named} | {each for each in services if wanted in _names(each)}
    meant = {each for each in meant if each.project == project} or meant
    if len(whole := sorted({f"{each.service}/{each.project}/{each.id}" for each in meant})) > 1:
        raise OperatorError(f"{asked} is the name of more than one service: {', '.join(whole)}.")
    found = [source for source in named if source.resource in meant]
    if not found:
        raise OperatorError(f"No instance of {asked} runs. {_way_out(meant, ready, project)}")
    if len({source.resource for source in found}) > 1:
        ids = ", ".join(sorted(source.id for source in found))
        raise OperatorError(f"{asked} runs in more than one region. Name an instance: {ids}.")
    return found[0]


def _names(service: ResourceName, source: TraceSource | None = None) -> set[str]:
    """List every name of a service, or of ``source``, which is one of its instances."""
    parts = source.parts if source else ()
    short = {service.id, *(f"{service.id}/{part}" for part in parts)}
    names = {*short, *(f"{service.project}/{name}" for name in short), *({source.id} if source else ())}
    return names | {f"{service.service}/{name}" for name in names}


def _way_out(meant: set[ResourceName], ready: Iterable[TraceSource], project: str) -> str:
    if meant:
        return "Send it a request first."
    running = {source.resource for source in ready}
    known = sorted(
        f"{each.service}/{each.id}"
        if each.project in {project, ""}
        else f"{each.service}/{each.project}/{each.id}"
        for each in running
    )
    return f"These do: {', '.join(known)}." if known else "Deploy a service first."
