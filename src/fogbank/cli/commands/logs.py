"""`fogbank logs`: what containers wrote, as it came."""

import click

from fogbank.cli.options import examples, follow_option, format_option, name_option
from fogbank.cli.output import print_entries
from fogbank.cli.regions import running

_COLOURS = {"ERROR": "red", "WARNING": "yellow", "CRITICAL": "red"}


@click.command("logs", epilog=examples("fogbank logs", "fogbank logs production -f"))
@click.argument("resource", required=False)
@follow_option
@name_option
@format_option
def command(resource: str | None, follow: bool, name: str, format_: str) -> None:
    """Show what containers wrote.

    RESOURCE is a service (production or run/production), one of its instances, or connector/NAME, whose log
    says when it scaled out. Without RESOURCE, all logs.
    """
    entries = running(name).operator().follow("/logs", forever=follow, resource=resource)
    if format_ == "json":
        print_entries(entries, follow=follow)
        return
    for entry in entries:
        colour = _COLOURS.get(str(entry.get("severity", "")))
        click.echo(f"{entry['time']}  {entry['resource']}  " + click.style(entry["text"], fg=colour))
