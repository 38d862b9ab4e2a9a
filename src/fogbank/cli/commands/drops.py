"""`fogbank drops`: how many packets the kernel dropped, where, and why."""

import click

from fogbank.cli.options import examples, format_option, name_option
from fogbank.cli.output import print_json, print_table
from fogbank.cli.regions import running

MEANINGS = {
    "default-deny": "no ingress rule allows it",
    "no-nat": "no Cloud NAT serves the sender",
    "ports-exhausted": "the sender has no NAT port left for that destination",
    "nat-allocation-failed": "the Cloud NAT gateway has no ports for the sender",
    "inbound": "came new from outside, where nothing lets it in",
    "spoofed": "the sender used an address that is not its own",
    "unguarded": "the address belongs to nobody",
    "unknown-vpn-peer": "IKE or ESP from an address to which the VPN gateway has no tunnel",
    "invalid": "belongs to no connection that is known",
}


@click.command("drops", epilog=examples("fogbank drops", "watch -n1 fogbank drops"))
@name_option
@format_option
def command(name: str, format_: str) -> None:
    """Count dropped packets by place and reason.

    A place counts from its creation. A retransmitted packet counts again.
    """
    drops = running(name).operator().get("/drops")["drops"]
    if format_ == "json":
        print_json(drops)
        return
    rows = [
        (each["netns"], each["packets"], each["reason"], MEANINGS.get(each["reason"], "a firewall rule"))
        for each in drops
    ]
    print_table(("NAMESPACE", "PACKETS", "REASON", "MEANING"), rows, "No packet was dropped.")
