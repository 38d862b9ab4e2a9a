"""`fogbank doctor`: what this machine has, what it lacks, and how to get it."""

import click

from fogbank.cli.checks import machine
from fogbank.cli.exits import Exit
from fogbank.cli.options import examples, format_option
from fogbank.cli.output import print_json


@click.command("doctor", epilog=examples("fogbank doctor", "fogbank doctor --format json"))
@format_option
def command(format_: str) -> int:
    """Check this machine and say how to get what is missing.

    The exit status is 1 when something is missing that a region needs.
    """
    found = machine()
    lacking = [check for check in found if check.required and not check.good]
    if format_ == "json":
        fields = ("what", "found", "good", "required", "remedy")
        print_json([{field: getattr(check, field) for field in fields} for check in found])
        return Exit.FAILURE if lacking else Exit.OK
    width = max(len(check.what) for check in found)
    for check in found:
        mark, colour = ("✓", "green") if check.good else ("✗", "red") if check.required else ("-", "yellow")
        click.echo(f"{click.style(mark, fg=colour)} {check.what:<{width}} {check.found}")
        if not check.good:
            click.echo(f"  {check.remedy}")
    click.echo("This machine lacks something." if lacking else "This machine can run regions.")
    return Exit.FAILURE if lacking else Exit.OK
