"""Laws of executions: whatever happens to tasks, in whatever order, the counts tell where they stand."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.services.run.jobs.job_calls import Jobs, job

from fogbank.services.run.jobs.task_steps import Ended, Started

TASKS, RETRIES = 4, 2

BEGUN = Jobs()
BEGUN.create(job(taskCount=TASKS, task={"maxRetries": RETRIES}))
BEGUN.image_found()
EXECUTION = BEGUN.execute()
BEGUN.imported(EXECUTION)

events = st.lists(
    st.tuples(st.integers(0, TASKS - 1), st.sampled_from(("start", "good", "bad"))), max_size=30
)


@given(events)
def test_the_counts_are_those_of_the_tasks_and_the_end_is_that_of_the_last(happened):
    jobs = BEGUN.branch()
    for index, what in happened:
        if what == "start":
            jobs.started(EXECUTION, index)
        else:
            jobs.ended(EXECUTION, index, 0 if what == "good" else 1)
    status = jobs.execution(EXECUTION)["status"]
    tasks = jobs.tasks(EXECUTION)
    states = Counter(each["metadata"]["labels"]["run.googleapis.com/runningState"] for each in tasks)
    counts = {
        "runningCount": states["Running"], "succeededCount": states["Succeeded"],
        "failedCount": states["Failed"], "cancelledCount": 0,
        "retriedCount": sum("retried" in each["status"] for each in tasks),
    }  # fmt: skip
    assert {key: status.get(key, 0) for key in counts} == counts
    over = states["Succeeded"] + states["Failed"] == TASKS
    assert ("completionTime" in status) == over
    if over:
        assert jobs.completed(EXECUTION)["status"] == ("False" if states["Failed"] else "True")
    assert all(each["status"].get("retried", 0) <= RETRIES for each in tasks)


@given(events)
def test_reports_in_one_commit_or_in_many_come_to_the_same(happened):
    one, many = BEGUN.branch(), BEGUN.branch()
    reports = [
        Started(index, 10**17 + number) if what == "start" else Ended(index, 0 if what == "good" else 1)
        for number, (index, what) in enumerate(happened)
    ]
    one.report(EXECUTION, *reports)
    for report in reports:
        many.report(EXECUTION, report)
    assert one.execution(EXECUTION) == many.execution(EXECUTION)
    assert one.tasks(EXECUTION) == many.tasks(EXECUTION)
