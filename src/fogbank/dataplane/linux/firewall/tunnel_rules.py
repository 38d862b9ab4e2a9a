"""Tunnels as nft commands: a VPN gateway hears IKE and ESP only from the peers that it has tunnels to.

What is encapsulated is decided by the program that has the keys; these rules keep strangers away from it.
"""

from fogbank.dataplane.linux.firewall.nftables import TABLE, drop_counter, render_table
from fogbank.network.topology import Tunnel

UNKNOWN_PEER = "unknown-vpn-peer"
_IKE = "udp dport { 500, 4500 }"


def render_gate() -> list[str]:
    """Prepare the chain that drops what strangers send to a gateway; peers follow as elements."""
    drop = f"counter name {drop_counter(UNKNOWN_PEER)} drop"
    return [
        *render_table(),
        f"add counter {TABLE} {drop_counter(UNKNOWN_PEER)}",
        f"add set {TABLE} vpn_peers {{ type ipv4_addr . ipv4_addr; }}",
        f"add chain {TABLE} vpn_gate {{ type filter hook input priority filter; policy accept; }}",
        f"flush chain {TABLE} vpn_gate",
        f"add rule {TABLE} vpn_gate {_IKE} ip daddr . ip saddr != @vpn_peers {drop}",
        f"add rule {TABLE} vpn_gate meta l4proto esp ip daddr . ip saddr != @vpn_peers {drop}",
    ]


def render_tunnel(element: Tunnel) -> list[str]:
    """Let a peer in."""
    return [f"add element {TABLE} vpn_peers {{ {_addresses(element)} }}"]


def render_no_tunnel(element: Tunnel) -> list[str]:
    """Keep a peer out."""
    return [f"delete element {TABLE} vpn_peers {{ {_addresses(element)} }}"]


def _addresses(element: Tunnel) -> str:
    return f"{element.local} . {element.remote}"
