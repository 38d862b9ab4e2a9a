"""Third parties: who lives on the small internet, at which address, and whom each of them lets in.

The usual what-is-my-address hosts are always there, at fixed addresses; the operator adds partners, which are
resources (``fogbank.sites``, path ``sites/HOST``). `lowering` gives each a namespace, the resolver answers
with its address, and the site's server looks up its allow-list here on every request.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Literal

from fogbank.errors import OperatorError
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Delete, Put, Resource, World

Kind = Literal["ifconfig", "ifconfig-line", "ipify", "line", "bare", "ipinfo", "httpbin", "partner"]
"""How a third party answers. ``line`` is the address and a newline, ``bare`` the address alone."""

SITES = "fogbank.sites"
NETWORK = IPv4Network("192.0.2.0/24")
"""Where all third parties live (TEST-NET-1)."""

WEB_PORTS = (80, 443)
_FIRST_PARTNER = 32
"""Addresses below it are for the built-in hosts, so that a new one never meets somebody's partner."""

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})+")
_OURS = ("google.internal", "googleapis.com", "google.com", "run.app", "pkg.dev", "gcr.io")


@dataclass(frozen=True, slots=True)
class Site:
    """One third party. ``ports`` are open beside 80 and 443, over UDP too; an empty ``allow`` admits all."""

    host: str
    address: IPv4Address
    kind: Kind = "partner"
    ports: tuple[int, ...] = ()
    allow: tuple[IPv4Network, ...] = ()

    @property
    def all_ports(self) -> tuple[int, ...]:
        """Every TCP port that it listens on."""
        return (*WEB_PORTS, *self.ports)

    def admits(self, caller: IPv4Address) -> bool:
        """Return whether the allow-list lets ``caller`` in."""
        return not self.allow or any(caller in network for network in self.allow)


def _builtin(kinds: Mapping[str, Kind]) -> dict[str, Site]:
    return {
        host: Site(host, NETWORK.network_address + number, kind)
        for number, (host, kind) in enumerate(kinds.items(), start=2)
    }


# The order gives the address: new hosts go at the end.
BUILTIN_SITES: Mapping[str, Site] = _builtin(
    {
        "ifconfig.me": "ifconfig",
        "api.ipify.org": "ipify",
        "checkip.amazonaws.com": "line",
        "icanhazip.com": "line",
        "ipinfo.io": "ipinfo",
        "ident.me": "bare",
        "ifconfig.co": "ifconfig-line",
        "httpbin.org": "httpbin",
        "ifconfig.io": "ifconfig-line",
        "ipv4.icanhazip.com": "line",
        "api64.ipify.org": "ipify",
    }
)
"""The hosts that answer in every region."""


def site_name(host: str) -> ResourceName:
    """Name the resource of the partner ``host``."""
    return ResourceName(SITES, f"sites/{host}")


def sites(world: World) -> tuple[Site, ...]:
    """List all third parties: the built-in ones, then the operator's by name."""
    added = map(read_site, world.all(SITES))
    return (*BUILTIN_SITES.values(), *sorted(added, key=lambda site: site.host))


def find_site(world: World, host: str) -> Site | None:
    """Find the third party called ``host``."""
    host = host.lower().rstrip(".")
    if host in BUILTIN_SITES:
        return BUILTIN_SITES[host]
    resource = world.find(site_name(host))
    return read_site(resource) if resource else None


def new_site(
    world: World,
    host: str,
    *,
    ports: Iterable[int],
    allow: Iterable[str],
    now: datetime,
    new_id: Callable[[], int],
) -> Put:
    """Decide how to add the partner ``host`` at the first free address.

    It listens on 80, 443 and ``ports``; ``allow`` holds addresses or CIDR ranges, none lets everybody in.
    Raises OperatorError when something in it cannot be.
    """
    host = parse_host(host)
    if find_site(world, host):
        raise OperatorError(
            f"{host} is already a third party. Remove it first: fogbank internet remove {host}"
            if host not in BUILTIN_SITES
            else f"{host} is built in and always there; choose another name."
        )
    extra = tuple(sorted({parse_port(port) for port in ports} - set(WEB_PORTS)))
    networks = tuple(sorted({parse_network(text) for text in allow}))
    body = {
        "host": host,
        "address": str(free_address(world)),
        "ports": list(extra),
        **({"allow": [str(network) for network in networks]} if networks else {}),
    }
    return Put(Resource(site_name(host), new_id(), now, body))


def remove_site(world: World, host: str) -> Delete:
    """Decide how to take the partner ``host`` away; OperatorError when there is none."""
    host = host.lower().rstrip(".")
    if host in BUILTIN_SITES:
        raise OperatorError(f"{host} is built in and cannot be removed.")
    name = site_name(host)
    if world.find(name) is None:
        raise no_such_site(host)
    return Delete(name)


def no_such_site(host: str) -> OperatorError:
    """Refuse because no third party is called ``host``."""
    return OperatorError(f"There is no third party {host}. See them all: fogbank internet list")


def parse_host(text: str) -> str:
    """Read a host name that a third party may have; OperatorError otherwise."""
    host = text.strip().lower().rstrip(".")
    if not _HOST.fullmatch(host) or len(host) > 253 or host.rpartition(".")[2].isdigit():
        raise OperatorError(f"{text!r} is not a host name. Give one such as partner.example.com")
    if is_googles(host):
        raise OperatorError(f"{host} belongs to Google Cloud, so no third party can have it.")
    return host


def is_googles(host: str) -> bool:
    """Return whether ``host`` is a name of Google Cloud's own, which no third party can have."""
    host = host.lower().rstrip(".")
    return any(host == suffix or host.endswith("." + suffix) for suffix in _OURS)


def parse_port(port: int) -> int:
    """Read a port that a third party may listen on; OperatorError otherwise."""
    if not 1 <= port <= 65535:
        raise OperatorError(f"{port} is not a port. Give a number from 1 to 65535.")
    return port


def parse_network(text: str) -> IPv4Network:
    """Read an address or a CIDR range of an allow-list; OperatorError otherwise."""
    try:
        return IPv4Network(text.strip())
    except (AddressValueError, NetmaskValueError) as error:
        raise OperatorError(
            f"{text!r} is not an IPv4 address or range. Give one such as 203.0.113.0/24"
        ) from error
    except ValueError as error:
        right = IPv4Network(text.strip(), strict=False)
        raise OperatorError(f"{text!r} has bits set behind its mask. Did you mean {right}?") from error


def free_address(world: World, also_taken: Iterable[IPv4Address] = ()) -> IPv4Address:
    """Choose an address that no third party has, nor an on-premises network; OperatorError without one."""
    taken = {site.address for site in sites(world)}.union(also_taken)
    taken.update(IPv4Address(each.body["address"]) for each in world.all("onprem.networks"))
    for number in range(_FIRST_PARTNER, NETWORK.num_addresses - 1):
        if (address := NETWORK.network_address + number) not in taken:
            return address
    raise OperatorError(
        "All 223 addresses for third parties are taken. Remove one: fogbank internet remove HOST"
    )


def read_site(resource: Resource) -> Site:
    """Read a third party that the operator added."""
    body = resource.body
    return Site(
        host=body["host"],
        address=IPv4Address(body["address"]),
        ports=tuple(body.get("ports", ())),
        allow=tuple(IPv4Network(text) for text in body.get("allow", ())),
    )
