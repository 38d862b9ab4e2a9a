"""Drawing a trace: one line a hop, what was done to the packet there, and what the real packet did.

It draws the JSON of `fogbank.paths.explain`, whose states are those of Google's Connectivity Tests.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import click

_SHORT = {
    "APPLY_ROUTE": "route",
    "APPLY_EGRESS_FIREWALL_RULE": "leaves by",
    "APPLY_INGRESS_FIREWALL_RULE": "enters by",
    "SHAPE": "shaped to",
    "DELIVER": "delivered to",
    "DROP": "dropped:",
    "NAT": "NAT",
    "ARRIVE_AT_VPN_TUNNEL": "tunnel,",
}
_COLOURS = {"NAT": "cyan", "DELIVER": "green", "DROP": "red"}

Json = dict[str, Any]


def draw(answer: Json) -> Iterator[str]:
    """Return the lines of a whole answer: the predicted ways, then the packet and every difference."""
    traces = answer["predicted"]["traces"]
    width = max((len(step["place"]) for trace in traces for step in trace["steps"]), default=0)
    for number, trace in enumerate(traces, start=1):
        if len(traces) > 1:
            yield click.style(f"way {number} of {len(traces)} (flows spread over them)", dim=True)
        yield from _hops(trace["steps"], width)
        yield _verdict(trace)
    if answer.get("observed"):
        yield ""
        ways = [list(dict.fromkeys(step["place"] for step in trace["steps"])) for trace in traces]
        yield from _observed(answer["observed"], answer["differences"], ways)


def _hops(steps: Sequence[Json], width: int) -> Iterator[str]:
    for number, (place, at) in enumerate(groupby(steps, key=lambda step: step["place"]), start=1):
        told = " · ".join(_told(step) for step in at if number == 1 or not _is_arrival(step))
        yield f"{number:>3}  {place:<{width}}  {told}"


def _is_arrival(step: Json) -> bool:
    """Return whether the step only repeats where the packet comes from."""
    state: str = step["state"]
    if state == "ARRIVE_AT_VPN_TUNNEL":
        return False
    return state.startswith("ARRIVE_") or state == "SERVERLESS_EXTERNAL_CONNECTION"


def _told(step: Json) -> str:
    state = step["state"]
    word = _SHORT.get(state)
    text = f"{word} {step['description']}" if word else step["description"]
    colour = _COLOURS.get(state)
    return click.style(text.replace(" becomes ", " → "), fg=colour) if colour else text


def _verdict(trace: Json) -> str:
    if trace["verdict"] == "dropped":
        return click.style(f"  ✗  predicted: dropped, {trace.get('cause', 'for no known cause')}", fg="red")
    verdict = "answered by the machine itself" if trace["verdict"] == "unknown" else trace["verdict"]
    return click.style(f"  →  predicted: {verdict}, seen as {trace['source']}", bold=True)


def _observed(observed: Json, differences: Sequence[str], ways: Sequence[list[str]]) -> Iterator[str]:
    """Return what the packet did, in the order of the predicted way that it took."""
    from fogbank.paths.explain import place_of

    yield click.style("the real packet", dim=True)
    seen_in: dict[str, list[Json]] = {}
    for packet in observed["sightings"]:
        seen_in.setdefault(place_of(packet["netns"]), []).append(packet)
    way = max(ways, key=lambda places: len(seen_in.keys() & set(places)), default=[])
    namespaces = sorted(seen_in.items(), key=lambda at: way.index(at[0]) if at[0] in way else len(way))
    width = max((len(place) for place, _ in namespaces), default=0)
    for number, (place, seen) in enumerate(namespaces, start=1):
        yield f"{number:>3}  {place:<{width}}  {_passage(seen)}"
    took = f"after {observed['seconds'] * 1000:.1f} ms"
    yield click.style(f"  →  observed: {observed['verdict']} {took}", bold=True)
    for difference in differences:
        yield click.style(f"  ✗  {difference}", fg="red")
    if drop := observed.get("drop"):
        why = f"{drop['reason']}, {drop['description']}"
        yield click.style(f"  ✗  dropped in {place_of(drop['netns'])}: {why}", fg="red")
    elif not differences:
        yield click.style("  ✓  prediction and packet agree", fg="green")


def _passage(seen: Sequence[Json]) -> str:
    """Return how the packet came into a namespace and how it left."""
    first, last = seen[0], seen[-1]
    devices = " → ".join(dict.fromkeys(packet["device"] for packet in seen))
    source = f"from {last['source']}"
    if first["source"] != last["source"]:
        source = click.style(f"NAT {first['source']} → {last['source']}", fg="cyan")
    return f"{devices} · {source}"
