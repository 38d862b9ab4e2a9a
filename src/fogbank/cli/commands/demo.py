"""`fogbank demo`: an article from an empty region to its claim, seen from outside; then everything down."""

import importlib
import os
import time
from types import ModuleType

import click

from fogbank.cli.exits import Exit
from fogbank.cli.options import examples
from fogbank.cli.output import seconds
from fogbank.settings import Settings

_ARTICLES = ("000", "001", "002", "003")


@click.command(
    "demo",
    epilog=examples(
        "fogbank demo",
        "fogbank demo --article 001",
        "fogbank demo --keep    leave the region up to look around",
    ),
)
@click.option("--article", type=click.Choice(_ARTICLES), default="000", show_default=True, help="Which one.")
@click.option("--keep", is_flag=True, help="Leave the region up at the end.")
def command(article: str, keep: bool) -> int:
    """Run an article and show that its claim holds.

    000: a third party sees Cloud Run's reserved address. 001: Redis by a connector, then by Direct VPC
    egress. 002: private machines behind Cloud NAT. 003: a service under load moves to Direct VPC egress
    without a failed request.

    It starts a temporary region of its own, so others are not affected. The exit status is 4 when what
    was seen is not what the article claims.
    """
    from fogbank.cli.demo.stage import Stage, say, timed, title
    from fogbank.cli.demo.steps import Place
    from fogbank.cli.starting import forget, start
    from fogbank.frontend.client_environment import applied

    begun = time.monotonic()
    story: ModuleType = importlib.import_module(f"fogbank.cli.demo.article_{article}")
    title(story.TITLE)
    settings = Settings(name=f"demo-{os.getpid()}", port=0, ephemeral=True)
    say(f"fogbank up --detach --name {settings.name} --port 0 --ephemeral")
    with timed():
        region, launched = start(settings, detach=keep, quiet=True)
    try:
        place = Place(settings.project, settings.region)
        environment = applied(region.environment(), os.environ)
        agreed = bool(story.tell(Stage(region, place, environment)))
        click.echo(f"\nAll of it took {seconds(time.monotonic() - begun)}.")
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            say(f"fogbank down --name {settings.name}")
            launched.stop()
            forget(region)
    if keep:
        click.echo(f"Region '{settings.name}' is still up: eval \"$(fogbank env --name {settings.name})\"")
    return Exit.OK if agreed else Exit.DISAGREEMENT
