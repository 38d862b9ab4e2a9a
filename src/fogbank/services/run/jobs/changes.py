"""What a write to a job comes to, whichever API it came through: the job, its executions, their tasks.

``metadata`` and ``spec`` are v1's, as a client wrote them. A job is not ready until its image was found: the
controller looks, and `convergence` notes what it saw.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from fogbank.errors import ApiError
from fogbank.resources.authorization import denied
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.projects import compute_account, project_number
from fogbank.resources.run_jobs import (
    MAX_PARALLELISM,
    execution_name,
    executions_of,
    is_over,
    tasks_of,
)
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.contract import Call
from fogbank.services.labels import check_labels
from fogbank.services.run.jobs import objects, template, words
from fogbank.services.run.jobs.objects import CREATOR, UPDATED
from fogbank.services.run.naming import LABEL, check_new_name, policy_name
from fogbank.services.run.objects import (
    LOCATION,
    OPERATION_ID,
    bad_request,
    condition,
    find_condition,
    version_mark,
    with_conditions,
    without_empty,
)
from fogbank.services.run.v2.words import check_authorization, check_words

KEPT, KEPT_FOR = 1000, timedelta(days=7)
"""Executions of a job that stay in any case, and for how long the others do."""

_TOKENS = ("startExecutionToken", "runExecutionToken")


@dataclass(frozen=True, slots=True)
class Written:
    """A job or an execution as it is to become, and all changes that make it so (none: nothing differs)."""

    resource: Resource
    changes: tuple[Change, ...]


def create(world: World, call: Call, name: ResourceName, metadata: Json, spec: Json) -> Written:
    """Make a job; with a token in ``spec`` its first execution, too."""
    check_new_name(world, name)
    number, namespace = call.new_id(), project_number(world, name.project)
    body = objects.new_job(name, namespace, metadata, principal=call.principal, number=number, now=call.now)
    body["spec"] = _complete(world, spec, name)
    body["status"] = {"observedGeneration": 1}
    return _write(world, call, Resource(name, number, call.now, body))


def update(world: World, call: Call, found: Resource, metadata: Json, spec: Json) -> Written:
    """Replace what a client may write of a job; its executions stay what they are."""
    before: Json = found.body["metadata"]
    labels = (metadata.get("labels") or {}) | {LOCATION: found.name.region}
    annotations = (metadata.get("annotations") or {}) | {CREATOR: before["annotations"][CREATOR]}
    spec = _complete(world, spec, found.name)
    written = {"labels": labels, "annotations": annotations, "spec": spec}
    if _as_written(found.body) == _without_marks(written):
        return Written(found, ())
    number = call.new_id()
    changed = before | {
        "generation": before["generation"] + 1,
        "resourceVersion": version_mark(number),
        "labels": labels | {UPDATED: rfc3339(call.now)},
        "annotations": annotations | objects.written_by(call.principal, number),
    }
    return _write(world, call, replace(found, body=found.body | {"metadata": changed, "spec": spec}))


def _as_written(body: Json) -> Json:
    metadata = body["metadata"]
    return _without_marks(
        {"labels": metadata["labels"], "annotations": metadata["annotations"], "spec": body["spec"]}
    )


def _without_marks(written: Json) -> Json:
    """Leave out who wrote a job, and when: two that say the same need no new generation."""
    marks = {UPDATED, objects.MODIFIER, OPERATION_ID}
    return {
        key: {name: text for name, text in value.items() if name not in marks}
        for key, value in written.items()
    }


def _write(world: World, call: Call, job: Resource) -> Written:
    """Check the job as a whole, note that its image must be looked at, and begin what a token asks for."""
    metadata, spec = job.body["metadata"], job.body["spec"]
    check_labels(metadata["labels"])
    check_words(words.JOB, "GoogleCloudRunV2Job", metadata["annotations"])
    check_authorization(metadata["annotations"])
    check_words(
        words.TASK,
        "GoogleCloudRunV2TaskTemplate",
        spec["template"]["metadata"].get("annotations", {}),
    )
    template.check(world, call, job.name, spec["template"])
    status = job.body["status"] | {
        "observedGeneration": metadata["generation"],
        "conditions": with_conditions(
            job.body["status"].get("conditions", []), [condition("Ready", "Unknown", call.now)]
        ),
    }
    job = replace(job, body=job.body | {"status": status}, private={"updated": rfc3339(call.now)})
    identifier = _asked_for(world, job)
    if identifier is None:
        return Written(job, (Put(job),))
    begun = _execute(world, call, job, spec["template"], identifier)
    waits = {"awaits": identifier, "until": "Started" if "startExecutionToken" in spec else "Completed"}
    job = replace(begun.resource, private=job.private | waits)
    return Written(job, (*begun.changes, Put(job)))


def _asked_for(world: World, job: Resource) -> str | None:
    """Return the id of the execution that a token in the job asks for, unless there is one of that name."""
    tokens = [job.body["spec"][each] for each in _TOKENS if each in job.body["spec"]]
    if not tokens:
        return None
    if len(tokens) > 1:
        raise bad_request("Only one of startExecutionToken and runExecutionToken may be set.")
    identifier = f"{job.name.id}-{tokens[0]}"
    if not LABEL.fullmatch(identifier) or len(identifier) >= 63:
        raise bad_request(
            f"The token '{tokens[0]}' must have lower-case letters, digits and hyphens, and with the job's "
            "name fewer than 63 characters."
        )
    name = execution_name(job.name.project, job.name.region or "", identifier)
    return None if world.find(name) else identifier


def execute(world: World, call: Call, job: Resource, overrides: Json) -> Written:
    """Begin an execution; ``overrides`` are v1's, for this one alone."""
    if overrides:
        _check_may_override(world, call, job)
    changed = _overridden(job.body["spec"]["template"], overrides)
    begun = _execute(world, call, job, changed, f"{job.name.id}-{objects.suffix(call.new_id())}")
    execution = next(each.resource for each in begun.changes if isinstance(each, Put))
    return Written(execution, (*begun.changes, Put(begun.resource)))


