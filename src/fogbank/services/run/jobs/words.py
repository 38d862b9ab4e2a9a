"""The dictionary between the two APIs for jobs: an annotation of v1 is a field of v2."""

from fogbank.services.run.v2 import words
from fogbank.services.run.v2.words import Word

_OF_TASKS = ("vpcAccess", "executionEnvironment", "encryptionKey")
_OF_EXECUTIONS = ("client", "clientVersion")
_OF_JOBS = ("launchStage", "client", "clientVersion", "binaryAuthorization")


def _about(table: tuple[Word, ...], fields: tuple[str, ...]) -> tuple[Word, ...]:
    return tuple(word for word in table if word.path[0] in fields)


TASK: tuple[Word, ...] = _about(words.TEMPLATE, _OF_TASKS)
"""The annotations of an execution's template that are fields of its tasks."""

EXECUTION: tuple[Word, ...] = _about(words.TEMPLATE, _OF_EXECUTIONS)
"""Those that are fields of the execution's template."""

JOB: tuple[Word, ...] = _about(words.SERVICE, _OF_JOBS)
"""The annotations of a job."""
