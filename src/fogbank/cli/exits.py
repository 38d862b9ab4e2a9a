"""Exit statuses, documented once: help, docs and commands read them from here."""

from enum import IntEnum

from fogbank.errors import OperatorError


class Exit(IntEnum):
    """What a command's exit status says."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_RUNNING = 3
    DISAGREEMENT = 4
    BLOCKED = 5
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "it worked",
    Exit.FAILURE: "it failed; the message says what to do",
    Exit.USAGE: "the command line is wrong",
    Exit.NOT_RUNNING: "no region of that name is running",
    Exit.DISAGREEMENT: "prediction and packet disagree, or a third party saw another address",
    Exit.BLOCKED: "a flow does not arrive by what is declared (fogbank why)",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
}


class NotRunningError(OperatorError):
    """No region of that name is running; exit status 3."""
