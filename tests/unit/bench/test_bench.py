"""The benchmark's table: nothing here measures time."""

import json

import pytest
from bench.__main__ import AIMS
from bench.table import Aim, Row, compare, render, render_json

AIM = Aim("direct: connections", "1/s", ">=", 0.9, "bare veth pair")
LIMIT = Aim("up to ready, cold", "s", "<=", 1, "1.0 s")


def test_a_ratio_is_the_median_of_the_rounds_own_ratios():
    # The machine was three times slower in the second round: the figures differ, the ratio does not.
    row = compare(AIM, [950, 300, 940], [1000, 333, 1000])
    assert (row.subject, row.baseline) == (940, 1000)
    assert row.ratio == pytest.approx(0.94)
    assert row.met


def test_where_less_is_better_the_ratio_is_turned_around():
    assert compare(AIM, [25.0], [20.0], less_is_better=True).ratio == pytest.approx(0.8)


def test_a_limit_is_kept_below_it_and_missed_above():
    assert compare(LIMIT, [0.7], [1.0]).met
    assert not compare(LIMIT, [1.2], [1.0]).met


def test_the_table_shows_the_aim_beside_each_ratio_and_does_not_hide_a_miss():
    lines = render([Row(AIM, 7000, 10000, 0.7), Row(LIMIT, 0.61, 1, 0.61)]).splitlines()
    assert [line.split() for line in lines] == [
        ["row", "subject", "baseline", "unit", "ratio", "aim", "met", "measured", "against"],
        [
            "direct:",
            "connections",
            "7,000",
            "10,000",
            "1/s",
            "0.7",
            ">=",
            "0.9",
            "NO",
            "bare",
            "veth",
            "pair",
        ],
        ["up", "to", "ready,", "cold", "0.61", "1", "s", "0.61", "<=", "1", "yes", "1.0", "s"],
    ]


def test_programs_get_the_same_rows():
    shown = json.loads(render_json([Row(AIM, 7000, 10000, 0.7)], {"cores": 2}))
    assert shown["machine"] == {"cores": 2}
    (row,) = shown["rows"]
    assert (row["row"], row["ratio"], row["bound"], row["met"]) == ("direct: connections", 0.7, 0.9, False)


def test_every_aim_has_a_row():
    bounds = {aim.row: (aim.side, aim.bound) for aim in AIMS}
    assert len(bounds) == len(AIMS)
    for path, bound in {
        "direct": 0.9,
        "direct VPC": 0.9,
        "direct VPC to connector": 1.0,
        "nat": 0.85,
        "connector": 0.75,
        "connector+nat": 0.7,
    }.items():
        for measure in ("throughput", "round trip", "connections"):
            assert bounds.pop(f"{path}: {measure}") == (">=", bound)
    for scale in ("500 instances", "1000 firewall rules"):
        for measure in ("round trip", "connections"):
            assert bounds.pop(f"{scale}: {measure}") == (">=", 0.9)
    for count in ("1 connection", "8 connections"):
        assert bounds.pop(f"serving path to the program: {count}") == (">=", 0.3)
        assert bounds.pop(f"serving path: {count}") == (">=", 0.7)
    for share in ("p50", "p99"):
        assert bounds.pop(f"added latency: {share}") == ("<=", 1)
    for count in ("1 connection", "4 connections"):
        assert bounds.pop(f"API insert, get, delete: {count}") == (">=", 5)
        assert bounds.pop(f"API get: {count}") == (">=", 0.3)
    for calls in ("insert, delete", "network insert, delete", "get", "page of a list"):
        assert bounds.pop(f"API {calls}: 2,000 firewall rules") == (">=", 0.9)
    for measure in ("push", "pull", "small blobs"):
        assert bounds.pop(f"registry: {measure}") == (">=", 0.8)
    for entry in ("flow log records", "firewall log entries", "NAT log entries"):
        assert bounds.pop(f"{entry} a CPU second") == (">=", 1)
    assert bounds == {
        "up to ready, cold": ("<=", 1),
        "idle memory": ("<=", 1),
        "an instance's network": ("<=", 1),
        "netcheck cold start": ("<=", 1.5),
        "a write among 2,000 firewall rules": ("<=", 2),
        "a write among 2,000 networks": ("<=", 2),
        "an instance among 4,000": ("<=", 4),
        "a request's instance among 1,000": ("<=", 2),
        "the 257th service": ("<=", 2),
        "a write's stall at 100,000 elements": ("<=", 1),
        "article 000": ("<=", 2),
        "a request to a service at zero": ("<=", 1.2),
        "deploy to ready": ("<=", 1),
        "200 idle services: processes more": ("<=", 0),
        "an idle service among 200: memory": ("<=", 1),
    }
