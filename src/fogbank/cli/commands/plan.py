"""`fogbank plan`: what the control loop did in its last passes, and what went wrong in them."""

from typing import Any

import click

from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json, seconds
from fogbank.cli.regions import running


@click.command("plan", epilog=examples("fogbank plan", "fogbank plan --last 1", "fogbank plan --format json"))
@click.option("--last", type=click.IntRange(1), default=5, show_default=True, help="How many passes to show.")
@name_option
@format_option
def command(last: int, name: str, format_: str) -> None:
    """Show the last passes of the control loop."""
    passes = running(name).operator().get("/plan")["passes"][-last:]
    if format_ == "json":
        print_json(passes)
        return
    for turn in passes:
        show(turn)


def show(turn: dict[str, Any]) -> None:
    """Print one pass: when, how long, each action, each failure."""
    took = seconds(turn["milliseconds"] / 1000)
    count = f"{len(turn['actions'])} actions" if turn["actions"] else "nothing to do"
    headline = f"{turn['time']}  version {turn['worldVersion']}  {count}  {took}"
    click.echo(click.style(headline, bold=True))
    for action in turn["actions"]:
        click.echo(f"  {action}")
    for element, why in turn["failures"].items():
        click.echo(click.style(f"  failed: {element}: {why}", fg="red"))
