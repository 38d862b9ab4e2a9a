"""Jobs in both APIs: what is accepted, defaulted and refused, and what a write or a run makes."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.cloud_calls import ME, PLACE, PROJECT, REGION
from tests.unit.services.run.jobs.job_calls import DIGEST, IMAGE, NAMESPACE, V1, V2, Jobs, job, named, path

from fogbank.errors import ApiError
from fogbank.resources.projects import compute_account, project_number
from fogbank.resources.run_jobs import executions_of, job_name, read_execution
from fogbank.services.run.instances import TaskPlace, task_instance
from fogbank.services.run.jobs.completion import abandoned
from fogbank.services.run.jobs.convergence import (
    ImageFailure,
    image_missing,
    image_unknown,
    stopped,
)
from fogbank.services.run.jobs.task_steps import Ended
from fogbank.services.run.secrets import references_of

MISSING = ImageFailure("ContainerMissing", f"Image '{IMAGE}' not found.")


@pytest.fixture
def jobs() -> Jobs:
    made = Jobs()
    made.create()
    made.image_found()
    return made


def test_a_job_is_filled_with_googles_defaults(jobs):
    made = jobs.get()
    spec = made["spec"]["template"]["spec"]
    assert (spec["taskCount"], "parallelism" in spec) == (1, False)
    task = spec["template"]["spec"]
    account = compute_account(project_number(jobs.world, PROJECT))
    assert (task["maxRetries"], task["timeoutSeconds"], task["serviceAccountName"]) == (3, "600", account)
    assert task["containers"][0]["resources"]["limits"] == {"cpu": "1000m", "memory": "512Mi"}
    assert made["metadata"]["annotations"]["run.googleapis.com/creator"] == ME
    assert made["status"]["conditions"][0]["status"] == "True"


def test_a_job_is_not_ready_before_its_image_was_found_and_fails_when_nobody_knows_it():
    jobs = Jobs()
    made = jobs.create()
    assert made["status"]["conditions"][0]["status"] == "Unknown"
    name = next(jobs.world.all("run.jobs")).name
    jobs.make(image_unknown(jobs.world, name, 1, MISSING, jobs.now))
    ready = jobs.get()["status"]["conditions"][0]
    assert (ready["status"], ready["reason"]) == ("False", "ContainerMissing")
    assert ready["message"] == f"Image '{IMAGE}' not found."


def test_what_is_known_of_an_older_image_does_not_decide_about_a_job(jobs):
    jobs.replace(job(container={"image": "us-docker.pkg.dev/p/r/other"}))
    name = next(jobs.world.all("run.jobs")).name
    assert image_unknown(jobs.world, name, 1, MISSING, jobs.now) == ()
    jobs.image_found()
    assert jobs.get()["status"]["conditions"][0]["status"] == "True"


def test_both_apis_show_the_same_job(jobs):
    shown = jobs.v2("get", name=f"{PLACE}/jobs/sync")
    assert shown["template"]["template"]["containers"][0]["image"] == IMAGE
    assert shown["template"]["template"]["timeout"] == "600s"
    assert shown["template"]["template"]["maxRetries"] == 3
    body = {
        "template": {
            "taskCount": 4,
            "parallelism": 2,
            "template": {"maxRetries": 0, "timeout": "60s", "containers": [{"image": IMAGE, "args": ["x"]}]},
        }
    }
    jobs.v2("patch", body, name=f"{PLACE}/jobs/sync")
    spec = jobs.get()["spec"]["template"]["spec"]
    assert (spec["taskCount"], spec["parallelism"]) == (4, 2)
    assert (spec["template"]["spec"]["maxRetries"], spec["template"]["spec"]["timeoutSeconds"]) == (0, "60")
    assert jobs.get()["metadata"]["generation"] == 2


def test_a_write_that_changes_nothing_makes_no_new_generation(jobs):
    again = jobs.replace(job())
    assert again["metadata"]["generation"] == 1
    assert again["status"]["conditions"][0]["status"] == "True"


def test_a_write_against_an_older_version_is_refused(jobs):
    body = job()
    body["metadata"]["resourceVersion"] = "older"
    refusal = jobs.refused(f"{V1}.jobs.replaceJob", body, name=f"{NAMESPACE}/jobs/sync", location=REGION)
    assert refusal.code == 409
    refusal = jobs.refused(f"{V2}.delete", name=f"{PLACE}/jobs/sync", etag='"older"')
    assert refusal.status == "ABORTED"


def test_operations_of_v2_end_when_the_job_is_ready():
    jobs = Jobs()
    body = {"template": {"template": {"containers": [{"image": IMAGE}]}}}
    operation = jobs.v2("create", body, parent=PLACE, jobId="sync")
    assert operation.status == "RUNNING"
    jobs.image_found()
    ended = jobs.world.operations[operation.name.path]
    assert ended.status == "DONE"
    assert ended.response is not None
    assert ended.response["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (job("Upper"), "metadata.name"),
        (job("a" * 50), "at most 49"),
        (job(taskCount=0), "spec.template.spec.taskCount: should be between 1 and 10000 inclusive"),
        (job(taskCount=2, parallelism=3), "spec.template.spec.parallelism: should be between 0 and 2"),
        (job(task={"maxRetries": 11}), "spec.template.spec.template.spec.maxRetries"),
        (job(task={"timeoutSeconds": "604801"}), "spec.template.spec.template.spec.timeoutSeconds"),
        (job(container={"image": "a b"}), "spec.template.spec.template.spec.containers[0].image"),
        (job(container={"env": [{"name": "CLOUD_RUN_JOB", "value": "x"}]}), "reserved env names"),
        (job(container={"resources": {"limits": {"cpu": "3"}}}), "containers[0].resources.limits.cpu"),
        (job(task={"volumes": [{"name": "v"}]}), "volumes"),
        (job(annotations={"run.googleapis.com/vpc-access-connector": "none"}), "does not exist"),
    ],
)  # fmt: skip
def test_what_could_not_run_is_refused(changed, said):
    refusal = Jobs().refused(f"{V1}.jobs.create", changed, parent=NAMESPACE, location=REGION)
    assert refusal.code == 400
    assert said in refusal.message


def test_refusals_of_v2_name_its_own_fields():
    body = {"template": {"template": {"maxRetries": 11, "containers": [{"image": IMAGE}]}}}
    refusal = Jobs().refused(f"{V2}.create", body, parent=PLACE, jobId="sync")
    assert refusal.message.startswith("template.template.maxRetries: ")
    body = {"template": {"template": {"containers": [{"image": IMAGE}], "volumes": [{"name": "v"}]}}}
    assert "volumes" in Jobs().refused(f"{V2}.create", body, parent=PLACE, jobId="sync").message


def test_a_job_may_not_be_public(jobs):
    binding = {"role": "roles/run.invoker", "members": ["allUsers"]}
    policy = {"policy": {"bindings": [binding]}}
    for method in (f"{V2}.setIamPolicy", "run.v1.projects.locations.jobs.setIamPolicy"):
        refusal = jobs.refused(method, policy, resource=f"{PLACE}/jobs/sync")
        wanted = "Member allUsers is invalid due to membership type restrictions on the resource."
        assert (refusal.code, refusal.message) == (400, wanted)


def test_an_execution_runs_the_digest_of_its_beginning_and_says_how_it_went(jobs):
    one = jobs.execute()
    assert jobs.conditions(one) == dict.fromkeys(
        ("Completed", "ResourcesAvailable", "Started", "ContainerReady"), "Unknown"
    )
    jobs.imported(one)
    container = jobs.execution(one)["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"us-docker.pkg.dev/p/r/app@{DIGEST}"
    jobs.started(one, 0)
    assert jobs.execution(one)["status"]["runningCount"] == 1
    jobs.ended(one, 0)
    assert set(jobs.conditions(one).values()) == {"True"}
    status = jobs.execution(one)["status"]
    assert (status["succeededCount"], "runningCount" in status) == (1, False)
    assert jobs.completed(one)["message"] == "Execution completed successfully in 0s."
    latest = jobs.get()["status"]["latestCreatedExecution"]
    assert (latest["name"], latest["completionStatus"]) == (one, "EXECUTION_SUCCEEDED")
    assert jobs.get()["status"]["executionCount"] == 1


def test_a_task_is_retried_as_often_as_it_may_and_then_fails_with_googles_words(jobs):
    jobs.replace(job(task={"maxRetries": 1}, taskCount=2))
    jobs.image_found()
    one = jobs.execute()
    jobs.imported(one)
    jobs.started(one, 0, 1)
    jobs.ended(one, 0, 3)
    (first, _) = jobs.tasks(one)
    assert first["status"]["retried"] == 1
    assert first["metadata"]["labels"]["run.googleapis.com/runningState"] == "Running"
    jobs.ended(one, 0, 3)
    assert jobs.completed(one)["status"] == "Unknown"  # the other task goes on
    jobs.ended(one, 1, 0)
    status = jobs.execution(one)["status"]
    assert [status[each] for each in ("failedCount", "succeededCount", "retriedCount")] == [1, 1, 1]
    told = jobs.completed(one)
    wanted = f"Task {one}-task0 failed with exit code: 3 and message: The container exited with an error."
    assert (told["reason"], told["message"]) == ("NonZeroExitCode", wanted)
    (first, _) = jobs.tasks(one)
    assert first["status"]["lastAttemptResult"]["exitCode"] == 3


def test_the_operation_of_a_run_ends_with_the_execution(jobs):
    good = jobs.v2("run", {}, name=f"{PLACE}/jobs/sync")
    identifier = good.target.id
    jobs.imported(identifier)
    jobs.started(identifier, 0)
    assert jobs.world.operations[good.name.path].status == "RUNNING"
    jobs.ended(identifier, 0)
    ended = jobs.world.operations[good.name.path]
    assert (ended.error, ended.response["succeededCount"]) == (None, 1)
    bad = jobs.v2("run", {}, name=f"{PLACE}/jobs/sync")
    jobs.make(image_missing(jobs.world, bad.target, MISSING, jobs.now))
    error = jobs.world.operations[bad.name.path].error
    assert (error.code, error.message) == ("INTERNAL", f"Image '{IMAGE}' not found.")


def test_a_cancelled_execution_is_no_error_of_its_operation(jobs):
    run = jobs.v2("run", {}, name=f"{PLACE}/jobs/sync")
    one = run.target.id
    jobs.imported(one)
    jobs.started(one, 0)
    cancelled = jobs.v2("executions.cancel", {}, name=path(one))
    assert jobs.completed(one)["reason"] == "Cancelling"
    assert cancelled.status == "RUNNING"
    jobs.ended(one, 0, None, signal=15, cancelled=True)
    jobs.make(stopped(jobs.world, named(one), jobs.now))
    told = jobs.completed(one)
    assert (told["status"], told["reason"]) == ("False", "Cancelled")
    assert jobs.execution(one)["status"]["cancelledCount"] == 1
    for operation in (run, cancelled):
        ended = jobs.world.operations[operation.name.path]
        assert (ended.status, ended.error, ended.response["cancelledCount"]) == ("DONE", None, 1)
    reference = jobs.v2("get", name=f"{PLACE}/jobs/sync")["latestCreatedExecution"]
    assert reference["completionStatus"] == "EXECUTION_CANCELLED"


def test_a_task_that_waited_for_a_retry_when_its_execution_was_cancelled_is_cancelled(jobs):
    one = jobs.execute()
    jobs.imported(one)
    jobs.started(one, 0)
    jobs.ended(one, 0, 1)
    jobs(f"{V1}.executions.cancel", {}, name=f"{NAMESPACE}/executions/{one}", location=REGION)
    jobs.make(stopped(jobs.world, named(one), jobs.now))
    (task,) = jobs.tasks(one)
    assert task["metadata"]["labels"]["run.googleapis.com/runningState"] == "Cancelled"
    assert "completionTime" in task["status"]


def test_overrides_are_for_one_execution_and_need_a_permission_of_their_own(jobs):
    jobs.replace(
        job(container={"args": ["a"], "env": [{"name": "A", "value": "1"}]}, taskCount=4, parallelism=3)
    )
    overrides = {
        "containerOverrides": [{"args": ["b"], "env": [{"name": "B", "value": "2"}]}],
        "taskCount": 2, "timeoutSeconds": 30,
    }  # fmt: skip
    spec = jobs.execution(jobs.execute(overrides))["spec"]
    container = spec["template"]["spec"]["containers"][0]
    assert (container["args"], [each["name"] for each in container["env"]]) == (["b"], ["A", "B"])
    assert (spec["taskCount"], spec["parallelism"]) == (2, 2)
    assert spec["template"]["spec"]["timeoutSeconds"] == "30"
    assert jobs.execution(jobs.execute())["spec"]["template"]["spec"]["containers"][0]["args"] == ["a"]
    jobs.bind(PROJECT, "roles/run.invoker", "user:runs@example.com")
    jobs.caller = "runs@example.com"
    called = {"name": f"{NAMESPACE}/jobs/sync", "location": REGION}
    refusal = jobs.refused(f"{V1}.jobs.run", {"overrides": {"taskCount": 2}}, **called)
    assert "run.jobs.runWithOverrides" in refusal.message


def test_secrets_and_volumes_in_v2_are_read_back_as_written_and_given_to_tasks(jobs):
    source = {"secretKeyRef": {"secret": "projects/other/secrets/key", "version": "3"}}
    written = {
        "image": IMAGE,
        "env": [{"name": "A", "value": "1"}, {"name": "KEY", "valueSource": source}],
        "volumeMounts": [{"name": "conf", "mountPath": "/etc/app"}, {"name": "tmp", "mountPath": "/t"}],
    }
    volumes = [
        {"name": "conf", "secret": {"secret": "conf", "items": [{"path": "a", "version": "latest"}]}},
        {"name": "tmp", "emptyDir": {"medium": "MEMORY", "sizeLimit": "64Mi"}},
    ]
    task = {"containers": [written], "volumes": volumes}
    jobs.v2("create", {"template": {"template": task}}, parent=PLACE, jobId="other")
    shown = jobs.v2("get", name=f"{PLACE}/jobs/other")["template"]["template"]
    assert shown["volumes"] == volumes
    assert {key: shown["containers"][0][key] for key in written} == written
    one = jobs.execute(name="other")
    jobs.imported(one)
    stored = jobs.world.get(named(one))
    read = read_execution(stored)
    values = {each: each.secret.encode() for each in references_of(read)}
    made = task_instance("x", stored, TaskPlace(0, 0), 1, 1, secrets=values)
    (container,) = made.containers
    assert dict(container.secrets) == {"KEY": "projects/other/secrets/key"}
    assert ("A", "1") in container.environment
    assert {(each.volume, each.path) for each in container.mounts} == {("conf", "/etc/app"), ("tmp", "/t")}
    files, memory = made.volumes
    assert [(each.path, each.content) for each in files.files] == [("a", b"conf")]
    assert memory.size_bytes == 64 * 1024**2


@pytest.mark.parametrize(
    ("container", "task", "why"),
    [
        ({"volumeMounts": [{"name": "x", "mountPath": "/x"}]}, {}, "there is no volume 'x'"),
        ({}, {"volumes": [{"name": "x", "nfs": {"server": "s"}}]}, "NFS volumes"),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a b"}}}]}, {}, "not a secret's name"),
    ],
)
def test_volumes_and_secrets_that_cannot_be_are_refused(jobs, container, task, why):
    with pytest.raises(ApiError, match=why):
        jobs.create(job("other", container=container, task=task))


def test_old_executions_are_forgotten_with_their_tasks_and_new_or_unfinished_ones_are_not(jobs, monkeypatch):
    monkeypatch.setattr("fogbank.services.run.jobs.changes.KEPT", 2)

    def execute():
        jobs.now += timedelta(seconds=1)
        return jobs.execute()

    unfinished, old, kept = execute(), execute(), execute()
    for each in (old, kept):
        jobs.imported(each)
        jobs.started(each, 0)
        jobs.report(each, Ended(0, 0))

    def known():
        return {each.name.id for each in executions_of(jobs.world, job_name(PROJECT, REGION, "sync"))}

    newer = execute()
    assert known() == {unfinished, old, kept, newer}, "none is seven days old"
    jobs.now += timedelta(days=8)
    last = execute()
    assert known() == {unfinished, newer, last}
    assert jobs.tasks(old) == []


def test_overrides_in_v2_are_the_same(jobs):
    overrides = {
        "containerOverrides": [{"clearArgs": True, "env": [{"name": "B", "value": "2"}]}],
        "taskCount": 2, "timeout": "30s",
    }  # fmt: skip
    run = jobs.v2("run", {"overrides": overrides}, name=f"{PLACE}/jobs/sync")
    shown = jobs.v2("executions.get", name=path(run.target.id))
    assert (shown["taskCount"], shown["template"]["timeout"]) == (2, "30s")
    assert shown["template"]["containers"][0]["env"] == [{"name": "B", "value": "2"}]


@pytest.mark.parametrize(
    ("token", "settles_when"), [("startExecutionToken", "started"), ("runExecutionToken", "ended")]
)
def test_a_token_begins_an_execution_and_the_job_waits_for_it(token, settles_when):
    jobs = Jobs()
    jobs.create(job(token={token: "one"}))
    jobs.image_found()
    assert jobs.get()["status"]["conditions"][0]["status"] == "Unknown"
    jobs.imported("sync-one")
    jobs.started("sync-one", 0)
    begun = jobs.get()["status"]["conditions"][0]["status"]
    assert begun == ("True" if settles_when == "started" else "Unknown")
    jobs.ended("sync-one", 0)
    assert jobs.get()["status"]["conditions"][0]["status"] == "True"
    jobs.replace(job(token={token: "one"}, taskCount=2))
    assert jobs.get()["status"]["executionCount"] == 1  # the token is used up


def test_a_deleted_job_takes_its_executions_and_its_policy_with_it(jobs):
    one = jobs.execute()
    jobs.imported(one)
    jobs.started(one, 0)
    run = jobs.v2("run", {}, name=f"{PLACE}/jobs/sync")
    jobs(f"{V1}.jobs.delete", name=f"{NAMESPACE}/jobs/sync", location=REGION)
    kinds = ("run.jobs", "run.executions", "run.tasks", "run.policies")
    assert [list(jobs.world.all(kind)) for kind in kinds] == [[], [], [], []]
    assert jobs.world.operations[run.name.path].error.code == "ABORTED"


def test_a_deleted_execution_shows_on_its_job(jobs):
    one = jobs.execute()
    jobs(f"{V1}.executions.delete", name=f"{NAMESPACE}/executions/{one}", location=REGION)
    assert "deletionTimestamp" in jobs.get()["status"]["latestCreatedExecution"]
    refusal = jobs.refused(f"{V2}.executions.get", name=path(one))
    assert (refusal.code, refusal.message) == (404, f'execution "{path(one)}" not found')


def test_executions_and_tasks_are_listed_in_both_apis(jobs):
    one, two = jobs.execute(), jobs.execute()
    jobs.imported(one)
    jobs.started(one, 0)
    listed = jobs(
        f"{V1}.executions.list",
        parent=NAMESPACE,
        location=REGION,
        labelSelector="run.googleapis.com/job = sync",
    )
    assert {each["metadata"]["name"] for each in listed["items"]} == {one, two}
    shown = jobs.v2("executions.list", parent=f"{PLACE}/jobs/sync")
    assert {each["name"] for each in shown} == {path(one), path(two)}
    (task,) = jobs.v2("executions.tasks.list", parent=path(one))
    assert (task["name"], task["index"]) == (f"{path(one)}/tasks/{one}-task0", 0)
    assert jobs.v2("executions.tasks.get", name=task["name"]) == task
    found = jobs(f"{V1}.tasks.get", name=f"{NAMESPACE}/tasks/{one}-task0", location=REGION)
    assert found["metadata"]["labels"]["run.googleapis.com/execution"] == one


def test_reports_about_what_is_gone_or_over_change_nothing(jobs):
    one = jobs.execute()
    jobs.imported(one)
    jobs.started(one, 0)
    jobs.ended(one, 0)
    before = jobs.world
    jobs.ended(one, 0, 1)
    jobs.started(one, 0)
    assert jobs.world.collections == before.collections
    assert abandoned(jobs.world, replace(named(one), path=f"{PLACE}/executions/none"), jobs.now) == ()
