"""`fogbank version`."""

from importlib.metadata import version

import click


@click.command("version")
def command() -> None:
    """Print the version."""
    click.echo(program_and_version())


def program_and_version() -> str:
    """Return the line that `fogbank version` and `fogbank --version` print."""
    return f"fogbank {version('fogbank')}"
