"""`fogbank trace`: the path that a packet must take by what is declared, and with a probe the one it took."""

from typing import Any

import click

from fogbank.cli.exits import Exit
from fogbank.cli.hops import draw
from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json, working
from fogbank.cli.regions import RegionNote, running


@click.command(
    "trace",
    epilog=examples(
        "fogbank trace run/production http://ifconfig.me",
        "fogbank trace run/production http://ifconfig.me --probe",
        "fogbank trace run/production http://10.124.0.3:6379 --format json",
    ),
)
@click.argument("source")
@click.argument("url")
@click.option("--probe", is_flag=True, help="Also send a real packet and compare.")
@name_option
@format_option
def command(source: str, url: str, probe: bool, name: str, format_: str) -> int:
    """Predict a packet's path, hop by hop, and probe it.

    SOURCE is a service (production, run/production or run/PROJECT/production; without PROJECT the region's
    own project comes first), one of its revisions (run/production/REVISION), an instance's id, a machine
    (compute/VM), a third party's host or internet. URL is a third party, an IPv4 address, compute/VM:PORT,
    redis/INSTANCE or sql/INSTANCE. With --probe the exit status is 4 when prediction and packet disagree; a
    packet without a free NAT port is reported and is not a disagreement.
    """
    region = running(name)
    answer = ask(region, source, url, probe=False)  # refuses what is wrong before a packet is promised
    if probe:
        with working("Sending a packet"):
            answer = ask(region, source, url, probe=True)
    if format_ == "json":
        print_json(answer)
    else:
        show(answer)
    return Exit.OK if agrees(answer) else Exit.DISAGREEMENT


def ask(region: RegionNote, source: str, url: str, *, probe: bool) -> dict[str, Any]:
    """Ask the region for the path from ``source`` to ``url``."""
    answer: dict[str, Any] = region.operator().post("/trace", {"source": source, "url": url, "probe": probe})
    return answer


def agrees(answer: dict[str, Any]) -> bool:
    """Return whether prediction and packet agree, as far as a packet was sent."""
    return not answer.get("differences")


def show(answer: dict[str, Any]) -> None:
    """Draw the path, one line a hop, and what the packet did."""
    for line in draw(answer):
        click.echo(line)
