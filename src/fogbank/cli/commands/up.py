"""`fogbank up`: start a region and say how to connect to it."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import click

from fogbank.cli.exits import Exit
from fogbank.cli.options import examples
from fogbank.cli.output import seconds, working
from fogbank.cli.regions import RegionNote
from fogbank.settings import Settings, describe


def setting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add one option for each setting, from where settings are declared."""
    for name, default, text in reversed(describe()):
        option = f"--{name.replace('_', '-')}"
        function = click.option(
            option,
            name,
            default=default,
            is_flag=isinstance(default, bool),
            type=click.IntRange(0, 65535)
            if isinstance(default, int) and not isinstance(default, bool)
            else None,
            envvar=f"FOGBANK_{name.upper()}",
            show_default=default != "" and not isinstance(default, bool),
            help=text,
        )(function)
    return function


@click.command(
    "up",
    epilog=examples(
        "fogbank up --detach",
        "fogbank up --detach --name ci-1 --port 0 --ephemeral    a temporary region next to others",
        "fogbank up                                              stay; Ctrl-C ends it",
    ),
)
@click.option("-d", "--detach", is_flag=True, help="Return when the region is ready.")
@setting_options
def command(detach: bool, **chosen: Any) -> int:
    """Start a region."""
    from fogbank.cli.starting import forget, start

    _check_as_of(chosen["as_of"])
    settings = Settings(**chosen)
    started = time.monotonic()
    with working(f"Starting region '{settings.name}'"):
        region, launched = start(settings, detach=detach, any_port=_is_default("port"))
    took = time.monotonic() - started
    if settings.port and region.port != settings.port:
        click.echo(f"Port {settings.port} is taken, so the proxy has a free one: {region.port}.", err=True)
    if detach:
        click.echo(greeting(region, took))
        return Exit.OK
    try:
        click.echo(f"{greeting(region, took)}\nCtrl-C ends it.")
        return launched.wait()
    except KeyboardInterrupt:
        launched.stop()
        return Exit.OK
    finally:
        forget(region)


def _check_as_of(text: str) -> None:
    """Refuse what is no date, or one whose rules are not known."""
    from fogbank.resources.direct_vpc import parse_as_of

    try:
        parse_as_of(text)
    except ValueError as error:
        raise click.BadParameter(f"{text}: {error}", param_hint="--as-of") from None


def _is_default(parameter: str) -> bool:
    """Return whether nobody chose ``parameter``, by an option or by a variable."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is click.core.ParameterSource.DEFAULT


def greeting(region: RegionNote, took: float) -> str:
    """Return what runs and how to connect."""
    settings = {f.name: region.note.get(f.name) for f in dataclasses.fields(Settings)}
    option = "" if region.name == Settings().name else f" --name {region.name}"
    return (
        f"Region '{region.name}' is ready after {seconds(took)}: project {settings['project']}, "
        f"{settings['region']}, proxy on 127.0.0.1:{region.port}.\n\n"
        f'  eval "$(fogbank env{option})"       point this shell at it (fish: … | source)\n'
        f"  fogbank exec{option} -- gcloud …    or run one command\n"
        f"  fogbank status{option}              see what it does\n"
        f"  fogbank down{option}                stop it"
    )