def _execute(world: World, call: Call, job: Resource, changed: Json, identifier: str) -> Written:
    """Return the job as it is with one more execution, and the change that makes the execution."""
    name = execution_name(job.name.project, job.name.region or "", identifier)
    if world.find(name):
        raise ApiError(409, f"Resource '{identifier}' already exists.", "ALREADY_EXISTS", "alreadyExists")
    template.check_runnable(world, call, job.name, changed)
    spec = changed["spec"]
    parallelism = min(spec.get("parallelism") or MAX_PARALLELISM, spec["taskCount"])
    number = call.new_id()
    body = objects.new_execution(
        name,
        job,
        spec | {"parallelism": parallelism},
        principal=call.principal,
        number=number,
        now=call.now,
    )
    status = job.body["status"]
    reference = {
        "name": identifier,
        "creationTimestamp": rfc3339(call.now),
        "completionStatus": "EXECUTION_RUNNING",
    }
    job = job.with_body(
        status=status
        | {"executionCount": status.get("executionCount", 0) + 1, "latestCreatedExecution": reference}
    )
    forgotten = _forgotten(world, call, job) if job.body["status"]["executionCount"] > KEPT else ()
    return Written(job, (Put(Resource(name, number, call.now, body)), *forgotten))


def _forgotten(world: World, call: Call, job: Resource) -> Iterator[Change]:
    """Take away executions that are over and too old, when one more begins.

    The newest KEPT stay, and those of the last seven days (behaviour/cloud-run-jobs.md#executions).
    """
    newest_first = sorted(executions_of(world, job.name), key=lambda each: each.created, reverse=True)
    for each in newest_first[KEPT - 1 :]:
        if is_over(each.body) and each.created < call.now - KEPT_FOR:
            yield from (Delete(task.name) for task in tasks_of(world, each.name))
            yield Delete(each.name)


