"""Decision trees for long policies: a thousand rules cost a new flow a few look-ups.

The first rule that matches decides, so rules cannot simply go into one map. But a look-up by protocol, port
or address leaves only those rules that still may match, in their order; and again, until few are left. What a
look-up has settled is taken out of the rules behind it, and everything behind a rule without conditions is
dropped. Short policies stay lists.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Literal

from fogbank.network.topology import Rule, Traffic

WITH_PORTS = {6: "tcp", 17: "udp", 132: "sctp"}

SHORT = 8
"""As many lines as are compared one by one without a second thought."""

_GROWTH = 12
"""A tree may hold this many times the lines of its policy; beyond it, lists are kept."""

Dimension = Literal["protocol", "port", "source", "destination"]
Span = tuple[int, int]

_LAST: dict[Dimension, int] = {"protocol": 255, "port": 65535, "source": 2**32 - 1, "destination": 2**32 - 1}


@dataclass(frozen=True, slots=True)
class Line:
    """One alternative of ``rule``: all conditions must hold; an empty or None one always does.

    Conditions are spans of numbers: protocols, ports, addresses. ``address_set`` is a named set of sources.
    """

    rule: Rule
    protocol: tuple[Span, ...] = ()
    port: tuple[Span, ...] = ()
    source: tuple[Span, ...] = ()
    destination: tuple[Span, ...] = ()
    address_set: str | None = None

    def spans(self, dimension: Dimension) -> tuple[Span, ...]:
        """Return the condition on ``dimension``."""
        match dimension:
            case "protocol":
                return self.protocol
            case "port":
                return self.port
            case "source":
                return self.source
            case "destination":
                return self.destination

    def without(self, dimension: Dimension) -> "Line":
        """Return the line with that condition settled."""
        match dimension:
            case "protocol":
                return replace(self, protocol=())
            case "port":
                return replace(self, port=())
            case "source":
                return replace(self, source=())
            case "destination":
                return replace(self, destination=())

    @property
    def unconditional(self) -> bool:
        """Return whether it matches everything that gets there."""
        return not (self.protocol or self.port or self.source or self.destination or self.address_set)


@dataclass(frozen=True, slots=True)
class Leaf:
    """Compare ``lines`` in order; without a match the policy's default decides."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Look a number of the packet up in ``branches``; what is in none goes ``otherwise``."""

    dimension: Dimension
    branches: tuple[tuple[Span, "Node"], ...]
    otherwise: "Node"


Node = Leaf | Split


def lines_of(rules: Sequence[Rule]) -> Iterator[Line]:
    """Write rules out as lines, alternatives beside one another."""
    for rule in rules:
        destination = _spans(rule.destinations)
        for protocol, port in _traffic(rule.traffic):
            if rule.sources or not rule.address_sets:
                yield Line(rule, protocol, port, _spans(rule.sources), destination)
            for address_set in rule.address_sets:
                yield Line(rule, protocol, port, (), destination, address_set)


def _traffic(traffic: tuple[Traffic, ...]) -> Iterator[tuple[tuple[Span, ...], tuple[Span, ...]]]:
    """Return (protocol, port) conditions; ports of a protocol that has none match nothing."""
    if Traffic() in traffic:
        yield (), ()
        return
    for each in dict.fromkeys(traffic):
        if not each.ports:
            yield ((each.protocol, each.protocol),) if each.protocol is not None else (), ()
            continue
        for protocol in WITH_PORTS:
            if each.protocol in {None, protocol}:
                yield ((protocol, protocol),), merge((p.first, p.last) for p in each.ports)


def _spans(networks: tuple[IPv4Network, ...]) -> tuple[Span, ...]:
    spans = merge((int(n.network_address), int(n.broadcast_address)) for n in networks)
    return () if spans == ((0, _LAST["source"]),) else spans


def merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Sort spans and join those that touch or overlap."""
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def decide_by(lines: Sequence[Line]) -> Node:
    """Build the tree for ``lines``."""
    return _Planter(len(lines) * _GROWTH).plant(tuple(lines), ported=False)


class _Planter:
    """Builds one tree; equal sets of lines share their subtree, and growth ends at ``budget`` lines."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._known: dict[tuple[tuple[Line, ...], bool], Node] = {}

    def plant(self, lines: tuple[Line, ...], *, ported: bool) -> Node:
        lines = _reachable(lines)
        known = self._known.get((lines, ported))
        if known is None:
            known = self._known[lines, ported] = self._plant(lines, ported=ported)
        return known

    def _plant(self, lines: tuple[Line, ...], *, ported: bool) -> Node:
        self._budget -= len(lines)
        if len(lines) <= SHORT or self._budget < 0:
            return Leaf(lines)
        if any(line.protocol for line in lines):
            return self._split("protocol", _segments("protocol", lines), ported=ported)
        best: tuple[int, Dimension, list[tuple[Span, tuple[Line, ...]]]] | None = None
        dimensions: tuple[Dimension, ...] = ("source", "destination")
        for dimension in (*dimensions, *(("port",) if ported else ())):
            segments = _segments(dimension, lines)
            longest = max(len(_reachable(held)) for _, held in segments)
            if best is None or longest < best[0]:
                best = (longest, dimension, segments)
        if best is None or best[0] > len(lines) // 2:
            return Leaf(lines)
        return self._split(best[1], best[2], ported=ported)

    def _split(
        self, dimension: Dimension, segments: list[tuple[Span, tuple[Line, ...]]], *, ported: bool
    ) -> Node:
        """Look ``dimension`` up; the segment with most of the room is what is not looked up."""
        widest = max(range(len(segments)), key=lambda n: segments[n][0][1] - segments[n][0][0])
        nodes = []
        for (first, last), held in segments:
            has_ports = (dimension == "protocol" and first == last and first in WITH_PORTS) or (
                dimension != "protocol" and ported
            )
            settled = tuple(line.without(dimension) for line in held)
            nodes.append(((first, last), self.plant(settled, ported=has_ports)))
        otherwise = nodes[widest][1]
        branches = tuple((span, node) for span, node in nodes if node != otherwise)
        return Split(dimension, branches, otherwise) if branches else otherwise


def _reachable(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """Drop what stands behind a line that always matches, and what stands there twice."""
    kept: dict[Line, None] = {}
    for line in lines:
        kept[line] = None
        if line.unconditional:
            break
    return tuple(kept)


def _segments(dimension: Dimension, lines: tuple[Line, ...]) -> list[tuple[Span, tuple[Line, ...]]]:
    """Cut the dimension where any line's condition begins or ends; give the lines that hold in each piece."""
    last = _LAST[dimension]
    begins: dict[int, list[int]] = {0: []}
    ends: dict[int, list[int]] = {}
    for place, line in enumerate(lines):
        for first, final in line.spans(dimension) or ((0, last),):
            begins.setdefault(first, []).append(place)
            ends.setdefault(final + 1, []).append(place)
    cuts = sorted(cut for cut in {*begins, *ends} if cut <= last)
    active: set[int] = set()
    segments = []
    for start, following in zip(cuts, [*cuts[1:], last + 1], strict=True):
        active.difference_update(ends.get(start, ()))
        active.update(begins.get(start, ()))
        segments.append(((start, following - 1), tuple(lines[place] for place in sorted(active))))
    return segments
