"""`fogbank run integrations`: what `gcloud beta run integrations` did until Google ended it in 2024.

gcloud's commands still exist and only say that they are no longer supported; articles of their time use them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json, print_table
from fogbank.cli.regions import running

if TYPE_CHECKING:
    from fogbank.cli.integrations.redis import RedisIntegrations

Function = TypeVar("Function", bound=Callable[..., object])

_ABOUT = "Configure a Redis instance (Cloud Memorystore) and connect it to a Cloud Run Service."
_PARAMETER = ("memory-size-gb", "optional", "Memory capacity of the Redis instance.")


@click.group("run", epilog=examples("fogbank run integrations list"))
def command() -> None:
    """Connect services to Redis as gcloud's integrations did."""


@command.group("integrations", epilog=examples("fogbank run integrations list"))
def integrations() -> None:
    """Make, list and delete integrations of services."""


def _place(function: Function) -> Function:
    return click.option(
        "--region", "place", metavar="REGION", help="Google's region; default: the usual one."
    )(function)


@integrations.command(
    "create",
    epilog=examples(
        "fogbank run integrations create --type=redis --service=web --parameters=memory-size-gb=1"
    ),
)
@click.argument("integration", required=False, default="", metavar="[NAME]")
@click.option("--type", "type_", required=True, type=click.Choice(["redis"]), help="What to connect to.")
@click.option("--service", required=True, metavar="SERVICE", help="The Cloud Run service.")
@click.option("--parameters", default="", metavar="KEY=VALUE,…", help="memory-size-gb of the instance.")
@click.option("--service-account", default="", metavar="EMAIL", help="Act as this service account.")
@_place
@name_option
def create(
    *,
    integration: str,
    type_: str,
    service: str,
    parameters: str,
    service_account: str,
    place: str,
    name: str,
) -> None:
    """Make a Redis instance and deploy SERVICE with its address in REDISHOST and REDISPORT."""
    from fogbank.cli.integrations.redis import memory_size

    size = memory_size(_pairs(parameters))
    made = _of(name, place, service_account).create(service, size, integration)
    click.echo(f"[{type_}] integration [{made}] has been created successfully.")
    click.echo(
        f"\nTo connect to the Redis instance, use the environment variables REDISHOST and REDISPORT, which "
        f"have been added to the Cloud Run Service [{service}]."
    )


@integrations.command(
    "update", epilog=examples("fogbank run integrations update redis-1a2b3c --parameters=memory-size-gb=2")
)
@click.argument("integration", metavar="NAME")
@click.option("--parameters", required=True, metavar="KEY=VALUE,…", help="memory-size-gb of the instance.")
@_place
@name_option
def update(integration: str, parameters: str, place: str, name: str) -> None:
    """Change the size of an integration's instance."""
    from fogbank.cli.integrations.redis import memory_size

    _of(name, place).update(integration, memory_size(_pairs(parameters)))
    click.echo(f"[redis] integration [{integration}] has been updated successfully.")


@integrations.command("list", epilog=examples("fogbank run integrations list --format json"))
@_place
@name_option
@format_option
def list_(place: str, name: str, format_: str) -> None:
    """List integrations and their services."""
    found = _of(name, place).list()
    if format_ == "json":
        print_json(found)
        return
    rows = [[each[key] for key in ("name", "type", "region", "service")] for each in found]
    print_table(["INTEGRATION", "TYPE", "REGION", "SERVICE"], rows, "Listed 0 items.")


@integrations.command("describe", epilog=examples("fogbank run integrations describe redis-1a2b3c"))
@click.argument("integration", metavar="NAME")
@_place
@name_option
@format_option
def describe(integration: str, place: str, name: str, format_: str) -> None:
    """Show one integration."""
    found = _of(name, place).describe(integration)
    if format_ == "json":
        print_json(found)
        return
    for key, value in found.items():
        click.echo(f"{key}: {value}")


@integrations.command("delete", epilog=examples("fogbank run integrations delete redis-1a2b3c"))
@click.argument("integration", metavar="NAME")
@_place
@name_option
def delete(integration: str, place: str, name: str) -> None:
    """Delete an integration: its instance, and what its service had of it."""
    _of(name, place).delete(integration)
    click.echo(f"[redis] integration [{integration}] has been deleted successfully.")


@integrations.group("types", epilog=examples("fogbank run integrations types list"))
def types() -> None:
    """Show what services can be connected to."""


@types.command("list", epilog=examples("fogbank run integrations types list"))
@format_option
def types_list(format_: str) -> None:
    """List the types of integrations."""
    if format_ == "json":
        print_json([{"type": "redis", "description": _ABOUT}])
        return
    print_table(["TYPE", "DESCRIPTION"], [["redis", _ABOUT]], "")


@types.command("describe", epilog=examples("fogbank run integrations types describe redis"))
@click.argument("type_", metavar="TYPE", type=click.Choice(["redis"]))
def types_describe(type_: str) -> None:
    """Describe a type and its parameters."""
    key, needed, about = _PARAMETER
    click.echo(f"{_ABOUT}\n\nParameters:\n  {key} [{needed}]:\n    {about}\n\nExample Usage:")
    click.echo(f"  $ fogbank run integrations create --service=[SERVICE] --type={type_} --parameters={key}=2")


def _of(name: str, place: str | None, acting_as: str = "") -> "RedisIntegrations":
    from fogbank.cli.integrations.client import ApiClient
    from fogbank.cli.integrations.redis import RedisIntegrations

    client = ApiClient(running(name), acting_as)
    return RedisIntegrations(client, place or client.region, lambda line: click.echo(line, err=True))


def _pairs(text: str) -> dict[str, str]:
    pairs = (each.partition("=") for each in text.split(",") if each)
    return {key.strip(): value.strip() for key, _, value in pairs}
