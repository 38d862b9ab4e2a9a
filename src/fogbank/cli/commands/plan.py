"""`fogbank plan`: what would change now, what the last passes did, and what went wrong in them."""

from typing import Any

import click

from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json, seconds
from fogbank.cli.regions import running

_MOST = 12
"""How many changes of a pass are shown when nobody asks for all."""
_COLOURS = {"create": "green", "replace": "yellow", "remove": "red"}


@click.command(
    "plan", epilog=examples("fogbank plan", "fogbank plan --last 1 --all", "fogbank plan --format json")
)
@click.option("--last", type=click.IntRange(1), default=5, show_default=True, help="How many passes to show.")
@click.option("--all", "everything", is_flag=True, help=f"Show more than {_MOST} changes of a pass.")
@name_option
@format_option
def command(last: int, everything: bool, name: str, format_: str) -> None:
    """Show what would change now, and what changed last.

    Changes come in passes of the control loop. Once the region has converged nothing would change.
    """
    answer = running(name).operator().get("/plan")
    passes = answer["passes"][-last:]
    if format_ == "json":
        print_json({"pending": answer["pending"], "passes": passes})
        return
    pending = answer["pending"]
    click.echo(_bold(f"Now: {_count(pending)} to make." if pending else "Now: nothing would change."))
    _show_actions(pending, everything=everything)
    for turn in passes:
        click.echo()
        _show(turn, everything=everything)


def _show(turn: dict[str, Any], *, everything: bool) -> None:
    """Print one pass: when, how long, each action, each failure."""
    took = seconds(turn["milliseconds"] / 1000)
    click.echo(_bold(f"{turn['time']}  version {turn['worldVersion']}: {_count(turn['actions'])} in {took}"))
    _show_actions(turn["actions"], everything=everything)
    for element, why in turn["failures"].items():
        click.echo(click.style(f"  failed: {element}: {why}", fg="red"))


def _show_actions(actions: list[dict[str, Any]], *, everything: bool) -> None:
    shown = actions if everything or len(actions) <= _MOST + 1 else actions[:_MOST]
    for action in shown:
        verb = click.style(f"{action['action'].capitalize():<7}", fg=_COLOURS[action["action"]])
        if "oldText" in action and action["oldText"] != action["text"]:
            click.echo(f"  {verb}  {action['oldText']}\n       by  {action['text']}")
        else:
            click.echo(f"  {verb}  {action['text']}")
    if len(shown) < len(actions):
        click.echo(f"  … and {len(actions) - len(shown)} more; see them with --all")


def _count(actions: list[dict[str, Any]]) -> str:
    return "1 change" if len(actions) == 1 else f"{len(actions)} changes"


def _bold(text: str) -> str:
    return click.style(text, bold=True)
