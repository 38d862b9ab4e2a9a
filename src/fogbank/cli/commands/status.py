"""`fogbank status`: what is up, what is converging, and why it has not converged yet."""

from typing import Any

import click

from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import console, print_json, print_table, seconds
from fogbank.cli.regions import running


@click.command("status", epilog=examples("fogbank status", "fogbank status --format json | jq .converging"))
@name_option
@format_option
def command(name: str, format_: str) -> None:
    """Show what is up, what is converging and why."""
    region = running(name)
    # The region counts its processes from 1; here is the number that the host knows.
    status = region.operator().get("/status") | {"pid": region.pid}
    if format_ == "json":
        print_json(status)
    else:
        show(status)


_DRAWN = frozenset({"instances", "connectors", "operations", "converging", "unknownFields"})
"""The sections with a place of their own; those of other controllers follow them as plain tables."""


def show(status: dict[str, Any]) -> None:
    """Draw a region's status."""
    _headline(status)
    counts = {kind: number for kind, number in status["resources"].items() if number}
    if counts:
        print()
        print_table(("COLLECTION", "RESOURCES"), sorted(counts.items()), "")
    _section(status["instances"], "INSTANCE")
    _connectors(status["connectors"])
    for name, rows in _other_sections(status):
        _section(rows, name.upper())
    _section(status["operations"], "OPERATION")
    _converging(status["converging"])
    _unknown_fields(status["unknownFields"])


def _other_sections(status: dict[str, Any]) -> list[tuple[str, Any]]:
    """List the sections of controllers that have no table of their own here."""
    return [(name, rows) for name, rows in status.items() if isinstance(rows, list) and name not in _DRAWN]


def _headline(status: dict[str, Any]) -> None:
    from rich.text import Text

    ready = status["ready"] and not status["converging"]
    line = Text.assemble(
        ("● ", "green" if ready else "yellow"),
        (status["region"], "bold"),
        " is ready" if ready else " is converging" if status["ready"] else " is starting",
    )
    megabytes = status["memoryBytes"] / 2**20
    facts = [
        f"project {status['project']}",
        f"port {status['port']}",
        f"process {status['pid']}",
        f"up {seconds(status['uptimeSeconds'])}",
        f"{megabytes:.0f} MiB",
        f"{status['namespaces']} namespaces",
        f"version {status['appliedVersion']} of {status['worldVersion']} applied",
    ]
    screen = console()
    screen.print(line)
    screen.print("  " + " · ".join(facts), style="dim")


def _connectors(connectors: list[dict[str, Any]]) -> None:
    if not connectors:
        return
    print()
    rows = [
        (each["name"], f"{each['machines']} of {each['maximum']}", f"{each['megabitsPerSecond']:.1f}")
        for each in connectors
    ]
    print_table(("CONNECTOR", "MACHINES", "MBIT/S (1 MIN)"), rows, "")


def _converging(failures: list[dict[str, Any]]) -> None:
    """Draw one row for each resource: its first failure is mostly the cause of the others."""
    if not failures:
        return
    print()
    groups: dict[str, list[dict[str, Any]]] = {}
    for failure in failures:
        groups.setdefault(failure["resource"] or "the region itself", []).append(failure)
    rows = [
        (
            resource,
            found[0]["what"] + (f" (and {len(found) - 1} more)" if len(found) > 1 else ""),
            found[0]["why"],
            found[0]["attempts"],
            found[0]["since"],
        )
        for resource, found in groups.items()
    ]
    print_table(("CONVERGING", "WHAT", "WHY", "ATTEMPTS", "SINCE"), rows, "")


def _unknown_fields(fields: list[dict[str, Any]]) -> None:
    """Draw what requests carried and the API does not have: it was left out, and may have been a typo."""
    if fields:
        print()
        rows = [(each["method"], each["field"], each["times"]) for each in fields]
        print_table(("METHOD", "UNKNOWN FIELD, LEFT OUT", "TIMES"), rows, "")


def _section(rows: list[Any], heading: str) -> None:
    """Draw a list of objects as a table whose first column is ``heading``."""
    if not rows:
        return
    print()
    records = [row if isinstance(row, dict) else {"name": row} for row in rows]
    keys = list(dict.fromkeys(key for record in records for key in record))
    table = [[record.get(key) for key in keys] for record in records]
    print_table((heading, *(key.upper() for key in keys[1:])), table, "")
