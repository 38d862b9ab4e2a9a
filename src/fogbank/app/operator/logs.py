"""``fogbank logs``: what instances wrote, what requests they served, and what the platform says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fogbank.control.controller import Controller
from fogbank.control.logbook import Logbook, resolve_log_name
from fogbank.control.operator import Lines, Question, Route


@dataclass(frozen=True, slots=True)
class LogsApi:
    """Answers from the logbook; the controllers know what has a log without a line in it."""

    logbook: Logbook
    controllers: Sequence[Controller]

    def routes(self) -> Iterable[Route]:
        """List what can be asked."""
        yield Route("GET", "logs", self.read)

    async def read(self, question: Question) -> Lines:
        """Return lines; OperatorError when nothing is known by that name."""
        known = self.logbook.names().union(*(each.log_names() for each in self.controllers))
        name = resolve_log_name(question.query.get("resource", ""), known)
        return self.logbook.read(name, follow=question.follow)
