"""`fogbank credentials`: what a client needs to act as a user instead of the region's service account."""

import json
from pathlib import Path

import click

from fogbank.cli.options import examples, name_option
from fogbank.cli.output import print_json
from fogbank.cli.regions import running
from fogbank.errors import OperatorError
from fogbank.frontend.pki.secret_files import write_private


@click.command(
    "credentials",
    epilog=examples(
        "fogbank credentials --user me@example.com",
        "fogbank credentials --user me@example.com --output me.json",
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE=me.json gcloud auth print-identity-token",
    ),
)
@click.option("--user", required=True, metavar="EMAIL", help="The user's e-mail address; any will do.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write FILE, readable only by its owner, instead of printing.",
)
@name_option
def command(user: str, output: Path | None, name: str) -> None:
    """Print credentials of a user, for gcloud and client libraries.

    The format is an authorized_user file, for GOOGLE_APPLICATION_CREDENTIALS and
    CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE. To call a private service the user needs the role
    roles/run.invoker on it.
    """
    document = running(name).operator().post("/credentials", {"user": user})
    if output is None:
        print_json(document)
        return
    try:
        write_private(output, json.dumps(document, indent=2).encode() + b"\n")
    except OSError as error:
        raise OperatorError(f"Cannot write {output}: {error.strerror}") from error
    click.echo(f"Credentials of {user} are in {output}.", err=True)
