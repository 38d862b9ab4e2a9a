"""`fogbank down`: ask the region to end; when it does, the kernel has removed everything it made."""

import shutil
import time

import click

from fogbank.cli.options import examples, name_option
from fogbank.cli.output import working
from fogbank.cli.regions import Running, alive, running
from fogbank.errors import OperatorError

_PATIENCE = 15.0


@click.command("down", epilog=examples("fogbank down", "fogbank down --name ci-1 --delete-state"))
@name_option
@click.option("--delete-state", is_flag=True, help="Also forget everything: resources, keys, images.")
def command(name: str, delete_state: bool) -> None:
    """Stop a region; its state stays for the next start."""
    region = running(name)
    stop(region)
    if delete_state:
        shutil.rmtree(region.folders.root, ignore_errors=False)
    kept = "" if delete_state or region.note.get("ephemeral") else f" Its state is in {region.folders.root}."
    click.echo(f"Region '{name}' is down.{kept}")


def stop(region: Running) -> None:
    """Stop ``region`` and wait until its processes are gone."""
    with working(f"Stopping region '{region.name}'"):
        region.operator().post("/down", {})
        deadline = time.monotonic() + _PATIENCE
        while alive(region.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
    if alive(region.pid):
        raise OperatorError(
            f"Region '{region.name}' has not ended after {_PATIENCE:.0f} s. End it: kill -9 {region.pid} "
            "(everything it made goes with it)."
        )
