"""`fogbank connect`: a connection from the terminal into a region, on standard input and output."""

import os
import socket
import sys
import threading
from contextlib import suppress

import click

from fogbank.cli.options import examples, name_option
from fogbank.cli.regions import running

_CHUNK = 64 * 1024


@click.command(
    "connect",
    epilog=examples(
        "fogbank connect 203.0.113.2 22",
        "ssh -o ProxyCommand='fogbank connect %h %p' ada@203.0.113.2",
        "gcloud compute ssh vm --ssh-flag='-o ProxyCommand=\"fogbank connect %h %p\"'",
    ),
)
@click.option(
    "--from", "source", metavar="NETWORK", help="Connect from the host of this on-premises network."
)
@name_option
@click.argument("host")
@click.argument("port", type=click.IntRange(1, 65535))
def command(source: str | None, name: str, host: str, port: int) -> None:
    """Connect to an address of a region's internet.

    Bytes pass between there and standard input and output. HOST is an external address or a
    public name. Programs such as ssh use this as their ProxyCommand. The source is 192.0.2.255
    unless --from names a network.
    """
    opened = running(name).operator().open_connection(host, port, source=source)
    threading.Thread(target=_send, args=(opened,), daemon=True).start()
    while data := opened.recv(_CHUNK):
        os.write(sys.stdout.fileno(), data)


def _send(opened: socket.socket) -> None:
    """Send what comes on standard input, and its end: the other side may yet answer, or hang up."""
    with suppress(OSError):  # the other side has gone
        while data := os.read(sys.stdin.fileno(), _CHUNK):
            opened.sendall(data)
        opened.shutdown(socket.SHUT_WR)
