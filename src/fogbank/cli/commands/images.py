"""`fogbank images`: what the region's registry holds."""

import click

from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json, print_table
from fogbank.cli.regions import running


@click.group("images", epilog=examples("fogbank images list"))
def command() -> None:
    """Show the images of a region's registry."""


@command.command("list", epilog=examples("fogbank images list --format json"))
@name_option
@format_option
def list_(name: str, format_: str) -> None:
    """List the images that can be deployed."""
    images = running(name).operator().get("/images")["images"]
    if format_ == "json":
        print_json(images)
        return
    headings = tuple(dict.fromkeys(key for image in images for key in image))
    rows = [[image.get(key) for key in headings] for image in images]
    print_table([heading.upper() for heading in headings], rows, "The registry is empty.")
