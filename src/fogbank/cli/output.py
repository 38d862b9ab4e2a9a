"""How commands speak: tables, JSON, progress. Colours and spinners only where a person looks.

rich is imported when something is drawn. A pipe gets plain text, as wide as it needs to be.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 200


def console(stream: TextIO | None = None) -> "Console":
    """Make a console on ``stream`` (standard output) that draws colours only on a terminal."""
    from rich.console import Console

    out = sys.stdout if stream is None else stream
    return Console(
        file=out,
        highlight=False,
        emoji=False,
        markup=False,
        soft_wrap=not out.isatty(),
        width=None if out.isatty() else _PIPE_WIDTH,
    )


def print_json(value: object, *, line: bool = False) -> None:
    """Print ``value`` for a program; on one line when more will follow."""
    print(json.dumps(value, ensure_ascii=False, indent=None if line else 2), flush=line)


def camel_case(name: str) -> str:
    """Write ``memory_limit`` as ``memoryLimit``, as all JSON of the command line has it."""
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)


def print_entries(entries: Iterable[object], *, follow: bool) -> None:
    """Print a list for a program: one array, or one line each as they come when it never ends."""
    if not follow:
        print_json(list(entries))
        return
    for entry in entries:
        print_json(entry, line=True)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print rows under ``headings`` as gcloud does, or the sentence ``empty`` when there are none."""
    written = [[_cell(cell) for cell in row] for row in rows]
    if not written:
        print(empty, file=sys.stderr)
        return
    widths = [max(len(cell) for cell in column) for column in zip(headings, *written, strict=True)]
    bold, plain = ("\x1b[1m", "\x1b[0m") if colours() else ("", "")
    print(bold + _line(headings, widths) + plain)
    for row in written:
        print(_line(row, widths))


def colours() -> bool:
    """Return whether standard output is a terminal that wants colours (https://no-color.org)."""
    import os

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextmanager
def working(sentence: str) -> Iterator[None]:
    """Show that something is going on while the body runs: a spinner, or one line where nobody looks."""
    if not sys.stderr.isatty():
        print(f"{sentence} …", file=sys.stderr, flush=True)
        yield
        return
    with console(sys.stderr).status(f"{sentence} …"):
        yield


def seconds(value: float) -> str:
    """Write a duration as a person reads it: ``850 ms``, ``12.3 s``, ``4 min``, ``3 h 05 min``."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    if value < 3600:
        return f"{value / 60:.0f} min"
    return f"{value // 3600:.0f} h {value % 3600 / 60:02.0f} min"


def _cell(value: object) -> str:
    if value is None or value in ([], ()):
        return "-"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
