"""`fogbank settings`: every setting, straight from where it is declared."""

import click

from fogbank.cli.options import examples, format_option
from fogbank.cli.output import print_json, print_table
from fogbank.settings import describe


@click.command("settings", epilog=examples("fogbank settings", "fogbank settings --format json"))
@format_option
def command(format_: str) -> None:
    """List every setting with its default and description.

    A setting is given to `fogbank up` as an option: strict_projects is --strict-projects.
    """
    if format_ == "json":
        print_json([{"name": name, "default": default, "help": text} for name, default, text in describe()])
        return
    rows = [(name, _shown(default), text) for name, default, text in describe()]
    print_table(("NAME", "DEFAULT", "MEANING"), rows, "There are no settings.")


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)
