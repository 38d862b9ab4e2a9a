"""`fogbank env`: the variables that point unmodified clients at a region, for a shell to evaluate."""

import os
from pathlib import Path

import click

from fogbank.cli.options import examples, name_option
from fogbank.cli.regions import running
from fogbank.frontend.client_environment import RENDERERS


@click.command(
    "env",
    epilog=examples(
        'eval "$(fogbank env)"                bash, zsh',
        "fogbank env --shell fish | source    fish",
        "fogbank env --format json",
    ),
)
@click.option(
    "--shell",
    "--format",
    "form",
    type=click.Choice([*RENDERERS, "text"]),
    default="text",
    show_default="the language of SHELL",
    help="json is for programs; null there stands for a variable to unset.",
)
@name_option
def command(form: str, name: str) -> None:
    """Print the variables that point clients at a region."""
    variables = running(name).environment()
    click.echo(RENDERERS[_shell() if form == "text" else form](variables), nl=False)


def _shell() -> str:
    name = Path(os.environ.get("SHELL", "bash")).name
    return name if name in RENDERERS else "sh"
