"""`fogbank down`: ask the region to end; when it does, the kernel has removed everything it made."""

import click

from fogbank.cli.exits import NotRunningError
from fogbank.cli.options import examples, name_option
from fogbank.cli.output import working
from fogbank.cli.regions import state_folders, there


@click.command("down", epilog=examples("fogbank down", "fogbank down --name ci-1 --delete-state"))
@name_option
@click.option("--delete-state", is_flag=True, help="Also delete everything: resources, keys, images.")
def command(name: str, delete_state: bool) -> None:
    """Stop a region; its state is kept for the next start."""
    from fogbank.cli.starting import delete_folder, stop

    try:
        region = there(name)
    except NotRunningError:
        places = state_folders(name)
        if not places.root.is_dir() or not any(places.root.iterdir()):  # a start that failed leaves it empty
            raise
        if not delete_state:
            click.echo(f"The state of '{name}' is in {places.root}; --delete-state deletes it.", err=True)
            raise
        delete_folder(places)
        click.echo(f"Region '{name}' was not running. Its state is deleted.")
        return
    with working(f"Stopping region '{name}'"):
        stop(region)
    kept = not region.note.get("ephemeral")
    if delete_state and kept:
        delete_folder(region.folders)
        kept = False
    click.echo(f"Region '{name}' is down." + (f" Its state is in {region.folders.root}." if kept else ""))
