"""A drawn trace: one line a hop, translations in plain sight, and the real packet below."""

from typing import Any

import click
from inline_snapshot import snapshot

from fogbank.cli.hops import draw

STEPS = [
    {"place": "instance a/0", "state": "START_FROM_CLOUD_RUN_REVISION", "description": "from 169.254.16.1"},
    {"place": "instance a/0", "state": "APPLY_ROUTE", "description": "0.0.0.0/0 to eth1"},
    {"place": "network default", "state": "APPLY_EGRESS_FIREWALL_RULE", "description": "allow-all: allow"},
    {"place": "network default", "state": "NAT", "description": "10.124.0.2 becomes 203.0.113.2:1024-1087"},
    {"place": "ifconfig.me", "state": "DELIVER", "description": "192.0.2.2:80 from 203.0.113.2"},
]
PREDICTED: dict[str, list[object]] = {
    "traces": [{"verdict": "accepted", "source": "203.0.113.2", "steps": STEPS}]
}


def packet(netns, device, source, microseconds):
    return {"netns": netns, "device": device, "source": source, "microseconds": microseconds}


OBSERVED: dict[str, Any] = {
    "verdict": "connected",
    "seconds": 0.0021,
    "sightings": [
        packet("instance/a/0", "eth1", "169.254.16.1:40000", 10),
        packet("vpc/demo/default", "n1", "10.124.0.2:40000", 30),
        packet("vpc/demo/default", "ext", "203.0.113.2:1024", 35),
        packet("site/ifconfig.me", "eth0", "203.0.113.2:1024", 50),
    ],
}


def drawn(answer):
    return "\n".join(click.unstyle(line) for line in draw(answer)) + "\n"


def test_a_prediction_is_one_line_a_hop():
    assert drawn({"predicted": PREDICTED, "observed": None, "differences": []}) == snapshot("""\
  1  instance a/0     from 169.254.16.1 · route 0.0.0.0/0 to eth1
  2  network default  leaves by allow-all: allow · NAT 10.124.0.2 → 203.0.113.2:1024-1087
  3  ifconfig.me      delivered to 192.0.2.2:80 from 203.0.113.2
  →  predicted: accepted, seen as 203.0.113.2
""")


def test_a_packet_is_one_line_a_namespace_and_its_verdict():
    answer = {"predicted": PREDICTED, "observed": OBSERVED, "differences": []}
    assert drawn(answer).partition("\n\n")[2] == snapshot("""\
the real packet
  1  instance a/0     eth1 · from 169.254.16.1:40000
  2  network default  n1 → ext · NAT 10.124.0.2:40000 → 203.0.113.2:1024
  3  ifconfig.me      eth0 · from 203.0.113.2:1024
  →  observed: connected after 2.1 ms
  ✓  prediction and packet agree
""")


def test_the_packets_hops_stand_in_the_order_of_the_way_it_took():
    other = {"verdict": "accepted", "source": "203.0.113.2", "steps": [STEPS[0], *STEPS[3:]]}
    answer: dict[str, object] = {"predicted": {"traces": [other, *PREDICTED["traces"]]}, "differences": []}
    answer["observed"] = OBSERVED | {"sightings": OBSERVED["sightings"][::-1]}
    assert drawn(answer).partition("\n\n")[2].splitlines()[1:4] == snapshot(
        [
            "  1  instance a/0     eth1 · from 169.254.16.1:40000",
            "  2  network default  ext → n1 · NAT 203.0.113.2:1024 → 10.124.0.2:40000",
            "  3  ifconfig.me      eth0 · from 203.0.113.2:1024",
        ]
    )


def test_every_difference_is_listed():
    answer = {"predicted": PREDICTED, "observed": OBSERVED, "differences": ["another source"]}
    assert drawn(answer).splitlines()[-1] == "  ✗  another source"
    assert "agree" not in drawn(answer)


def test_a_dropped_packet_says_why():
    steps = [{"place": "network default", "state": "DROP", "description": "NO_EXTERNAL_ADDRESS: no NAT"}]
    trace = {"verdict": "dropped", "source": "10.124.0.2", "cause": "NO_EXTERNAL_ADDRESS", "steps": steps}
    text = drawn({"predicted": {"traces": [trace, trace]}, "observed": None, "differences": []})
    assert "way 2 of 2" in text
    assert "predicted: dropped, NO_EXTERNAL_ADDRESS" in text


def test_a_packet_that_found_no_port_is_told_in_words():
    drop = {"netns": "vpc/demo/default", "reason": "ports-exhausted", "description": "all are in use"}
    observed = OBSERVED | {"verdict": "timeout", "sightings": OBSERVED["sightings"][:2], "drop": drop}
    text = drawn({"predicted": PREDICTED, "observed": observed, "differences": []})
    assert text.splitlines()[-1] == "  ✗  dropped in network default: ports-exhausted, all are in use"
    assert "agree" not in text
