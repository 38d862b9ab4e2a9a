"""Flow logs: how counted connections become the records of a subnetwork, interval by interval.

Pure: what the kernel counted goes in, records come out, and nothing is lost or made up on the way: the
packets and bytes of the records of one reporter and direction are those that were counted. A record is about
one direction; a connection has two (behaviour/vpc.md#flow-log-records).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal

from fogbank.dataplane.driver import Counted, CountedFlow
from fogbank.network.addressing import METADATA
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource
from fogbank.services.compute.subnetworks import EVERYTHING

SECOND = 1_000_000_000
INTERVALS: Mapping[str, int] = {
    "INTERVAL_5_SEC": 5,
    "INTERVAL_30_SEC": 30,
    "INTERVAL_1_MIN": 60,
    "INTERVAL_5_MIN": 300,
    "INTERVAL_10_MIN": 600,
    "INTERVAL_15_MIN": 900,
}
ALL, NONE, CUSTOM = "INCLUDE_ALL_METADATA", "EXCLUDE_ALL_METADATA", "CUSTOM_METADATA"

Keep = Callable[[Mapping[str, Any]], bool]
Reporter = Literal["SRC", "DEST"]


@dataclass(frozen=True, slots=True)
class FlowLogConfig:
    """How the connections of a subnetwork are logged; ``interval`` in nanoseconds, ``sampling`` 0 to 1.

    ``fields`` are what custom metadata consist of.
    """

    subnetwork: ResourceName
    ranges: tuple[IPv4Network, ...]
    interval: int
    sampling: float
    metadata: str
    fields: frozenset[str]
    keep: Keep | None

    @classmethod
    def of(cls, resource: Resource, ranges: tuple[IPv4Network, ...]) -> "FlowLogConfig":
        """Read the ``logConfig`` of a subnetwork whose flow logs are on."""
        config: Json = resource.body["logConfig"]
        return cls(
            resource.name,
            ranges,
            INTERVALS[config["aggregationInterval"]] * SECOND,
            float(config["flowSampling"]),
            config["metadata"],
            frozenset(config.get("metadataFields", ())),
            _filter(config.get("filterExpr", EVERYTHING)),
        )

    def includes(self, field_name: str) -> bool:
        """Return whether records have a metadata field, ``src_instance``."""
        if self.metadata == CUSTOM:
            return field_name in self.fields
        return self.metadata == ALL


def _filter(expression: str) -> Keep | None:
    if expression == EVERYTHING:
        return None
    from fogbank.resources.flow_filters import parse_filter  # rare, and takes some time

    return parse_filter(expression)


@dataclass(frozen=True, slots=True)
class Direction:
    """Who sends to whom; ports are 0 for protocols without."""

    protocol: int
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """What one direction carried in an interval, as its ``reporter`` saw it.

    ``first`` and ``last`` bound the time in which it was counted, in nanoseconds since 1970.
    """

    direction: Direction
    reporter: Reporter
    carried: Counted
    first: int
    last: int


@dataclass(slots=True)
class Interval:
    """What was counted for a subnetwork since the interval ``number`` began, at ``since``."""

    number: int
    since: int
    records: dict[tuple[Direction, Reporter], FlowRecord] = field(default_factory=dict)

    @classmethod
    def at(cls, config: FlowLogConfig, now: int) -> "Interval":
        """Begin to count ``now``."""
        return cls(now // config.interval, now)

    def is_over(self, config: FlowLogConfig, now: int) -> bool:
        """Return whether the interval has ended ``now``."""
        return now // config.interval != self.number

    def end(self, config: FlowLogConfig) -> int:
        """Return when it ends, in nanoseconds since 1970."""
        return (self.number + 1) * config.interval

    def count(self, config: FlowLogConfig, flows: Iterable[CountedFlow], offset: int, now: int) -> None:
        """Add what connections carried until ``now``; ``offset`` is the region's time less the machine's."""
        for flow in flows:
            if flow.server == METADATA:  # Google's own endpoint of every machine: nothing reports it
                continue
            first = max(self.since, flow.began + offset) if flow.began is not None else self.since
            last = min(now, flow.ended + offset) if flow.ended is not None else now
            for direction, carried in directions(flow):
                for reporter in reporters(config, direction):
                    self._add(direction, reporter, carried, min(first, last), last)

    def _add(self, direction: Direction, reporter: Reporter, carried: Counted, first: int, last: int) -> None:
        known = self.records.get((direction, reporter))
        if known is not None:
            carried = Counted(known.carried.packets + carried.packets, known.carried.bytes + carried.bytes)
            first, last = min(first, known.first), max(last, known.last)
        self.records[direction, reporter] = FlowRecord(direction, reporter, carried, first, last)


def directions(flow: CountedFlow) -> Iterator[tuple[Direction, Counted]]:
    """Divide a connection into its directions, those that carried something."""
    there = Direction(flow.protocol, flow.client, flow.client_port, flow.server, flow.server_port)
    back = Direction(flow.protocol, flow.server, flow.server_port, flow.client, flow.client_port)
    for direction, carried in ((there, flow.sent), (back, flow.received)):
        if carried.packets:
            yield direction, carried


def reporters(config: FlowLogConfig, direction: Direction) -> Iterator[Reporter]:
    """Name the ends of a direction that are in the subnetwork: each reports it."""
    if any(direction.source in part for part in config.ranges):
        yield "SRC"
    if any(direction.destination in part for part in config.ranges):
        yield "DEST"
