"""What every demo does and shows: steps by whichever client there is, curl, third parties, traces."""

import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from fogbank.cli.demo.callers import Gcloud, best_caller
from fogbank.cli.demo.steps import Place, Step
from fogbank.cli.output import colours, seconds
from fogbank.cli.regions import RegionNote
from fogbank.dataplane.linux.images.debian_roots import DebianRoots
from fogbank.resources.server_images import ServerImage
from fogbank.settings import cache_home


class Stage:
    """One region, the client that acts on it, and the terminal."""

    def __init__(self, note: RegionNote, place: Place, environment: Mapping[str, str]) -> None:
        self.note, self.place, self.environment = note, place, environment
        self._caller = best_caller(environment, place.region)
        click.echo(f"The client is {self._caller.name}.")

    @property
    def typed(self) -> bool:
        """Whether the client is gcloud, so that commands are run as typed."""
        return isinstance(self._caller, Gcloud)

    def title(self, text: str) -> None:
        """Begin a chapter."""
        title(text)

    def do(self, step: Step) -> None:
        """Run one step; OperatorError when it fails."""
        title(step.title)
        if self.typed:
            say("gcloud " + shlex.join(step.command))
        else:
            click.echo("in place of: gcloud " + shlex.join(step.command))
            for request in step.requests:
                click.echo(f"calling {request.method}")
        with timed():
            self._caller.do(step)

    def read(self, step: Step) -> str:
        """Ask one question and return its answer."""
        return self._caller.read(step)

    def curl(self, url: str) -> str:
        """Fetch ``url`` and show what comes."""
        say(f'curl "{url}"')
        with timed():
            text = self.fetch(url)
            click.echo(text)
        return text

    def fetch(self, url: str) -> str:
        """Fetch ``url`` with curl, or with what Python has."""
        program = shutil.which("curl")
        if program is None:
            from fogbank.cli.demo.plain import Https

            return Https(self.environment).fetch(url)
        done = subprocess.run(  # noqa: S603
            [program, "-sS", url], env=dict(self.environment), check=False, capture_output=True, text=True
        )
        return done.stdout + done.stderr

    def seen_by(self, host: str, last: int = 20) -> set[str]:
        """Show the ``last`` lines of a third party's record; return whom it ever saw."""
        from fogbank.cli.commands.internet import print_log, site_requests

        title("Read the third party's own record")
        say(f"fogbank internet log {host} | tail -{last}")
        entries = list(site_requests(self.note, host))
        print_log(entries[-last:])
        return {str(entry["sourceIp"]) for entry in entries}

    def trace(self, source: str, url: str) -> bool:
        """Show the predicted path beside a real packet's; return whether they agree."""
        return self.traced(source, url)[0]

    def traced(self, source: str, url: str) -> tuple[bool, str | None]:
        """Do as :meth:`trace`, and also return the source address with which the packet arrived."""
        from fogbank.cli.commands.trace import agrees, ask, show

        title("Compare the predicted path with a real packet, hop by hop")
        say(f"fogbank trace {source} {url} --probe")
        with timed():
            answer = ask(self.note, source, url, probe=True)
            show(answer)
        seen = {each["source"].partition(":")[0] for each in answer["observed"]["sightings"]}
        return agrees(answer), next((each for each in answer["predicted"]["sources"] if each in seen), None)

    def reserved_alone(self, host: str, reserved: str, seen: set[str]) -> bool:
        """Say whether a third party saw the reserved address and no other."""
        what = ", ".join(sorted(seen)) or "nobody"
        return self.verdict(
            f"{host} saw {reserved}, and nothing else. It is the address that was reserved.",
            f"{host} saw {what}; reserved was {reserved}.",
            holds=seen == {reserved},
        )

    def verdict(self, good: str, bad: str, *, holds: bool) -> bool:
        """Print how it ended."""
        mark, line, colour = ("✓", good, "green") if holds else ("✗", bad, "red")
        click.echo("\n" + click.style(f"{mark} {line}", fg=colour, bold=True))
        return holds


def fetch_server(stage: Stage, image: ServerImage) -> None:
    """Have what a server is made of in the user's cache."""
    stage.title(f"Fetch {image.name} from Debian, once")
    say(f"fogbank images fetch {image.name}")
    with timed():
        DebianRoots(cache_home() / "debian").fetch(image, click.echo)


def title(text: str) -> None:
    """Begin a chapter."""
    click.echo("\n" + click.style(text, bold=True))


def say(command_line: str) -> None:
    """Show a command that is about to run."""
    click.echo(click.style("$ ", fg="cyan") + command_line)


@contextmanager
def timed() -> Iterator[None]:
    """Show how long the block took."""
    started = time.monotonic()
    yield
    took = f"({seconds(time.monotonic() - started)})"
    click.echo(click.style(took, dim=True) if colours() else took)
