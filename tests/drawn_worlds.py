"""Random small Worlds for laws: all that the region's networking knows, in few enough variants to collide."""

from collections.abc import Sequence
from ipaddress import IPv4Network
from random import Random

from hypothesis import strategies as st
from tests.worlds import (
    R,
    address,
    connector,
    default_route,
    direct,
    firewall,
    firewall_policy,
    fleet,
    machine,
    nat,
    nat_rule,
    network,
    policy_rule,
    redis,
    revision,
    route,
    router,
    site,
    subnetwork,
    world,
)

from fogbank.resources.fleet import Fleet
from fogbank.resources.world import World

Drawn = tuple[World, Fleet]

OTHER_REGION = "us-central1"
SITES = (("partner.example", "192.0.2.40", (8080,)), ("bank.example", "192.0.2.41", ()))
RANGES = ("10.1.0.0/28", "10.2.0.0/28", "172.16.3.0/28", "192.168.4.0/28")
HIDDEN = ("10.8.0.0/28", "10.9.0.0/28")
SECONDARY = ("10.21.0.0/28", "10.22.0.0/28", "10.23.0.0/28", "10.24.0.0/28")
REDIS = "10.30.0.0/29"
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


MATCHES = ("destination.ip == '192.0.2.40'", "inIpRange(destination.ip, '192.0.2.32/28')")
PORT_COUNTS = (2, 50, 64, 1024, 32768)


def worlds(port_counts: Sequence[int] = PORT_COUNTS, *, even: bool = False) -> st.SearchStrategy[Drawn]:
    """Draw a World and its fleet; gateways give their clients one of ``port_counts``.

    Hypothesis likes small and repeated values, which makes good failures; ``even`` draws are as likely as
    one another, which meets more of the interesting combinations, and do not shrink.
    """
    return st.randoms(use_true_random=even).map(lambda random: draw_world(random, port_counts))


def draw_world(random: Random, port_counts: Sequence[int] = PORT_COUNTS) -> Drawn:
    """Draw a World and its fleet."""
    networks = ["default", "other"][: random.choice([1, 1, 2])]
    subnets = [
        (f"s{n}", cidr, random.choice(networks), random.choice([R, R, R, OTHER_REGION]))
        for n, cidr in enumerate(RANGES[: random.randint(1, 4)])
    ]
    connectors = _connectors(random, networks, subnets)
    own = [f"vpc-connector-{each.name.region}-{each.name.id}" for each in connectors]
    tags = ["vpc-connector", "web", *own]
    revisions = _revisions(random, connectors)
    resources = [
        *_networks(random, networks),
        *(default_route(each) for each in networks if random.random() < 0.85),
        *(
            subnetwork(
                name,
                cidr,
                of,
                region,
                SECONDARY[n : n + 1] if n % 2 == 0 else (),
                google_access=random.random() < 0.3,
            )
            for n, (name, cidr, of, region) in enumerate(subnets)
        ),
        *connectors,
        *(_firewall(random, n, networks, tags) for n in range(random.randint(0, 4))),
        *_policies(random, networks),
        *_gateways(random, networks, subnets, port_counts),
        *(site(host, ip, ports) for host, ip, ports in SITES),
        *revisions,
    ]
    filled = {each.private.get("subnet", "").rpartition("/")[2] for each in connectors}
    machines = _machines(random, [each for each in subnets if each[0] not in filled], tags)
    resources += machines
    resources += [_route(random, n, networks, tags, machines) for n in range(random.randint(0, 4))]
    resources += _redis(random, networks)
    directly, homes = _direct_revisions(random, subnets)
    resources += directly
    random.shuffle(resources)
    return world(*resources), _with_addresses(random, fleet(*revisions, *directly), homes)


def _networks(random, networks):
    """Draw the networks; two are often peered, now and then on one side only."""
    sides = random.choice([(), (0, 1), (0, 1), (0, 1), (0,)]) if len(networks) > 1 else ()
    flags = [{"exports": random.random() < 0.5, "imports": random.random() < 0.5} for _ in networks]
    return [
        network(
            each,
            mtu=random.choice([1460, 1460, 1500]),
            order=random.choice(["AFTER", "BEFORE"]),
            peers=[(networks[1 - place], flags[place])] if place in sides else (),
        )
        for place, each in enumerate(networks)
    ]


def _connectors(random, networks, subnets):
    homes = [
        {"cidr": cidr, "of": of, "subnet": name, "region": region} for name, cidr, of, region in subnets
    ] + [{"cidr": cidr, "of": random.choice(networks), "region": R} for cidr in HIDDEN]
    chosen = random.sample(range(len(homes)), random.choice([0, 1, 1, 1, 2, 3]))
    return [
        connector(
            f"c{number}",
            instances=random.choice([2, 2, 3]),
            machine=random.choice(["e2-micro", "f1-micro"]),
            state=random.choice(["READY"] * 7 + ["ERROR"]),
            **homes[number],
        )
        for number in chosen
    ]


def _revisions(random, connectors):
    names = [None, "gone", *([each.name.path for each in connectors] * 6)]
    modes = [None, "private-ranges-only", "all-traffic", "all-traffic"]
    return [
        revision(f"web-0000{n}-abc", random.choice(names), random.choice(modes))
        for n in range(random.choice([1, 2, 2]))
    ]


