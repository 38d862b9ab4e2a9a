"""`fogbank env`: the variables that point unmodified clients at a region, for a shell to evaluate."""

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json
from fogbank.cli.regions import running


def _posix(key: str, value: str) -> str:
    return f"export {key}={shlex.quote(value)}"


def _fish(key: str, value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {key} '{quoted}';"


_WRITERS: dict[str, Callable[[str, str], str]] = {"bash": _posix, "zsh": _posix, "fish": _fish}


@click.command(
    "env",
    epilog=examples(
        'eval "$(fogbank env)"                bash, zsh',
        "fogbank env --shell fish | source    fish",
        "fogbank env --format json",
    ),
)
@click.option(
    "--shell", type=click.Choice(list(_WRITERS)), help="Whose language to write; default: from SHELL."
)
@name_option
@format_option
def command(shell: str | None, name: str, format_: str) -> None:
    """Print the variables that point clients at a region."""
    variables = running(name).environment()
    if format_ == "json":
        print_json(variables)
    else:
        click.echo(render(variables, shell or _shell()))


def render(variables: Mapping[str, str], shell: str) -> str:
    """Write ``variables`` as commands of ``shell``."""
    write = _WRITERS[shell]
    return "\n".join(write(key, value) for key, value in variables.items())


def _shell() -> str:
    name = Path(os.environ.get("SHELL", "bash")).name
    return name if name in _WRITERS else "bash"
