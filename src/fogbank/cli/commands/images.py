"""`fogbank images`: what the region's registry holds, and what servers of managed services are made of."""

import shutil
import uuid
from typing import IO

import click

from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json, print_table
from fogbank.cli.regions import running
from fogbank.dataplane.linux.images.debian_roots import DebianRoots
from fogbank.dataplane.linux.kubernetes.build import Kubernetes
from fogbank.errors import DriverError, OperatorError
from fogbank.resources.server_images import KUBERNETES_VERSION, SERVER_IMAGES
from fogbank.settings import cache_home


@click.group("images", epilog=examples("fogbank images list", "fogbank images fetch"))
def command() -> None:
    """Show and load a region's images, and fetch servers."""


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


@command.command(
    "load",
    epilog=examples("docker save flask:test | fogbank images load", "fogbank images load --input flask.tar"),
)
@click.option(
    "--input",
    "file",
    type=click.File("rb"),
    default="-",
    show_default="standard input",
    help="An archive of docker save, podman save, or of skopeo as docker-archive or oci-archive.",
)
@name_option
def load(file: IO[bytes], name: str) -> None:
    """Load images that were saved, under the names that they were saved with.

    They can be deployed by these names, without a repository.
    """
    region = running(name)
    archive = region.folders.registry / "uploads" / f"load-{uuid.uuid4()}"
    try:
        with archive.open("xb") as copy:
            shutil.copyfileobj(file, copy, 1024 * 1024)
        loaded = region.operator(patience=600).post("/images", {"archive": archive.name})["images"]
    finally:
        archive.unlink(missing_ok=True)
    for image in loaded:
        click.echo(f"Loaded {image['image']} ({image['digest']}).")


_KUBERNETES = "kubernetes"


@command.command(
    "fetch",
    epilog=examples(
        "fogbank images fetch", "fogbank images fetch redis --again", "fogbank images fetch kubernetes"
    ),
)
@click.argument("servers", nargs=-1, type=click.Choice([*(each.name for each in SERVER_IMAGES), _KUBERNETES]))
@click.option("--again", is_flag=True, help="Also what is there already: for newer packages.")
def fetch(servers: tuple[str, ...], *, again: bool) -> None:
    """Fetch SERVERS of managed services (default: all but kubernetes) with this machine's apt.

    Their Debian packages are laid out in the cache; nothing is installed on this machine and no root is
    needed. A region that runs takes them when they are wanted next. Kubernetes, for clusters of GKE, is built
    from its Go modules: that takes Go and, once, some minutes.
    """
    roots = DebianRoots(cache_home() / "debian")
    for image in SERVER_IMAGES:
        if servers and image.name not in servers:
            continue
        try:
            found = roots.fetch(image, _tell, again=again)
        except DriverError as error:
            raise OperatorError(
                f"the {image.name} server cannot be fetched: {error}. "
                "`apt-get update` shows whether this machine reaches its Debian registry."
            ) from error
        versions = " ".join(f"{name} {found.versions[name]}" for name in image.packages)
        click.echo(f"{image.name}: {versions}, {len(found.versions)} packages, {found.size / 1e6:.0f} MB")
    if _KUBERNETES in servers:
        _build_kubernetes(again=again)


def _build_kubernetes(*, again: bool) -> None:
    try:
        built = Kubernetes(cache_home() / "kubernetes").build(_tell, again=again)
    except DriverError as error:
        raise OperatorError(
            f"Kubernetes cannot be built: {error}\n`go env GOPROXY` says where Go looks for modules."
        ) from error
    click.echo(f"kubernetes: {KUBERNETES_VERSION}, {built.size / 1e6:.0f} MB")


def _tell(line: str) -> None:
    click.echo(line, err=True)
