"""Data paths against a bare veth pair; one against many of instances and of firewall rules."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.private_world import Lab

from bench.load import Way, connections, round_trip, served, throughput
from bench.private import in_private_world
from bench.region_network import BARE, Vpc, build
from bench.table import Aim, Row, compare
from fogbank.dataplane.linux.driver import LinuxDriver

Measure = Callable[[LinuxDriver, Way], float]
Figures = dict[str, list[float]]

MEASURES: Mapping[str, tuple[Measure, str]] = {
    "throughput": (throughput, "Gbit/s"),
    "round trip": (round_trip, "µs"),
    "connections": (connections, "1/s"),
}
ROUNDS = 11
PATHS = {"direct": 0.9, "direct VPC": 0.9, "nat": 0.85, "connector": 0.75, "connector+nat": 0.7}
PAIRS = {"direct VPC to connector": ("direct VPC", "connector", 1.0)}
"""Paths against one another: the subject, the baseline, and the least ratio."""
SCALES = {"500 instances": ("connector", "one"), "1000 firewall rules": ("direct", "one")}

PATH_AIMS = tuple(
    Aim(f"{path}: {measure}", unit, ">=", bound, "bare veth pair")
    for path, bound in PATHS.items()
    for measure, (_, unit) in MEASURES.items()
) + tuple(
    Aim(f"{pair}: {measure}", unit, ">=", bound, f"{baseline} path")
    for pair, (_, baseline, bound) in PAIRS.items()
    for measure, (_, unit) in MEASURES.items()
)
SCALE_AIMS = tuple(
    Aim(f"{scale}: {measure}", MEASURES[measure][1], ">=", 0.9, f"1, {path} path")
    for scale, (path, _) in SCALES.items()
    for measure in ("round trip", "connections")
)


def measure_paths(wanted: Sequence[Aim]) -> Iterator[Row]:
    """Measure each wanted path in a private world."""
    named = {aim.row.partition(": ")[0] for aim in wanted}
    compared = {path for pair in named & PAIRS.keys() for path in PAIRS[pair][:2]}
    paths = [path for path in PATHS if path in named | compared]

    def work() -> Figures:
        lab = Lab()
        ways = build(lab, Vpc("default", 0))["default"]
        return _rounds(lab, [BARE, *(ways[path] for path in paths)], wanted)

    yield from _rows(wanted, in_private_world(work), lambda path: PAIRS.get(path, (path, BARE.name))[1])


def measure_scales(wanted: Sequence[Aim]) -> Iterator[Row]:
    """Measure the same path of a small and of a large VPC, which stand beside one another."""
    larger = {
        "500 instances": Vpc("many", 1, instances=500),
        "1000 firewall rules": Vpc("many", 1, rules=1000),
    }
    for scale, vpc in larger.items():
        mine = [aim for aim in wanted if aim.row.startswith(f"{scale}: ")]
        if not mine:
            continue
        small = Vpc("one", 0, rules=min(vpc.rules, 1))
        path = SCALES[scale][0]

        def work(small: Vpc = small, vpc: Vpc = vpc, path: str = path, mine: list[Aim] = mine) -> Figures:
            lab = Lab()
            ways = build(lab, small, vpc)
            pair = [_renamed(ways["one"][path], "1"), _renamed(ways["many"][path], _scale(mine))]
            return _rounds(lab, pair, mine)

        yield from _rows(mine, in_private_world(work), lambda _: "1")


def _scale(aims: Sequence[Aim]) -> str:
    return aims[0].row.partition(": ")[0]


def _renamed(way: Way, name: str) -> Way:
    return Way(name, way.start, way.end, way.address)


def _rounds(lab: Lab, ways: Sequence[Way], wanted: Sequence[Aim]) -> Figures:
    measures = [name for name in MEASURES if any(aim.row.endswith(f": {name}") for aim in wanted)]
    figures: Figures = {}
    with served(lab.driver, list(ways)):
        for number in range(ROUNDS + 1):
            turned = [*ways[number % len(ways) :], *ways[: number % len(ways)]]
            for name in measures:
                for way in turned:
                    figure = MEASURES[name][0](lab.driver, way)
                    if number:  # the first round only warms up
                        figures.setdefault(f"{way.name}: {name}", []).append(figure)
    return figures


def _rows(wanted: Sequence[Aim], figures: Figures, baseline: Callable[[str], str]) -> Iterator[Row]:
    for aim in wanted:
        path, _, measure = aim.row.partition(": ")
        subject = PAIRS[path][0] if path in PAIRS else path
        pair = figures[f"{subject}: {measure}"], figures[f"{baseline(path)}: {measure}"]
        yield compare(aim, *pair, less_is_better=measure == "round trip")
