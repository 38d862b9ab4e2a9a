"""One execution while it runs: which of its tasks are at work, and which is to start next.

It is rebuilt from the World when a region starts. A task that was at work then has no container any more: it
comes first, with the same attempt, for it was not the task that failed.
"""

from collections import deque
from collections.abc import Iterable

from fogbank.resources.run_jobs import Execution, Task, TaskState
from fogbank.services.run.instances import TaskPlace


class ExecutionRun:
    """The tasks of ``view``. ``stored`` are those that were ever started."""

    def __init__(self, view: Execution, stored: Iterable[Task]) -> None:
        self.view = view
        tasks = {task.index: task for task in stored}
        at_work = sorted(index for index, task in tasks.items() if task.state is TaskState.RUNNING)
        self._again = deque(TaskPlace(index, tasks[index].attempt) for index in at_work)
        self._fresh = deque(index for index in range(view.tasks) if index not in tasks)
        self.at_work: set[int] = set()
        """The tasks that have a container, or of which something is still to be noted."""

    def next(self) -> TaskPlace | None:
        """Take the task to start next; None when there is none, or as many run as may."""
        if len(self.at_work) >= self.view.parallelism:
            return None
        if self._again:
            place = self._again.popleft()
        elif self._fresh:
            place = TaskPlace(self._fresh.popleft(), 0)
        else:
            return None
        self.at_work.add(place.index)
        return place

    def again(self, place: TaskPlace) -> None:
        """Have a task start again, as this attempt."""
        self.at_work.discard(place.index)
        self._again.append(place)

    def over(self, index: int) -> None:
        """Note that a task is at its end."""
        self.at_work.discard(index)
