"""`fogbank plan`: what the control loop did in its last passes, and what it would do now."""

from typing import Any

import click

from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json
from fogbank.cli.regions import running


@click.command("plan", epilog=examples("fogbank plan", "fogbank plan --format json"))
@name_option
@format_option
def command(name: str, format_: str) -> None:
    """Show the last passes of the control loop."""
    answer = running(name).operator().get("/plan")
    if format_ == "json":
        print_json(answer)
    else:
        _show(answer, "")


def _show(value: Any, indent: str) -> None:
    """Print a tree of objects and lists with one line a leaf."""
    match value:
        case dict():
            for key, below in value.items():
                if isinstance(below, dict | list) and below:
                    click.echo(f"{indent}{key}:")
                    _show(below, indent + "  ")
                else:
                    click.echo(f"{indent}{key}: {'none' if below in ([], {}, None) else below}")
        case list():
            for below in value:
                if isinstance(below, dict | list):
                    click.echo(f"{indent}-")
                    _show(below, indent + "  ")
                else:
                    click.echo(f"{indent}- {below}")
        case _:
            click.echo(f"{indent}{value}")
