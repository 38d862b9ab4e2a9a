"""`fogbank clock`: the region's clock, on which every wait of Google's happens."""

import re

import click

from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json
from fogbank.cli.regions import running

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:\d+[smhd])+")


class Duration(click.ParamType[int]):
    """A duration such as ``20m`` or ``1h30m``, as seconds."""

    name = "DURATION"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not _DURATION.fullmatch(text):
            self.fail(f"{text!r} is not a duration. Write 45s, 20m, 1h30m or 2d.", param, ctx)
        return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))


@click.group("clock", epilog=examples("fogbank clock show", "fogbank clock advance 20m"))
def command() -> None:
    """Read a region's clock or skip a wait."""


@command.command("show", epilog=examples("fogbank clock show --format json"))
@name_option
@format_option
def show(name: str, format_: str) -> None:
    """Show the region's time."""
    _print(running(name).operator().get("/clock"), format_)


@command.command("advance", epilog=examples("fogbank clock advance 20m", "fogbank clock advance 1h30m"))
@click.argument("duration", type=Duration())
@name_option
@format_option
def advance(duration: int, name: str, format_: str) -> None:
    """Skip DURATION: idle instances, held addresses and NAT timeouts see it pass."""
    _print(running(name).operator().post("/clock", {"advanceSeconds": duration}), format_)


def _print(answer: dict[str, object], format_: str) -> None:
    if format_ == "json":
        print_json(answer)
        return
    for key, value in answer.items():
        click.echo(f"{key}: {value}")