def _check_may_override(world: World, call: Call, job: Resource) -> None:
    """Refuse overrides without their own permission (Cloud Run's IAM permissions, "Execute jobs")."""
    permission = "run.jobs.runWithOverrides"
    if not call.access.allows(world, call.principal, permission, job.name.project, policy_name(job.name)):
        raise denied(permission, job.name.path, service="run")


def _overridden(changed: Json, overrides: Json) -> Json:
    """Lay overrides over a job's template (behaviour/cloud-run-jobs.md#executions)."""
    spec, task = changed["spec"], changed["spec"]["template"]["spec"]
    containers = [dict(each) for each in task["containers"]]
    for override in overrides.get("containerOverrides") or ():
        named = [each for each in containers if each.get("name", "") == override.get("name", "")]
        if not named and override.get("name"):
            raise bad_request(f"There is no container '{override['name']}' in the job.")
        _override(named[0] if named else containers[0], override)
    seconds = overrides.get("timeoutSeconds")
    count = overrides.get("taskCount") or spec["taskCount"]
    task = task | {"containers": containers}
    task |= {"timeoutSeconds": str(seconds)} if seconds else {}
    limited = {"parallelism": min(spec["parallelism"], count)} if "parallelism" in spec else {}
    return changed | {"spec": spec | limited | {"taskCount": count, "template": {"spec": task}}}


def _override(container: Json, override: Json) -> None:
    if override.get("clearArgs") and override.get("args"):
        raise bad_request("args must be empty when clearArgs is set.")
    if override.get("args"):
        container["args"] = override["args"]
    elif override.get("clearArgs"):
        container.pop("args", None)
    variables = {each["name"]: each for each in container.get("env", ())}
    variables |= {each.get("name", ""): each for each in override.get("env") or ()}
    if variables:
        container["env"] = list(variables.values())


def cancel(call: Call, execution: Resource) -> Written:
    """Have an execution's tasks end; the controller tells when they have. One that is over stays as it is."""
    if is_over(execution.body) or execution.private.get("cancelled"):
        return Written(execution, ())
    before: list[Json] = execution.body["status"]["conditions"]
    told = condition("Completed", "Unknown", call.now, "Cancelling", "Cancelling execution.")
    status = execution.body["status"] | {
        "conditions": [told if each["type"] == "Completed" else each for each in before]
    }
    cancelled = replace(execution.with_body(status=status), private=execution.private | {"cancelled": True})
    return Written(cancelled, (Put(cancelled),))


def delete(world: World, job: ResourceName) -> tuple[Change, ...]:
    """Take a job away with its executions and its policy."""
    gone = [
        change
        for each in executions_of(world, job)
        for change in (*(Delete(task.name) for task in tasks_of(world, each.name)), Delete(each.name))
    ]
    return (*gone, Delete(policy_name(job)), Delete(job))


def delete_execution(world: World, call: Call, execution: Resource, job: ResourceName) -> tuple[Change, ...]:
    """Take an execution away with its tasks; one that runs is ended by that."""
    gone = (*(Delete(each.name) for each in tasks_of(world, execution.name)), Delete(execution.name))
    found = world.find(job)
    latest: Json = found.body["status"].get("latestCreatedExecution", {}) if found else {}
    if found is None or latest.get("name") != execution.name.id:
        return gone
    status = found.body["status"] | {
        "latestCreatedExecution": latest | {"deletionTimestamp": rfc3339(call.now)}
    }
    return (*gone, Put(found.with_body(status=status)))


def _complete(world: World, spec: Json, name: ResourceName) -> Json:
    account = compute_account(project_number(world, name.project))
    tokens = without_empty({key: spec.get(key) for key in _TOKENS})
    return tokens | {"template": template.complete(spec.get("template") or {}, account)}


def is_settled(job: Json) -> bool:
    """Return whether a job is ready or has failed to become so."""
    return (find_condition(job) or {}).get("status") in {"True", "False"}
