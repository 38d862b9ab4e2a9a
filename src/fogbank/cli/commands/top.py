"""`fogbank top`: the busiest flows, the clients of Cloud NAT by port use, and dropped packets, live."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from fogbank.cli.commands.drops import MEANINGS
from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import console, print_json, print_table
from fogbank.cli.regions import RegionNote, running

if TYPE_CHECKING:
    from rich.console import RenderableType

Json = dict[str, Any]
Row = tuple[object, ...]

PAUSE_SECONDS = 1.0
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}
_CLIENTS = ("CLIENT", "ADDRESS", "NAT ADDRESS", "PORTS", "FLOWS", "BUSIEST ENDPOINT")
_FLOWS = ("NETWORK", "FROM", "TO", "TRANSLATED TO", "STATE", "SENT", "RECEIVED")
_DROPS = ("NAMESPACE", "REASON", "PACKETS", "LAST SECOND", "MEANING")


@click.command("top", epilog=examples("fogbank top", "fogbank top --once", "fogbank top --format json"))
@click.option("--once", is_flag=True, help="Print the present state and end.")
@name_option
@format_option
def command(once: bool, name: str, format_: str) -> None:
    """Show the busiest flows, who uses which NAT ports, and drops, live.

    Flows are the 20 that carried most bytes, of all networks; SENT and RECEIVED are the bytes so far.
    PORTS counts the flows to a client's busiest endpoint, which is what the allocation limits: one port
    serves many endpoints. On a terminal the tables follow until Ctrl-C.
    """
    region = running(name)
    if format_ == "json":
        print_json(_ask(region))
    elif once or not sys.stdout.isatty():
        now = _ask(region)
        print_table(_FLOWS, flows(now), "Nothing is connected.")
        print_table(_CLIENTS, clients(now), "No client of Cloud NAT is attached.")
        print_table(_DROPS, drops(now, {}), "No packet was dropped.")
    else:
        _follow(region)


def _ask(region: RegionNote) -> Json:
    answer: Json = region.operator().get("/top")
    return answer


def flows(now: Json) -> Iterator[Row]:
    """Give a row for each of the busiest flows."""
    for each in now["flows"]:
        protocol = _PROTOCOLS.get(each["protocol"], each["protocol"])
        outside = each["translatedTo"]
        yield (
            each["netns"].removeprefix("vpc/"),
            _socket(each["source"]),
            f"{_socket(each['destination'])}/{protocol}",
            _socket(outside) if outside else "",
            each["state"],
            each["sentBytes"],
            each["receivedBytes"],
        )


def _socket(end: Json) -> str:
    return f"{end['address']}:{end['port']}"


def clients(now: Json) -> Iterator[Row]:
    """Give a row for each client, the fullest first."""
    for each in now["clients"]:
        endpoint = each["busiestEndpoint"]
        told = ""
        if endpoint:
            protocol = _PROTOCOLS.get(endpoint["protocol"], endpoint["protocol"])
            told = f"{endpoint['address']}:{endpoint['port']}/{protocol}"
        yield (
            ", ".join(path.rpartition("/")[2] for path in each["resources"]) or each["netns"],
            each["client"],
            ", ".join(each["natAddresses"]),
            f"{each['portUsage']}/{each['allocatedPorts'] or 'all'}",
            each["openConnections"],
            told,
        )


def drops(now: Json, before: Mapping[tuple[str, str], int]) -> Iterator[Row]:
    """Give a row for each place and reason, with what came since ``before``."""
    for each in now["drops"]:
        more = each["packets"] - before.get((each["netns"], each["reason"]), each["packets"])
        meaning = MEANINGS.get(each["reason"], "a firewall rule")
        yield each["netns"], each["reason"], each["packets"], more, meaning


def _follow(region: RegionNote) -> None:
    from rich.live import Live

    before: dict[tuple[str, str], int] = {}
    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            now = _ask(region)
            live.update(_drawn(now, before), refresh=True)
            before = {(each["netns"], each["reason"]): each["packets"] for each in now["drops"]}
            time.sleep(PAUSE_SECONDS)


def _drawn(now: Json, before: Mapping[tuple[str, str], int]) -> "RenderableType":
    from rich.console import Group

    tables = ((_FLOWS, flows(now)), (_CLIENTS, clients(now)), (_DROPS, drops(now, before)))
    return Group(*(_table(headings, rows) for headings, rows in tables))


def _table(headings: Sequence[str], rows: Iterator[Row]) -> "RenderableType":
    from rich.table import Table

    table = Table(*headings, box=None, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(str, row))
    return table
