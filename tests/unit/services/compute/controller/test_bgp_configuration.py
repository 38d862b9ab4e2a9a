"""What bgpd is told: the difference of two configurations, and what it says."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from fogbank.resources.bgp import LearnedRoute
from fogbank.services.compute.controller.vpn.bgp_configuration import (
    Configuration,
    Heard,
    Line,
    Neighbor,
    configuration,
    heard,
    steps,
)

ROUTER = IPv4Address("203.0.113.1")
NETWORKS = tuple(IPv4Network(f"10.{number}.0.0/16") for number in range(4))


def neighbor(number, asn=65001, own=64512, advertised=(), *, enabled=True, key=""):
    local, peer = IPv4Interface(f"169.254.{number}.1/30"), IPv4Address(f"169.254.{number}.2")
    return Neighbor(f"peer{number}", local, peer, asn, own, 20, tuple(advertised), enabled, key)


ADVERTISED = st.dictionaries(st.sampled_from(NETWORKS), st.sampled_from([0, 100, 301])).map(
    lambda found: tuple(sorted(found.items()))
)
NEIGHBORS = st.lists(
    st.builds(
        neighbor,
        st.integers(0, 3),
        st.sampled_from([65001, 65002]),
        st.sampled_from([64512, 64513]),
        ADVERTISED,
        enabled=st.booleans(),
        key=st.sampled_from(["", "key"]),
    ),
    max_size=3,
    unique_by=lambda each: each.name,
).map(tuple)


class Daemon:
    """A configuration as a daemon keeps it."""

    def __init__(self):
        self.lines = set()

    def take(self, lines):
        context: tuple[str, ...] = ()
        if lines[0].startswith("no router bgp"):
            self.lines = {each for each in self.lines if not each.context}
            return
        while len(lines) > 1 and lines[0].startswith(("router bgp", "address-family")):
            context, lines = (*context, lines[0]), lines[1:]
        line = Line(context, lines[0], tuple(lines[1:]))
        gone = {each for each in self.lines if each.context == context and each.removal == line.text}
        if gone and line.text not in {each.text for each in CONSTANT}:
            self.lines -= gone
        else:
            self.lines.add(line)


CONSTANT = [each for each in configuration(ROUTER, (neighbor(0),)) if each.text.startswith("no ")]


@given(st.lists(NEIGHBORS, min_size=1, max_size=4))
def test_a_daemon_that_follows_the_steps_has_exactly_what_is_wanted(changes):
    daemon = Daemon()
    told: Configuration = ()
    for each in changes:
        wanted = configuration(ROUTER, each)
        for lines, _ in steps(told, wanted):
            daemon.take(lines)
        told = wanted
        # The lines that every daemon has may stay when the last neighbour goes with its process.
        assert {line for line in daemon.lines if line.context} == {line for line in wanted if line.context}


def test_a_changed_advertisement_leaves_the_session_alone():
    before = configuration(ROUTER, (neighbor(0, advertised=((NETWORKS[0], 100),)),))
    after = configuration(ROUTER, (neighbor(0, advertised=((NETWORKS[0], 100), (NETWORKS[1], 100))),))
    told = [lines for lines, _ in steps(before, after)]
    assert told == [
        ("ip prefix-list out-169.254.0.2-100 permit 10.1.0.0/16",),
        ("router bgp 64512", "address-family ipv4 unicast", "network 10.1.0.0/16"),
    ]


def test_nothing_is_told_twice():
    same = configuration(ROUTER, (neighbor(0), neighbor(1)))
    assert list(steps(same, same)) == []


def test_what_peers_have_told_is_read_with_its_path_and_med():
    path = {
        "valid": True,
        "pathFrom": "external",
        "peerId": "169.254.0.2",
        "path": "65001 65010",
        "metric": 50,
    }
    own = {"valid": True, "pathFrom": "external", "peerId": "(unspec)", "path": ""}
    table = {"routes": {"192.168.0.0/24": [path], "10.0.0.0/8": [own]}}
    summary = {"peers": {"169.254.0.2": {"state": "Established"}, "169.254.1.2": {"state": "Active"}}}
    route = LearnedRoute(IPv4Network("192.168.0.0/24"), 50, (65001, 65010))
    assert heard(summary, table) == {
        IPv4Address("169.254.0.2"): Heard("Established", (route,)),
        IPv4Address("169.254.1.2"): Heard("Active", ()),
    }
