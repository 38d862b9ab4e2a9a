"""Write the pages of the docs that are made from code: `make docs`. A test checks that they are current.

The command line's reference comes from click, the settings' from their declaration, the machine's from the
list of needs, the index of decisions from the heads of the records.
"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from fogbank.app.registry import services
from fogbank.cli.entry import root
from fogbank.cli.exits import MEANINGS
from fogbank.cli.needs import NEEDS
from fogbank.frontend.api.coverage import render_coverage
from fogbank.settings import describe

ROOT = Path(__file__).resolve().parent.parent
_NOTE = "<!-- Made by `make docs`; do not edit. -->\n\n"


def command_line() -> str:
    """Write the reference of every command, as `--help` prints it."""
    parts = [
        _NOTE,
        "# The command line\n\n",
        "`fogbank COMMAND --help` prints the same. Shell completion: `fogbank completion --help`.\n",
    ]
    top = click.Context(root, info_name="fogbank", terminal_width=100, **root.context_settings)
    parts += [f"\n## {c.command_path}\n\n```text\n{c.get_help().rstrip()}\n```\n" for c in walk(top)]
    parts.append("\n## Exit status\n\n| status | meaning |\n|---|---|\n")
    parts += [f"| {code.value} | {meaning} |\n" for code, meaning in MEANINGS.items()]
    parts.append("\n`fogbank exec` ends with the status of the command that it ran.\n")
    return "".join(parts)


def walk(context: click.Context) -> Iterator[click.Context]:
    """List a command and everything below it, in the order of help; each context knows its parents."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            below = context.command.get_command(context, name)
            if below is not None:
                yield from walk(
                    click.Context(below, parent=context, info_name=name, **below.context_settings)
                )


def settings() -> str:
    """Write the table of settings."""
    rows = [
        f"| `--{name.replace('_', '-')}` | `FOGBANK_{name.upper()}` | `{default}` | {text} |\n"
        for name, default, text in describe()
    ]
    return (
        _NOTE
        + "# Settings of a region\n\nGiven to `fogbank up` as options or in the environment.\n\n"
        + "| option | variable | default | meaning |\n|---|---|---|---|\n"
        + "".join(rows)
    )


def machine() -> str:
    """Write the table of what a machine needs."""
    rows = [f"| {n.package} | {n.brings} | {n.use} | {n.why} |\n" for n in NEEDS]
    return (
        _NOTE
        + "# What a machine needs\n\n"
        + "Linux 5.10 or newer, Python 3.11 or newer, and these Debian packages; `fogbank doctor` says\n"
        + "which are missing. Those for `run` are enough for a region; `make test` and `make bench` want\n"
        + "more.\n\n"
        + "| package | brings | for | because it |\n|---|---|---|---|\n"
        + "".join(rows)
    )


GROUPS = (
    "Store",
    "Front end",
    "Identity",
    "Services",
    "Lowering and paths",
    "Data plane",
    "Containers",
    "Control",
    "Command line and packaging",
    "Tests and conformance",
)
"""The groups of decision records, in the order of the index."""

UNGROUPED = "Without a group"


@dataclass(frozen=True, slots=True)
class Record:
    """A decision record's file, its title without the number, and the lines below the title."""

    path: Path
    title: str
    date: str
    status: str
    group: str


def decision_records() -> list[Record]:
    """Read the heads of all decision records, ordered by number."""
    return [read_record(path) for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))]


def read_record(path: Path) -> Record:
    """Read a title and the lines `Date:`, `Status:` and `Group:` below it, each of which may be missing."""
    title, *lines = path.read_text().splitlines()
    head = dict(line.split(": ", 1) for line in lines[:6] if ": " in line)
    return Record(
        path,
        title.lstrip("# 0123456789.:-"),
        head.get("Date", ""),
        head.get("Status", ""),
        head.get("Group", UNGROUPED),
    )


def decisions() -> str:
    """Write the index of the decision records, a table for each group."""
    records = decision_records()
    parts = [
        _NOTE,
        "# Decisions\n\n",
        "What was decided, why, and what it costs. When a decision changes, a new record says which one it\n",
        "replaces, and the old record's status names the new one.\n",
    ]
    for group in (*GROUPS, UNGROUPED):
        rows = [
            f"| [{r.path.name[:4]}]({r.path.name}) | {r.title} | {r.date} | {linked(r.status)} |\n"
            for r in records
            if r.group == group
        ]
        if rows:
            parts += [f"\n## {group}\n\n", "| | decision | date | status |\n|---|---|---|---|\n", *rows]
    return "".join(parts)


def linked(status: str) -> str:
    """Link the numbers of records in a status."""
    return re.sub(
        r"\b\d{4}\b",
        lambda number: next(
            (
                f"[{number[0]}]({r.path.name})"
                for r in decision_records()
                if r.path.name.startswith(number[0])
            ),
            number[0],
        ),
        status,
    )


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/coverage.md": lambda: _NOTE + render_coverage(services()),
    "docs/reference/cli.md": command_line,
    "docs/reference/settings.md": settings,
    "docs/reference/machine.md": machine,
    "docs/decisions/README.md": decisions,
}


def main() -> None:
    """Write every page that differs."""
    for name, write in PAGES.items():
        text = write()
        page = ROOT / name
        if not page.exists() or page.read_text() != text:
            page.write_text(text)
            print(f"wrote {name}", file=sys.stderr)


if __name__ == "__main__":
    main()
