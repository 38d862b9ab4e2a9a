"""The container of a VPN gateway: charon, for BGP bgpd, and the routes that lead into the tunnels, purely.

A shell script is its first process, and ends when any of them does, so that all begin anew together. charon
makes its tun device itself; what comes from inside is routed there by a table of its own, a blackhole before.
The surprising fact: charon takes no tunnel whose traffic selector has no address of the machine. It is given
one, and the kernel is told that packets for it are to be forwarded all the same.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network

from fogbank.network.elements import DataFolder
from fogbank.resources.fleet import Container
from fogbank.resources.server_images import VPN

FOLDER = "/data"
CONTROL = "control"
"""A pipe for lines: ``bgp ADDRESS`` makes one the gateway's, ``own ADDRESS`` for charon's eyes only."""
CHARON_SOCKET, BGPD_SOCKET, ZEBRA_SOCKET = "charon.vici", "bgpd.vty", "zebra.vty"
UNUSED_TABLE = 240
"""A routing table that is asked after all others, so never: charon puts routes there that would lead its own
packets in a circle, each from an address that must be local in this table.
"""
INNER_MTU = 1398
"""What of a packet of 1,460 bytes is left inside ESP in UDP with AES-GCM (behaviour/vpn.md#mtu)."""

_MEMORY = 64 * 1024 * 1024

_CHARON = f"""charon {{
  load = random nonce aes sha1 sha2 hmac kdf gcm openssl kernel-libipsec kernel-netlink socket-default vici
  install_routes = no
  install_virtual_ip = no
  routing_table = {UNUSED_TABLE}
  routing_table_prio = 32900
  retransmit_tries = 4
  retransmit_timeout = 1.0
  retransmit_base = 1.4
  filelog {{
    stderr {{
      default = 0
      ike = 1
      ike_name = yes
      flush_line = yes
    }}
  }}
  plugins {{
    kernel-libipsec {{
      allow_peer_ts = yes
    }}
    socket-default {{
      use_ipv6 = no
    }}
    vici {{
      socket = unix://{FOLDER}/{CHARON_SOCKET}
    }}
  }}
}}
"""

_START = f"""
set -e
trap 'exit 1' TERM
printf '%s' "$CHARON_CONF" > /etc/strongswan.conf
printf 'root:x:0:\\nfrr:x:998:\\nfrrvty:x:997:root\\n' > /etc/group
mkdir -p /run/frr /var/tmp/frr
rm -f {FOLDER}/{CONTROL} {FOLDER}/*.vici {FOLDER}/*.vty {FOLDER}/zserv
keep() {{ ( "$@" || true; kill -TERM 1 ) & }}
ip rule del pref 100 2>/dev/null || true
ip rule del pref 90 2>/dev/null || true
ip rule add pref 100 iif "$INNER" lookup 100
ip rule add pref 90 iif lo from 169.254.0.0/16 to 169.254.0.0/16 lookup 100
for range in $RANGES; do ip route replace blackhole "$range" table 100 metric 9000; done
mkfifo {FOLDER}/{CONTROL}
while read -r why own; do
  ip address add "$own/32" dev lo || continue
  [ "$why" = own ] || continue
  ip route replace local "$own" dev lo table {UNUSED_TABLE}
  ip route del local "$own" table local
done <> {FOLDER}/{CONTROL} &
keep /usr/lib/ipsec/charon
until ip link show ipsec0 >/dev/null 2>&1; do sleep 0.02; done
ip link set ipsec0 mtu {INNER_MTU} up
for range in $RANGES; do ip route replace "$range" dev ipsec0 table 100; done
if [ -n "$BGP" ]; then
  common="-u root -g root -z {FOLDER}/zserv --vty_socket {FOLDER} -f /dev/null"
  if [ "$BGP" = zebra ]; then keep /usr/lib/frr/zebra $common; else common="-Z $common"; fi
  keep /usr/lib/frr/bgpd $common
fi
wait
"""


def container(server: str, inner: str, ranges: Iterable[IPv4Network], bgp: str) -> Container:
    """Make the container of the gateway ``server``.

    What comes in by the device ``inner`` for ``ranges`` goes into its tunnels. ``bgp`` is empty, ``bgpd``, or
    ``zebra`` when it is to route by what it learns.
    """
    return Container(
        image=VPN.repository,
        ports=(),
        command=("/usr/bin/sh", "-c", _START),
        environment=(
            ("BGP", bgp),
            ("CHARON_CONF", _CHARON),
            ("INNER", inner),
            ("RANGES", " ".join(str(each) for each in ranges)),
        ),
        memory_bytes=_MEMORY,
        data=(DataFolder(folder(server), FOLDER),),
        router=True,
    )


def folder(server: str) -> str:
    """Name the data folder of a gateway."""
    return f"vpn-{server}"
