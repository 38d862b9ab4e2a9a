"""Random small Worlds for laws: all that the region's networking knows, in few enough variants to collide."""

from hypothesis import strategies as st
from tests.worlds import (
    R,
    address,
    connector,
    default_route,
    firewall,
    fleet,
    nat,
    network,
    revision,
    route,
    router,
    site,
    subnetwork,
    world,
)

OTHER_REGION = "us-central1"
SITES = (("partner.example", "192.0.2.40", (8080,)), ("bank.example", "192.0.2.41", ()))
RANGES = ("10.1.0.0/28", "10.2.0.0/28", "172.16.3.0/28", "192.168.4.0/28")
HIDDEN = ("10.8.0.0/28", "10.9.0.0/28")
DESTINATIONS = ("0.0.0.0/0", "192.0.2.40/32", "192.0.2.0/24", "10.50.0.0/16", "192.0.2.32/28")
PROTOCOLS = (
    [{"IPProtocol": "all"}],
    [{"IPProtocol": "tcp"}],
    [{"IPProtocol": "tcp", "ports": ["80"]}],
    [{"IPProtocol": "tcp", "ports": ["8000-9000", "443"]}],
    [{"IPProtocol": "udp"}],
    [{"IPProtocol": "tcp", "ports": ["22"]}, {"IPProtocol": "icmp"}],
)
PEERS = (["0.0.0.0/0"], ["10.0.0.0/8"], ["10.1.0.2/32"], ["192.0.2.40/32"], ["192.0.2.0/24", "10.2.0.0/28"])


def _maybe(draw, one_in=2):
    return draw(st.integers(0, one_in - 1)) == 0


@st.composite
def worlds(draw):
    """Draw a World and its fleet."""
    networks = ["default", "other"][: draw(st.integers(1, 2))]
    subnets = [
        (f"s{n}", cidr, draw(st.sampled_from(networks)), draw(st.sampled_from([R, R, OTHER_REGION])))
        for n, cidr in enumerate(RANGES[: draw(st.integers(1, 4))])
    ]
    connectors = _connectors(draw, networks, subnets)
    tags = [
        "vpc-connector",
        "web",
        *(f"vpc-connector-{each.name.region}-{each.name.id}" for each in connectors),
    ]
    revisions = _revisions(draw, connectors)
    resources = [
        *(network(each, mtu=draw(st.sampled_from([1460, 1500]))) for each in networks),
        *(default_route(each) for each in networks if not _maybe(draw, 5)),
        *(subnetwork(name, cidr, of=of, region=region) for name, cidr, of, region in subnets),
        *connectors,
        *(_firewall(draw, n, networks, tags) for n in range(draw(st.integers(0, 6)))),
        *(_route(draw, n, networks, tags) for n in range(draw(st.integers(0, 3)))),
        *_gateways(draw, networks, subnets),
        *(site(host, ip, ports) for host, ip, ports in SITES),
        *revisions,
    ]
    shuffled = draw(st.permutations(resources))
    return world(*shuffled), fleet(*revisions)


def _connectors(draw, networks, subnets):
    homes = [
        {"cidr": cidr, "of": of, "subnet": name, "region": region} for name, cidr, of, region in subnets
    ] + [{"cidr": cidr, "of": draw(st.sampled_from(networks)), "region": R} for cidr in HIDDEN]
    chosen = draw(st.lists(st.sampled_from(range(len(homes))), unique=True, max_size=3))
    return [
        connector(
            f"c{number}",
            instances=draw(st.integers(2, 3)),
            machine=draw(st.sampled_from(["e2-micro", "f1-micro"])),
            state=draw(st.sampled_from(["READY", "READY", "READY", "ERROR"])),
            **homes[number],
        )
        for number in chosen
    ]


def _revisions(draw, connectors):
    names = [None, "gone", *([each.name.path for each in connectors] * 3)]
    return [
        revision(
            f"web-0000{n}-abc",
            draw(st.sampled_from(names)),
            draw(st.sampled_from([None, "private-ranges-only", "all-traffic", "all-traffic"])),
        )
        for n in range(draw(st.integers(1, 2)))
    ]


def _firewall(draw, number, networks, tags):
    direction = draw(st.sampled_from(["INGRESS", "EGRESS"]))
    peers = list(draw(st.sampled_from(PEERS)))
    where = {"sourceRanges": peers} if direction == "INGRESS" else {"destinationRanges": peers}
    if direction == "INGRESS" and _maybe(draw, 3):
        where = {"sourceTags": [draw(st.sampled_from(tags))]}
    if _maybe(draw, 3):
        where["targetTags"] = [draw(st.sampled_from(tags))]
    verb = draw(st.sampled_from(["allowed", "allowed", "denied"]))
    return firewall(
        f"rule-{number}",
        direction,
        of=draw(st.sampled_from(networks)),
        priority=draw(st.sampled_from([100, 1000, 65534])),
        disabled=_maybe(draw, 6),
        **{verb: draw(st.sampled_from(PROTOCOLS))},
        **where,
    )


def _route(draw, number, networks, tags):
    return route(
        f"route-{number}",
        draw(st.sampled_from(DESTINATIONS)),
        of=draw(st.sampled_from(networks)),
        priority=draw(st.sampled_from([500, 1000, 2000])),
        tags=[draw(st.sampled_from(tags))] if _maybe(draw) else [],
        via=draw(st.sampled_from([None, None, "10.1.0.9"])),
    )


def _gateways(draw, networks, subnets):
    reserved = [("a0", "203.0.113.2"), ("a1", "203.0.113.3"), ("a2", "203.0.113.4"), ("a3", "203.0.113.5")]
    made, spare = [], list(reserved)
    for number in range(draw(st.integers(0, 2))):
        of, region = draw(st.sampled_from(networks)), draw(st.sampled_from([R, R, OTHER_REGION]))
        mine = [spare.pop(0) for _ in range(draw(st.integers(1, 2)))]
        inside = [name for name, _, home, place in subnets if (home, place) == (of, region)]
        listed = draw(st.lists(st.sampled_from(inside), min_size=1, unique=True)) if inside else None
        gateway = nat(
            f"nat-{number}",
            [name for name, _ in mine],
            listed if _maybe(draw) else None,
            region,
            minPortsPerVm=draw(st.sampled_from([2, 50, 64, 1024, 32768])),
        )
        made += [address(name, ip, region) for name, ip in mine]
        made.append(router(f"router-{number}", [gateway], of=of, region=region))
    return made
