"""`fogbank plan`: what would change now, what the last passes did, and what Terraform's apply would do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from fogbank.cli.exits import Exit
from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json, seconds
from fogbank.cli.regions import running
from fogbank.errors import OperatorError

_MOST = 12
"""How many changes of a pass are shown when nobody asks for all."""
_COLOURS = {"create": "green", "replace": "yellow", "remove": "red"}


@click.command(
    "plan",
    epilog=examples(
        "fogbank plan",
        "fogbank plan --last 1 --all",
        "fogbank plan --terraform PLAN.json",
        "fogbank plan --terraform PLAN.json --flow run/web=redis/cache:6379",
    ),
)
@click.option("--last", type=click.IntRange(1), default=5, show_default=True, help="How many passes to show.")
@click.option("--all", "everything", is_flag=True, help=f"Show more than {_MOST} changes of a pass.")
@click.option(
    "--terraform",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Show which flows an apply would break or open: what `terraform show -json PLAN` wrote.",
)
@click.option("--flow", "flows", multiple=True, help="Compare SOURCE=DESTINATION:PORT only; may be repeated.")
@name_option
@format_option
def command(
    *, last: int, everything: bool, terraform: Path | None, flows: tuple[str, ...], name: str, format_: str
) -> int:
    """Show what would change now, and what changed last.

    Changes come in passes of the control loop. Once the region has converged nothing would change.
    With --terraform nothing is applied: the services of the region answer the plan's calls on a copy of
    what there is, and every flow is predicted before and after. The exit status is 5 when one would break.
    """
    if terraform is not None:
        return _show_flows(_compare_flows(terraform, flows, name), format_)
    answer = running(name).operator().get("/plan")
    passes = answer["passes"][-last:]
    if format_ == "json":
        print_json({"pending": answer["pending"], "passes": passes})
        return Exit.OK
    pending = answer["pending"]
    click.echo(_bold(f"Now: {_count(pending)} to make." if pending else "Now: nothing would change."))
    _show_actions(pending, everything=everything)
    for turn in passes:
        click.echo()
        _show(turn, everything=everything)
    return Exit.OK


def _compare_flows(plan: Path, flows: tuple[str, ...], name: str) -> dict[str, Any]:
    """Have the region compare; only what it reads of the plan is sent."""
    try:
        whole = json.loads(plan.read_text())
    except ValueError as error:
        raise OperatorError(f"{plan} is no JSON. Write it: terraform show -json PLAN > {plan}") from error
    sent = {key: whole[key] for key in ("resource_changes", "configuration") if key in whole}
    answer: dict[str, Any] = (
        running(name).operator().post("/plan/terraform", {"plan": sent, "flows": list(flows)})
    )
    return answer


def _show_flows(answer: dict[str, Any], format_: str) -> int:
    if format_ == "json":
        print_json(answer)
    else:
        for line in told(answer):
            click.echo(line)
    return Exit.BLOCKED if any(each["change"] == "breaks" for each in answer["flows"]) else Exit.OK


_FLOW_COLOURS = {"breaks": "red", "appears": "green", "changes": "yellow"}


def told(answer: dict[str, Any]) -> Iterator[str]:
    """Tell which flows an apply changes, and what of the plan was not read."""
    changed = len(answer["flows"])
    yield _bold(f"{changed} of {answer['compared']} flows would change.")
    for each in answer["flows"]:
        verb = click.style(f"{each['change']:<8}", fg=_FLOW_COLOURS[each["change"]])
        yield f"  {verb}  {each['source']} to {each['destination']}:{each['port']}"
        yield click.style(f"            {_how(each['before'])}, then {_how(each['after'])}", dim=True)
    if answer["unread"]:
        yield _bold("Not in this answer:")
    for each in answer["unread"]:
        yield f"  {each['address']}: {each['reason']}"


def _how(verdict: dict[str, Any] | None) -> str:
    if verdict is None:
        return "not there"
    return f"arrives {verdict['how']}" if verdict["arrives"] else f"dropped: {verdict['how']}"


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
