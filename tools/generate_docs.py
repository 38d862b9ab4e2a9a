"""Write the pages of the docs that are made from code: `make docs`. A test checks that they are current.

The command line's reference comes from click, the settings' from their declaration, the machine's from the
list of needs, the index of decisions from the records' first lines.
"""

import sys
from collections.abc import Callable, Iterator
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


def decisions() -> str:
    """Write the index of the decision records."""
    rows = []
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        title = path.read_text().splitlines()[0].lstrip("# ").strip()
        rows.append(f"- [{path.stem.partition('-')[0]}]({path.name}) {title.lstrip('0123456789.:- ')}\n")
    return (
        _NOTE
        + "# Decisions\n\nWhat was decided, why, and what it costs. A record is not changed when a\n"
        + "decision is: the new record says which one it replaces.\n\n"
        + "".join(rows)
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
