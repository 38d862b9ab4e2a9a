"""The commands of `fogbank why` open the way: in random regions, whatever stops a flow.

The commands are answered by compute's own methods, so a command that would be refused fails the law, too.
"""

import shlex
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from random import Random
from typing import Any

import pytest
from tests.compute_calls import NOW, Compute
from tests.drawn_worlds import Drawn, draw_world
from tests.lowered import lower

from fogbank.network.topology import Key, NetworkNamespace, Topology
from fogbank.paths.blockers import blockers
from fogbank.paths.predict import predict
from fogbank.paths.remedies import Remedies, Remedy
from fogbank.paths.trace import Flow
from fogbank.resources.names import ResourceName
from fogbank.resources.world import PutOperation, World
from fogbank.services.compute import SERVICE

EXAMPLES, ROUNDS = 60, 6
"""A way has several settings, some of which are met only when others are lifted."""

DESTINATIONS = (
    ("192.0.2.40", 80),
    ("192.0.2.41", 443),
    ("10.1.0.9", 80),
    ("10.2.0.9", 22),
    ("203.0.113.100", 80),
)

Flags = Mapping[str, str]


class Shell:
    """Answers the commands that remedies give."""

    def __init__(self, world: World) -> None:
        self.compute = Compute(first_id=5 * 10**18)
        self.compute.world = world

    def run(self, line: str) -> None:
        for command in line.split(" && "):
            words = shlex.split(command)[1:]
            given = dict(
                word.removeprefix("--").partition("=")[::2] for word in words if word.startswith("--")
            )
            plain = [word for word in words if not word.startswith("--")]
            answers = COMMANDS[" ".join(plain[:-1])]
            answers(self, plain[-1], given)
            self._settle()

    def _settle(self) -> None:
        world = self.compute.world
        for each in world.running.values():
            world = world.after(SERVICE.converged(world, each.target, NOW))
            world = world.after([PutOperation(each.done(NOW))])
        self.compute.world = world

    def make_rule(self, name: str, given: Flags) -> None:
        protocol, _, port = given["rules"].partition(":")
        traffic = {"IPProtocol": protocol} | ({"ports": [port]} if port else {})
        side = "source" if given["direction"] == "INGRESS" else "destination"
        body = {
            "name": name,
            "network": f"global/networks/{given['network']}",
            "direction": given["direction"],
            "priority": int(given["priority"]),
            "allowed": [traffic],
            f"{side}Ranges": [given[f"{side}-ranges"]],
        }
        self.compute("firewalls.insert", body)

    def disable_rule(self, name: str, given: Flags) -> None:
        assert "disabled" in given
        self.compute("firewalls.patch", {"disabled": True}, firewall=name)

    def make_policy_rule(self, priority: str, given: Flags) -> None:
        protocol, _, port = given["layer4-configs"].partition(":")
        side = "src" if given["direction"] == "INGRESS" else "dest"
        layer4 = {"ipProtocol": protocol} | ({"ports": [port]} if port else {})
        match = {f"{side}IpRanges": [given[f"{side}-ip-ranges"]], "layer4Configs": [layer4]}
        rule = {"priority": int(priority), "direction": given["direction"], "action": "allow", "match": match}
        self._policy("addRule", rule, given)

    def disable_policy_rule(self, priority: str, given: Flags) -> None:
        assert "disabled" in given
        self._policy("patchRule", {"disabled": True}, given, priority=int(priority))

    def _policy(self, verb: str, body: dict[str, Any], given: Flags, **more: Any) -> None:
        region = given.get("firewall-policy-region")
        kind = "regionNetworkFirewallPolicies" if region else "networkFirewallPolicies"
        place = {"firewallPolicy": given["firewall-policy"]} | ({"region": region} if region else {})
        self.compute(f"{kind}.{verb}", body, **place, **more)

    def make_router(self, name: str, given: Flags) -> None:
        body = {"name": name, "network": f"global/networks/{given['network']}"}
        self.compute("routers.insert", body, region=given["region"])

    def make_gateway(self, name: str, given: Flags) -> None:
        assert "auto-allocate-nat-external-ips" in given
        entry: dict[str, Any] = {"name": name, "natIpAllocateOption": "AUTO_ONLY"} | _served(given)
        self._gateways(given, lambda nats: [*nats, entry])

    def change_gateway(self, name: str, given: Flags) -> None:
        pool = given.get("nat-external-ip-pool")
        place = f"regions/{given['region']}/addresses/"
        change = {"natIps": [place + each for each in pool.split(",")]} if pool else _served(given)
        kept = {"subnetworks"} if "sourceSubnetworkIpRangesToNat" in change else set()
        self._gateways(
            given,
            lambda nats: [
                {k: v for k, v in nat.items() if k not in kept} | change if nat["name"] == name else nat
                for nat in nats
            ],
        )

    def _gateways(self, given: Flags, change: Callable[[list[Any]], list[Any]]) -> None:
        place = {"router": given["router"], "region": given["region"]}
        nats = self.compute("routers.get", **place).get("nats", [])
        self.compute("routers.patch", {"nats": change(nats)}, **place)

    def make_address(self, name: str, given: Flags) -> None:
        self.compute("addresses.insert", {"name": name}, region=given["region"])

    def give_google_access(self, name: str, given: Flags) -> None:
        assert "enable-private-ip-google-access" in given
        body = {"privateIpGoogleAccess": True}
        self.compute("subnetworks.setPrivateIpGoogleAccess", body, subnetwork=name, region=given["region"])

    def make_route(self, name: str, given: Flags) -> None:
        body = {
            "name": name,
            "network": f"global/networks/{given['network']}",
            "destRange": given["destination-range"],
            "priority": int(given.get("priority", "1000")),
            "nextHopGateway": f"global/gateways/{given['next-hop-gateway']}",
        }
        self.compute("routes.insert", body)


