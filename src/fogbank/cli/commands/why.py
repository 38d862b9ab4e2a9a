"""`fogbank why`: what keeps a flow from arriving, each setting with the command that lifts it."""

from collections.abc import Iterator
from typing import Any

import click

from fogbank.cli.exits import Exit
from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json
from fogbank.cli.regions import running

Json = dict[str, Any]


@click.command(
    "why",
    epilog=examples(
        "fogbank why run/production http://ifconfig.me",
        "fogbank why run/production 10.124.0.3:6379 --format json",
    ),
)
@click.argument("source")
@click.argument("url")
@name_option
@format_option
def command(source: str, url: str, name: str, format_: str) -> int:
    """Name every setting that stops a flow, and what lifts it.

    SOURCE and URL are those of fogbank trace. Each setting comes with the gcloud command that lets this flow
    through. The exit status is 5 when something stops it.
    """
    answer: Json = running(name).operator().post("/why", {"source": source, "url": url})
    if format_ == "json":
        print_json(answer)
    else:
        for line in told(answer):
            click.echo(line)
    return Exit.OK if answer["reachable"] else Exit.BLOCKED


def told(answer: Json) -> Iterator[str]:
    """Tell the answer: a sentence, then each setting with its command."""
    way = f"{answer['source']} to {answer['destination']}"
    found = answer["blockers"]
    if not found:
        yield click.style(f"{way}: nothing stops it", fg="green")
        return
    yield click.style(f"{way}: {_counted(len(found))}", fg="red")
    for number, blocker in enumerate(found, start=1):
        yield f"{number:>3}  {blocker['sentence']}"
        yield click.style(f"     {blocker['cause']} in {blocker['place']}: {blocker['setting']}", dim=True)
        if blocker["command"]:
            yield f"     {blocker['command']}"


def _counted(number: int) -> str:
    return "one setting stops it" if number == 1 else f"{number} settings stop it"
