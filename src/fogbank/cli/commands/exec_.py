"""`fogbank exec`: become a client. The command replaces this process: its status and signals are its own."""

import os
import shutil

import click

from fogbank.cli.options import examples, name_option
from fogbank.cli.regions import running
from fogbank.errors import OperatorError
from fogbank.frontend.client_environment import applied


@click.command(
    "exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "fogbank exec -- gcloud compute networks list",
        "fogbank exec -- terraform apply",
        "fogbank exec --name ci-1 -- bash",
    ),
)
@name_option
@click.argument("words", metavar="-- CMD [ARG]…", nargs=-1, required=True, type=click.UNPROCESSED)
def command(name: str, words: tuple[str, ...]) -> None:
    """Run one command as a client of a region.

    The exit status is the command's own.
    """
    environment = applied(running(name).environment(), os.environ)
    program = shutil.which(words[0], path=environment.get("PATH"))
    if program is None:
        raise OperatorError(f"There is no program called {words[0]!r} on PATH.")
    os.execve(program, words, environment)  # noqa: S606 - running what was typed is the point
