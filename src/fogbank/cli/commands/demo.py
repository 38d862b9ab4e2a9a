"""`fogbank demo`: article 000 from an empty region to the third party's own record, then everything down."""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from fogbank.cli.exits import Exit
from fogbank.cli.options import examples
from fogbank.cli.output import colours, seconds
from fogbank.cli.regions import RegionNote
from fogbank.settings import Settings

if TYPE_CHECKING:
    from fogbank.cli.demo.steps import Step

_SITE = "ifconfig.me"


@click.command(
    "demo", epilog=examples("fogbank demo", "fogbank demo --keep    leave the region up to look around")
)
@click.option("--keep", is_flag=True, help="Leave the region up at the end.")
def command(keep: bool) -> int:
    """Run article 000 and show what the third party saw.

    It starts a temporary region of its own, so others are not affected. The exit status is 4 when
    the third party saw another address than the reserved one.
    """
    from fogbank.cli.starting import forget, start
    from fogbank.frontend.client_environment import applied

    begun = time.monotonic()
    _title("Article 000: Cloud Run with a static outbound address")
    settings = Settings(name=f"demo-{os.getpid()}", port=0, ephemeral=True)
    _say(f"fogbank up --detach --name {settings.name} --port 0 --ephemeral")
    with _timed():
        region, launched = start(settings, detach=keep, quiet=True)
    try:
        environment = applied(region.environment(), os.environ)
        agreed = Story(region, settings, environment).tell()
        click.echo(f"\nAll of it took {seconds(time.monotonic() - begun)}.")
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            _say(f"fogbank down --name {settings.name}")
            launched.stop()
            forget(region)
    if keep:
        click.echo(f"Region '{settings.name}' is still up: eval \"$(fogbank env --name {settings.name})\"")
    return Exit.OK if agreed else Exit.DISAGREEMENT


class Story:
    """The demo's chapters, on one region."""

    def __init__(self, region: RegionNote, settings: Settings, environment: Mapping[str, str]) -> None:
        self._region, self._settings, self._environment = region, settings, environment

    def tell(self) -> bool:
        """Run every chapter; tell whether third party, prediction and packet agree with the reservation."""
        from fogbank.cli.demo import steps
        from fogbank.cli.demo.callers import Gcloud, best_caller

        place = (self._settings.project, self._settings.region)
        caller = best_caller(self._environment, self._settings.region)
        click.echo(f"The client is {caller.name}.")
        for step in steps.article(*place):
            _title(step.title)
            _announce(step, typed=isinstance(caller, Gcloud))
            with _timed():
                caller.do(step)
        reserved = caller.read(steps.read_address(*place))
        url = caller.read(steps.read_url(*place))
        _title("Ask the service to fetch a page of a third party")
        self._curl(f"{url}/egress?url=http://{_SITE}")
        seen = self._seen_addresses()
        traced = self._trace(f"run/{steps.SERVICE}", f"http://{_SITE}")
        return _verdict(reserved, seen) and traced

    def _curl(self, url: str) -> None:
        _say(f'curl "{url}"')
        program = shutil.which("curl")
        with _timed():
            if program:
                subprocess.run([program, "-sS", url], env=dict(self._environment), check=False)  # noqa: S603
            else:
                from fogbank.cli.demo.plain import Https

                click.echo(Https(self._environment).fetch(url))

    def _seen_addresses(self) -> set[str]:
        from fogbank.cli.commands.internet import print_log, site_requests

        _title("Read the third party's own record")
        _say(f"fogbank internet log {_SITE}")
        entries = list(site_requests(self._region, _SITE))
        print_log(entries)
        return {str(entry["sourceIp"]) for entry in entries}

    def _trace(self, source: str, url: str) -> bool:
        from fogbank.cli.commands.trace import agrees, ask, show

        _title("Compare the predicted path with a real packet, hop by hop")
        _say(f"fogbank trace {source} {url} --probe")
        with _timed():
            answer = ask(self._region, source, url, probe=True)
            show(answer)
        return agrees(answer)


def _verdict(reserved: str, seen: set[str]) -> bool:
    click.echo()
    if seen == {reserved}:
        line = f"{_SITE} saw {reserved}, and nothing else. It is the address that was reserved."
        click.echo(click.style(f"✓ {line}", fg="green", bold=True))
        return True
    what = ", ".join(sorted(seen)) or "nobody"
    click.echo(click.style(f"✗ {_SITE} saw {what}; reserved was {reserved}.", fg="red", bold=True))
    return False


def _title(text: str) -> None:
    click.echo("\n" + click.style(text, bold=True))


def _say(command_line: str) -> None:
    click.echo(click.style("$ ", fg="cyan") + command_line)


def _announce(step: "Step", *, typed: bool) -> None:
    """Show the command that is about to run, or which requests are sent in its place."""
    if typed:
        _say("gcloud " + shlex.join(step.command))
        return
    click.echo("in place of: gcloud " + shlex.join(step.command))
    for request in step.requests:
        click.echo(f"calling {request.method}")


@contextmanager
def _timed() -> Iterator[None]:
    started = time.monotonic()
    yield
    took = f"({seconds(time.monotonic() - started)})"
    click.echo(click.style(took, dim=True) if colours() else took)
