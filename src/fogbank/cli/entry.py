"""The root command: a group that knows every command's name and sentence, and imports only the one typed.

`run` is the program's outermost frame: an :class:`OperatorError` becomes one line and an exit status, a bug
keeps its traceback.
"""

import os
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

import click

from fogbank.cli.exits import MEANINGS, Exit, NotRunningError
from fogbank.errors import DriverError, OperatorError


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command before it is imported: its module in `commands/`, where help lists it, its sentence."""

    module: str
    section: str
    help: str


COMMANDS: dict[str, CommandEntry] = {
    "up": CommandEntry("up", "Regions", "Start a region."),
    "down": CommandEntry("down", "Regions", "Stop a region; its state is kept for the next start."),
    "status": CommandEntry("status", "Regions", "Show what is up, what is converging and why."),
    "list": CommandEntry("list_", "Regions", "List the regions that are running."),
    "demo": CommandEntry("demo", "Regions", "Run an article and show that its claim holds."),
    "env": CommandEntry("env", "Clients", "Print the variables that point clients at a region."),
    "connect": CommandEntry("connect", "Clients", "Connect to an address of a region's internet."),
    "exec": CommandEntry("exec_", "Clients", "Run one command as a client of a region."),
    "credentials": CommandEntry(
        "credentials", "Clients", "Print credentials of a user, for gcloud and client libraries."
    ),
    "internet": CommandEntry("internet", "Network", "Add third parties and read what they saw."),
    "onprem": CommandEntry("onprem", "Network", "Add on-premises networks and connect them by VPN."),
    "trace": CommandEntry("trace", "Network", "Predict a packet's path, hop by hop, and probe it."),
    "why": CommandEntry("why", "Network", "Name every setting that stops a flow, and what lifts it."),
    "top": CommandEntry(
        "top", "Network", "Show the busiest flows, who uses which NAT ports, and drops, live."
    ),
    "drops": CommandEntry("drops", "Network", "Count dropped packets by place and reason."),
    "logs": CommandEntry("logs", "Network", "Show what containers wrote."),
    "run": CommandEntry("run", "Clients", "Connect services to Redis as gcloud's integrations did."),
    "images": CommandEntry("images", "Network", "Show and load a region's images, and fetch servers."),
    "clock": CommandEntry("clock", "Network", "Read a region's clock or skip a wait."),
    "plan": CommandEntry("plan", "Network", "Show what would change now, and what changed last."),
    "doctor": CommandEntry(
        "doctor", "This machine", "Check this machine and say how to get what is missing."
    ),
    "settings": CommandEntry(
        "settings", "This machine", "List every setting with its default and description."
    ),
    "completion": CommandEntry("completion", "This machine", "Print the shell completion script."),
    "version": CommandEntry("version", "This machine", "Print the version."),
}

_EPILOG = """\b
Examples:
  fogbank up --detach                  start a region, ready in about a second
  eval "$(fogbank env)"                point gcloud, Terraform, curl … of this shell at it
  fogbank exec -- gcloud run deploy …  or run one command under it
  fogbank demo                         run a complete example

\b
Exit status:
""" + "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in MEANINGS.items())


class LazyGroup(click.Group):
    """A group whose commands are imported when they are typed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = import_module(f"fogbank.cli.commands.{entry.module}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"commands/{entry.module}.py has no click command called 'command'")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [(name, entry.help) for name, entry in COMMANDS.items() if entry.section == section],
                    col_max=12,
                )


def _print_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from fogbank.cli.commands.version import program_and_version

        click.echo(program_and_version())
        ctx.exit()


@click.group(
    cls=LazyGroup,
    help="A Google Cloud region on this machine, with real packets.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
def root() -> None:
    """Hold the commands."""


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; ``arguments`` without the program's name, default those typed."""
    try:
        result = root.main(arguments, prog_name="fogbank", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except NotRunningError as error:
        _complain(error, Exit.NOT_RUNNING)
    except (OperatorError, DriverError) as error:
        _complain(error, Exit.FAILURE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        # The reader went away (`fogbank logs | head`): nothing is left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.OK)
    sys.exit(result if isinstance(result, int) else Exit.OK)


def _complain(error: Exception, status: Exit) -> NoReturn:
    click.echo(click.style("error: ", fg="red", bold=True) + str(error), err=True)
    sys.exit(status)
