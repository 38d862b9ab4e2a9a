"""`fogbank onprem`: networks outside Google with a VPN device, and programs that run as their hosts."""

import os
import shutil
from typing import Any
from urllib.parse import quote

import click

from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json, print_table
from fogbank.cli.regions import running
from fogbank.errors import OperatorError


@click.group(
    "onprem",
    epilog=examples(
        "fogbank onprem add office --range 192.168.0.0/24",
        "fogbank onprem connect office 203.0.113.5 --secret s3cret --remote-range 10.0.0.0/24",
        "fogbank onprem exec office -- curl http://10.0.0.2/",
    ),
)
def command() -> None:
    """Add on-premises networks and connect them by VPN."""


@command.command("add", epilog=examples("fogbank onprem add office --range 192.168.0.0/24 --asn 65001"))
@click.argument("network")
@click.option(
    "--range", "ranges", multiple=True, required=True, metavar="CIDR", help="Its range (repeatable)."
)
@click.option("--address", default="", metavar="ADDRESS", help="The public address of its VPN device.")
@click.option("--asn", default=65001, show_default=True, help="Its number in BGP.")
@name_option
@format_option
def add(network: str, ranges: tuple[str, ...], *, address: str, asn: int, name: str, format_: str) -> None:
    """Add a network: a VPN device on the internet, and a web server behind it."""
    body = {"name": network, "ranges": list(ranges), "address": address, "asn": asn}
    made = running(name).operator().post("/onprem", body)
    if format_ == "json":
        print_json(made)
        return
    click.echo(
        f"{network} is behind {made['address']}; its web server is {made['host']['address']}. "
        f"Read what that sees: fogbank internet log {made['host']['name']}"
    )


@command.command("list", epilog=examples("fogbank onprem list --format json"))
@name_option
@format_option
def list_(name: str, format_: str) -> None:
    """List the networks and their tunnels."""
    networks: list[dict[str, Any]] = running(name).operator().get("/onprem")["networks"]
    if format_ == "json":
        print_json(networks)
        return
    rows = [
        (
            each["name"],
            each["address"],
            each["ranges"],
            each["host"]["address"],
            [f"{tunnel['peer']} {tunnel['state']}" for tunnel in each["tunnels"]] or "none",
        )
        for each in networks
    ]
    print_table(
        ("NETWORK", "ADDRESS", "RANGES", "WEB SERVER", "TUNNELS"), rows, "There are no on-premises networks."
    )


@command.command("remove", epilog=examples("fogbank onprem remove office"))
@click.argument("network")
@name_option
def remove(network: str, name: str) -> None:
    """Remove a network."""
    running(name).operator().delete(f"/onprem/{quote(network, safe='')}")
    click.echo(f"{network} is gone.")


@command.command(
    "connect",
    epilog=examples(
        "fogbank onprem connect office 203.0.113.5 --secret s3cret --remote-range 10.0.0.0/24",
        "fogbank onprem connect office 203.0.113.5 --secret s3cret --bgp 169.254.0.2/30 169.254.0.1 64512",
    ),
)
@click.argument("network")
@click.argument("peer")
@click.option("--secret", required=True, help="The shared secret of the tunnel.")
@click.option(
    "--remote-range", "remote", multiple=True, metavar="CIDR", help="What is behind it (repeatable)."
)
@click.option(
    "--bgp",
    nargs=3,
    metavar="ADDRESS/LENGTH PEER ASN",
    help="Speak BGP instead: from this address, with this peer, which has this number.",
)
@click.option("--bgp-key", default="", help="The MD5 key of the BGP session.")
@name_option
def connect(
    network: str,
    peer: str,
    *,
    secret: str,
    remote: tuple[str, ...],
    bgp: tuple[str, str, str] | None,
    bgp_key: str,
    name: str,
) -> None:
    """Configure a tunnel of NETWORK's VPN device to the gateway at PEER."""
    fields = ("address", "peerAddress", "peerAsn", "key")
    given = dict(zip(fields, (*bgp, bgp_key), strict=True)) if bgp else {}
    body = {"peer": peer, "secret": secret, "remoteRanges": list(remote), **({"bgp": given} if given else {})}
    running(name).operator().post(f"/onprem/{quote(network, safe='')}/tunnels", body)
    click.echo(f"{network} has a tunnel to {peer}; see whether it is up: fogbank onprem list")


@command.command("disconnect", epilog=examples("fogbank onprem disconnect office 203.0.113.5"))
@click.argument("network")
@click.argument("peer")
@name_option
def disconnect(network: str, peer: str, name: str) -> None:
    """Take a tunnel of NETWORK's VPN device away."""
    path = f"/onprem/{quote(network, safe='')}/tunnels/{quote(peer, safe='')}"
    running(name).operator().delete(path)
    click.echo(f"{network} has no tunnel to {peer} any more.")


@command.command(
    "exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "fogbank onprem exec office -- curl http://10.0.0.2/",
        "ssh -o ProxyCommand='fogbank connect --from office %h %p' ada@10.0.0.2",
    ),
)
@name_option
@click.argument("network")
@click.argument("words", metavar="-- CMD [ARG]…", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(name: str, network: str, words: tuple[str, ...]) -> None:
    """Run a command whose TCP connections begin on the host of NETWORK.

    The command must speak SOCKS 5, as curl does; it is told so by ALL_PROXY.
    """
    from fogbank.cli.socks import serve_beside

    operator = running(name).operator()
    operator.get("/onprem")
    words = words[1:] if words[0] == "--" else words
    program = shutil.which(words[0]) if words else None
    if program is None:
        raise OperatorError(f"There is no program called {words[0] if words else ''!r} on PATH.")
    port = serve_beside(lambda host, to: operator.open_connection(host, to, source=network))
    proxy = f"socks5h://127.0.0.1:{port}"
    proxies = ("ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")
    environment = {key: value for key, value in os.environ.items() if key.lower() != "no_proxy"}
    os.execve(program, words, environment | dict.fromkeys(proxies, proxy))  # noqa: S606 - as in fogbank exec
