"""`fogbank internet`: the third parties on the other side of the region, and what each of them saw."""

from collections.abc import Iterable
from typing import Any

import click

from fogbank.cli.options import examples, follow_option, format_option, name_option
from fogbank.cli.output import print_entries, print_json, print_table
from fogbank.cli.regions import RegionNote, running

_LOG = ("time", "sourceIp", "sourcePort", "host", "method", "path", "status")
_LOG_LINE = "{:<27}  {:<21}  {:<28}  {:<6}  {:<6}  {}"


@click.group(
    "internet",
    epilog=examples(
        "fogbank internet list",
        "fogbank internet add partner.example.com --allow 203.0.113.10/32 --port 8443",
        "fogbank internet log ifconfig.me -f",
        "fogbank internet remove partner.example.com",
    ),
)
def command() -> None:
    """Add third parties and read what they saw."""


@command.command(
    "add", epilog=examples("fogbank internet add sms.example.com --allow 203.0.113.2/32 --port 8443")
)
@click.argument("host")
@click.option(
    "--allow", multiple=True, metavar="CIDR", help="Admit only this range (repeatable); others get 403."
)
@click.option(
    "--port",
    "ports",
    multiple=True,
    type=click.IntRange(1, 65535),
    help="Listen here too, TCP and UDP (repeatable).",
)
@name_option
@format_option
def add(host: str, allow: tuple[str, ...], ports: tuple[int, ...], name: str, format_: str) -> None:
    """Add a third party; it listens on 80, 443 and each --port."""
    body = {"host": host, "ports": list(ports), **({"allow": list(allow)} if allow else {})}
    site = running(name).operator().post("/internet/sites", body)
    if format_ == "json":
        print_json(site)
    else:
        click.echo(
            f"{site['host']} is at {site['address']}; read what it sees: fogbank internet log {site['host']}"
        )


@command.command("list", epilog=examples("fogbank internet list --format json"))
@name_option
@format_option
def list_(name: str, format_: str) -> None:
    """List the third parties."""
    sites: list[dict[str, Any]] = running(name).operator().get("/internet/sites")["sites"]
    if format_ == "json":
        print_json(sites)
        return
    rows = [
        (site["host"], site["address"], site.get("ports"), site.get("allow") or "everybody") for site in sites
    ]
    print_table(("HOST", "ADDRESS", "PORTS", "ALLOWS"), rows, "There are no third parties.")


@command.command("remove", epilog=examples("fogbank internet remove sms.example.com"))
@click.argument("host")
@name_option
def remove(host: str, name: str) -> None:
    """Remove a third party."""
    from urllib.parse import quote

    running(name).operator().delete(f"/internet/sites/{quote(host, safe='')}")
    click.echo(f"{host} is gone.")


@command.command(
    "log",
    epilog=examples(
        "fogbank internet log ifconfig.me", "fogbank internet log -f --format json | jq .sourceIp"
    ),
)
@click.argument("host", required=False)
@follow_option
@name_option
@format_option
def log(host: str | None, follow: bool, name: str, format_: str) -> None:
    """Print what third parties saw: all of them, or HOST."""
    entries = site_requests(running(name), host, follow=follow)
    if format_ == "json":
        shown = ({key: entry[key] for key in _LOG if key in entry} for entry in entries)
        print_entries(shown, follow=follow)
    else:
        print_log(entries)


def site_requests(region: RegionNote, host: str | None, *, follow: bool = False) -> Iterable[dict[str, Any]]:
    """Read what third parties saw, oldest first; with ``follow`` it never ends."""
    return region.operator().follow("/internet/log", forever=follow, host=host)


def print_log(entries: Iterable[dict[str, Any]]) -> None:
    """Print log entries as they come."""
    heading = _LOG_LINE.format("TIME", "SOURCE", "HOST", "METHOD", "STATUS", "PATH")
    for entry in entries:
        if heading:
            click.echo(heading)
            heading = ""
        source = f"{entry['sourceIp']}:{entry['sourcePort']}"
        row = _LOG_LINE.format(
            entry["time"], source, entry["host"], entry["method"], entry["status"], entry["path"]
        )
        click.echo(row)