def _machines(random, subnets, tags):
    """Draw virtual machines, one at most in a subnetwork, where routes may lead."""
    made = []
    for number, (name, cidr, of, region) in enumerate(subnets):
        if random.random() < 0.5:
            continue
        within = IPv4Network(cidr)
        made.append(
            machine(
                f"vm-{number}",
                str(within[9]),
                name,
                of=of,
                region=region,
                gateway=str(within[1]),
                external=f"203.0.113.{100 + number}" if random.random() < 0.5 else None,
                tags=random.sample(tags, random.choice([0, 0, 1, 2])),
                forwards=random.random() < 0.5,
                status=random.choice(["RUNNING"] * 5 + ["TERMINATED"]),
                aliases=_aliases(random, int(name[1:])),
            )
        )
    return made


def _aliases(random, number):
    """Draw alias ranges of the secondary range that the subnetwork ``number`` has."""
    if number % 2 or random.random() < 0.4:
        return ()
    within = IPv4Network(SECONDARY[number])
    return (f"{within[4]}/{random.choice([32, 30])}",)


def _redis(random, networks):
    """Draw at most one Redis instance: a range behind a peering, of which its own region may speak."""
    if random.random() < 0.6:
        return []
    return [redis("cache", REDIS, of=random.choice(networks), region=random.choice([R, R, OTHER_REGION]))]


def _direct_revisions(random, subnets):
    """Draw revisions with Direct VPC egress, each with the subnetwork that it is in by its name."""
    made, homes = [], {}
    for number in range(random.choice([0, 0, 1, 2])):
        name, _, of, region = home = random.choice(subnets)
        tags = random.choice([[], ["web"], ["vpc-connector", "web"]])
        interface = {"network": of, "subnetwork": name, "tags": tags}
        egress = random.choice([None, "private-ranges-only", "all-traffic", "all-traffic"])
        one = revision(f"direct-0000{number}-abc", egress=egress, region=region, interface=interface)
        made.append(one)
        homes[one.name] = home
    return made, homes


def _with_addresses(random, made, homes):
    """Give the instances of revisions in ``homes`` the last addresses of their subnetworks."""
    instances, nat = dict(made.instances), random.random() < 0.9
    free = {cidr: list(IPv4Network(cidr).hosts())[-2:0:-1] for cidr in RANGES}
    for identifier, instance in made.instances.items():
        if home := homes.get(instance.owner):
            _, cidr, of, _ = home
            instances[identifier] = direct(instance, str(free[cidr].pop(0)), of, nat=nat)
    return Fleet(instances)


def _firewall(random, number, networks, tags):
    direction = random.choice(["INGRESS", "EGRESS"])
    peers = list(random.choice(PEERS))
    where = {"sourceRanges": peers} if direction == "INGRESS" else {"destinationRanges": peers}
    if direction == "INGRESS" and random.random() < 0.3:
        where = {"sourceTags": [random.choice(tags)]}
    if random.random() < 0.3:
        where["targetTags"] = [random.choice(tags)]
    verb = random.choice(["allowed", "allowed", "denied"])
    return firewall(
        f"rule-{number}",
        direction,
        of=random.choice(networks),
        priority=random.choice([100, 1000, 65534]),
        disabled=random.random() < 0.15,
        **{verb: random.choice(PROTOCOLS)},
        **where,
    )


def _policies(random, networks):
    """Draw network firewall policies: a global one for some networks, and one of a region."""
    made = []
    for name, region in (("p", None), ("r", R), ("o", OTHER_REGION)):
        if random.random() < 0.4:
            rules = [_policy_rule(random, priority) for priority in range(random.randint(1, 4))]
            made.append(firewall_policy(name, rules, random.sample(networks, 1), region))
    return made


def _policy_rule(random, priority):
    direction = random.choice(["INGRESS", "EGRESS"])
    return policy_rule(
        priority,
        random.choice(["allow", "deny", "goto_next"]),
        direction,
        ranges=random.choice(PEERS),
        traffic=random.choice(PROTOCOLS),
    )


def _route(random, number, networks, tags, machines):
    """Draw a route; few destinations and priorities, so that several share the flows now and then."""
    return route(
        f"route-{number}",
        random.choice(DESTINATIONS),
        of=random.choice(networks),
        priority=random.choice([500, 1000, 1000]),
        tags=[random.choice(tags)] if random.random() < 0.4 else [],
        via=random.choice([None, None, "10.1.0.9", "10.2.0.9", *(each.name for each in machines)]),
    )


def _gateways(random, networks, subnets, port_counts):
    spare = [(f"a{number}", f"203.0.113.{number + 2}") for number in range(6)]
    made = []
    for number in range(random.choice([0, 1, 1, 2])):
        of, region = random.choice(networks), random.choice([R, R, R, OTHER_REGION])
        mine = [spare.pop(0) for _ in range(random.randint(1, 2))]
        inside = [name for name, _, home, place in subnets if (home, place) == (of, region)]
        listed = random.sample(inside, random.randint(1, len(inside))) if inside else None
        ruled = spare.pop(0)
        gateway = nat(
            f"nat-{number}",
            [name for name, _ in mine],
            listed if random.random() < 0.5 else None,
            region,
            ranges=random.choice(["PRIMARY_IP_RANGE", "ALL_IP_RANGES"]),
            **{"minPortsPerVm": random.choice(port_counts)}
            | random.choice(
                [
                    {},
                    {"enableEndpointIndependentMapping": True},
                    {"logConfig": {"enable": True, "filter": "ALL"}},
                    {"enableDynamicPortAllocation": True, "minPortsPerVm": 128, "maxPortsPerVm": 1024},
                    {"rules": [nat_rule(random.randint(1, 9), random.choice(MATCHES), ruled[0], region)]},
                ]
            ),
        )
        made += [address(name, ip, region) for name, ip in (*mine, ruled)]
        made.append(router(f"router-{number}", [gateway], of=of, region=region))
    return made
