"""Options that many commands share, each written once."""

from collections.abc import Callable
from typing import TypeVar

import click

from fogbank.settings import Settings

Function = TypeVar("Function", bound=Callable[..., object])

_DEFAULT_NAME = Settings().name


def name_option(function: Function) -> Function:
    """Add ``--name``: which region; the default is FOGBANK_NAME, else ``default``."""
    return click.option(
        "--name",
        envvar="FOGBANK_NAME",
        show_envvar=True,
        default=_DEFAULT_NAME,
        show_default=True,
        metavar="NAME",
        help="The region's name.",
    )(function)


def format_option(function: Function) -> Function:
    """Add ``--format text|json`` as ``format_``."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="json is for programs: the whole answer as one document (one per line when it follows).",
    )(function)


def follow_option(function: Function) -> Function:
    """Add ``-f/--follow``."""
    return click.option("-f", "--follow", is_flag=True, help="Continue until Ctrl-C.")(function)


def examples(*lines: str) -> str:
    """Write a command's epilog."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
