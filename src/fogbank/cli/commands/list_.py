"""`fogbank list`: the regions that are there, also those that do not answer."""

import click

from fogbank.cli.options import examples, format_option
from fogbank.cli.output import camel_case, print_json, print_table
from fogbank.cli.regions import all_there, answers


@click.command("list", epilog=examples("fogbank list", "fogbank list --format json"))
@format_option
def command(format_: str) -> None:
    """List the regions that are running."""
    found = all_there()
    if format_ == "json":
        print_json(
            [
                {
                    "name": region.name,
                    "folder": str(region.folders.root),
                    "answers": answers(region.folders.socket),
                    **{camel_case(key): value for key, value in region.note.items()},
                }
                for region in found
            ]
        )
        return
    rows = [
        (
            region.name,
            region.port,
            region.pid,
            region.note.get("project"),
            "up" if answers(region.folders.socket) else "does not answer",
            region.folders.root,
        )
        for region in found
    ]
    print_table(("NAME", "PORT", "PID", "PROJECT", "STATE", "FOLDER"), rows, "No region is running.")
