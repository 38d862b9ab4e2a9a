"""What a gateway's bgpd is told, and what it says, purely.

A configuration is a tuple of lines, so that what has changed is the difference of two: a session that is
configured as before goes on (https://docs.frrouting.org/en/stable-8.4/bgp.html).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from fogbank.resources.bgp import BASE_PRIORITY, LearnedRoute

HOLD = 3
"""How many keepalive intervals a peer may be silent (behaviour/bgp.md#peers)."""


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A peer: what it is told are the destinations ``advertised``, each with its MED."""

    name: str
    local: IPv4Interface
    address: IPv4Address
    asn: int
    own_asn: int
    keepalive: int
    advertised: tuple[tuple[IPv4Network, int], ...]
    enabled: bool = True
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a configuration below its ``context``, with a ``body`` of its own or none."""

    context: tuple[str, ...]
    text: str
    body: tuple[str, ...] = ()

    @property
    def removal(self) -> str:
        """The line that takes it back."""
        return self.text.removeprefix("no ") if self.text.startswith("no ") else f"no {self.text}"


Configuration = tuple[Line, ...]


def configuration(router: IPv4Address, neighbors: tuple[Neighbor, ...]) -> Configuration:
    """Write the configuration of a bgpd with ``neighbors``, whose id is ``router``; nothing without any."""
    return tuple(_lines(router, neighbors)) if neighbors else ()


def _lines(identifier: IPv4Address, neighbors: tuple[Neighbor, ...]) -> Iterator[Line]:
    own = neighbors[0].own_asn
    yield Line((), "bgp route-map delay-timer 1")
    for each in neighbors:
        yield from _policy(each)
    router = (f"router bgp {own}",)
    yield Line(router, f"bgp router-id {identifier}")
    for text in ("ebgp-requires-policy", "default ipv4-unicast", "network import-check"):
        yield Line(router, f"no bgp {text}")
    yield Line(router, "bgp bestpath as-path multipath-relax")
    for each in neighbors:
        yield from (Line(router, f"neighbor {each.address} {text}") for text in _session(each, own))
    family = (*router, "address-family ipv4 unicast")
    for network in sorted({network for each in neighbors for network, _ in each.advertised}):
        yield Line(family, f"network {network}")
    for each in neighbors:
        yield Line(family, f"neighbor {each.address} activate")
        yield Line(family, f"neighbor {each.address} route-map {_policy_name(each)} out")


def _session(neighbor: Neighbor, own: int) -> Iterator[str]:
    yield f"remote-as {neighbor.asn}"
    if neighbor.own_asn != own:
        yield f"local-as {neighbor.own_asn} no-prepend replace-as"
    yield f"update-source {neighbor.local.ip}"
    yield "disable-connected-check"
    yield f"timers {neighbor.keepalive} {HOLD * neighbor.keepalive}"
    yield "timers connect 1"
    if neighbor.key:
        yield f"password {neighbor.key}"
    if not neighbor.enabled:
        yield "shutdown"


def _policy_name(neighbor: Neighbor) -> str:
    return f"out-{neighbor.address}"


def _policy(neighbor: Neighbor) -> Iterator[Line]:
    """Let out what is advertised, with its MED, and nothing that another peer has told."""
    name = _policy_name(neighbor)
    for med in sorted({med for _, med in neighbor.advertised}):
        wanted = sorted(network for network, each in neighbor.advertised if each == med)
        for network in wanted:
            yield Line((), f"ip prefix-list {name}-{med} permit {network}")
        body = (f"match ip address prefix-list {name}-{med}", f"set metric {med}")
        yield Line((), f"route-map {name} permit {med % 65534 + 1}", body)
    yield Line((), f"route-map {name} deny 65535")


def steps(before: Configuration, after: Configuration) -> Iterator[tuple[tuple[str, ...], bool]]:
    """List the commands that turn ``before`` into ``after``, and whether each must succeed.

    What goes may have gone with something else already.
    """
    known = set(before)
    if _process(before) not in {None, _process(after)}:
        yield (f"no {_process(before)}",), False
        known = {each for each in known if not each.context}
    wanted = set(after)
    for line in reversed(before):
        if line in known - wanted:
            yield (*line.context, line.removal), False
    for line in after:
        if line not in known:
            yield (*line.context, line.text, *line.body), True


def _process(configured: Configuration) -> str | None:
    return next((line.context[0] for line in configured if line.context), None)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a bgpd says of a peer."""

    state: str
    learned: tuple[LearnedRoute, ...]

    @property
    def up(self) -> bool:
        """Whether the session is established."""
        return self.state == "Established"


def heard(summary: Mapping[str, Any], table: Mapping[str, Any]) -> Mapping[IPv4Address, Heard]:
    """Read what ``show bgp ipv4 unicast`` says, its summary and its table, by the peers' addresses."""
    learned: dict[str, list[LearnedRoute]] = {}
    for prefix, paths in table.get("routes", {}).items():
        for path in paths:
            if path.get("valid") and path.get("pathFrom") == "external":
                asns = tuple(int(each) for each in str(path.get("path", "")).split() if each.isdecimal())
                route = LearnedRoute(IPv4Network(prefix), int(path.get("metric", BASE_PRIORITY)), asns)
                learned.setdefault(path.get("peerId", ""), []).append(route)
    return {
        IPv4Address(address): Heard(
            peer["state"], tuple(sorted(learned.get(address, ()), key=lambda route: route.destination))
        )
        for address, peer in summary.get("peers", {}).items()
    }