def _served(given: Flags) -> dict[str, Any]:
    if "nat-all-subnet-ip-ranges" in given:
        return {"sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES"}
    names = [each.partition(":") for each in given["nat-custom-subnet-ip-ranges"].split(",")]
    listed = [
        {
            "name": f"regions/{given['region']}/subnetworks/{name}",
            "sourceIpRangesToNat": ["ALL_IP_RANGES" if ranges == "ALL" else "PRIMARY_IP_RANGE"],
        }
        for name, _, ranges in names
    ]
    return {"sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS", "subnetworks": listed}


COMMANDS: Mapping[str, Callable[[Shell, str, Flags], None]] = {
    "compute firewall-rules create": Shell.make_rule,
    "compute firewall-rules update": Shell.disable_rule,
    "compute network-firewall-policies rules create": Shell.make_policy_rule,
    "compute network-firewall-policies rules update": Shell.disable_policy_rule,
    "compute routers create": Shell.make_router,
    "compute routers nats create": Shell.make_gateway,
    "compute routers nats update": Shell.change_gateway,
    "compute addresses create": Shell.make_address,
    "compute networks subnets update": Shell.give_google_access,
    "compute routes create": Shell.make_route,
}

LIFTABLE = {
    "FIREWALL_RULE",
    "NO_EXTERNAL_ADDRESS",
    "CLOUD_NAT_NO_ADDRESSES",
    "PRIVATE_GOOGLE_ACCESS_DISALLOWED",
    "NO_ROUTE",
    "NOTHING_LISTENS",
}
"""The causes that a setting of the network lifts; of the others nothing is promised."""

NOT_BY_ONE_COMMAND = ("as of the region's date", "no peered network", "no other beside it")

SENDER = ResourceName("compute.instances", "projects/demo/zones/asia-northeast3-a/instances/vm-0")


def named(
    world: World, topology: Topology, owners: Mapping[Key, frozenset[ResourceName]], flow: Flow
) -> tuple[Remedy, ...]:
    return Remedies(world, owners, SENDER).lifting(blockers(topology, flow))


def _no_setting(remedy: Remedy, flow: Flow) -> bool:
    """Return whether no setting is to blame: a rule of Google's own, or a private address that nobody has."""
    managed = remedy.cause == "FIREWALL_RULE" and "/" not in remedy.setting
    managed |= any(words in remedy.sentence for words in NOT_BY_ONE_COMMAND)
    return not remedy.command and (managed or remedy.setting == str(flow.destination))


def lift(drawn: Drawn, flow: Flow) -> str | None:
    """Type what is named until nothing is; return why it is no example, None when the flow arrives."""
    world, fleet = drawn
    shell = Shell(world)
    found: tuple[Remedy, ...] = ()
    for _ in range(ROUNDS):
        lowered = lower(shell.compute.world, fleet, Topology())
        found = named(shell.compute.world, lowered.topology, lowered.owners, flow)
        if any(each.cause not in LIFTABLE for each in found):
            return "nothing lifts it"
        if any(_no_setting(each, flow) for each in found if each.cause != "NOTHING_LISTENS"):
            return "nothing lifts it"
        typed = [each for each in found if each.command]
        if not typed:
            assert {each.cause for each in found} <= {"NOTHING_LISTENS"}, found
            assert predict(lowered.topology, flow).verdicts <= {"accepted", "refused", "unknown"}
            return None
        for each in typed:
            shell.run(each.command)
    pytest.fail(f"{flow} does not arrive after {ROUNDS} rounds: {found}")


@pytest.mark.slow(5)
def test_the_commands_of_every_blocker_open_the_way() -> None:
    opened = 0
    for seed in range(EXAMPLES):
        random = Random(seed)
        drawn = draw_world(random, (64, 1024))
        topology = lower(*drawn, Topology()).topology
        starts = [
            each.name for each in topology.of_kind(NetworkNamespace) if each.name.startswith("instance/")
        ]
        for start in starts[:2]:
            for to, port in random.sample(DESTINATIONS, 2):
                flow = Flow(start, IPv4Address(to), port)
                if not blockers(topology, flow):
                    continue
                try:
                    opened += lift(drawn, flow) is None
                except BaseException as error:
                    error.add_note(f"This World's seed is {seed}; the flow is {flow}.")
                    raise
    assert opened >= EXAMPLES / 2
