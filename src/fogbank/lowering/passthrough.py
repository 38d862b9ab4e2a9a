"""Passthrough load balancers in the kernel: a route for the address over all machines that serve it.

Every machine has the address itself, so packets arrive as the client sent them, and answers go to the client
by the network's router alone. Flows are spread by their hash; a change of machines moves no others' flows
(decision 0090). For an external address the uplink translates it to itself, which opens the way in. What is
not the rule's protocol and ports is dropped before any rule of the user's is asked.
"""

from collections.abc import Iterator

from fogbank.lowering.endpoints import region_mark
from fogbank.lowering.feature import Membership
from fogbank.lowering.firewall import EffectiveRule
from fogbank.lowering.netns_names import INTERNET, UPLINK, device_to, internet_device, vpc_netns
from fogbank.network.addressing import VPC_ROUTER, host
from fogbank.network.topology import Element, Hop, PortRange, Route, Rule, SourceNat, Traffic
from fogbank.resources.passthrough import Passthrough

_STAGE = -1
"""Before all other rules."""


def passthrough(rule: Passthrough) -> Iterator[Element]:
    """Lower the way of packets for the address of a rule."""
    router, address = vpc_netns(rule.network), host(rule.address)
    yield Route(router, address, tuple(Hop(device_to(each), each) for each in rule.hops))
    if rule.external:
        yield SourceNat(router, UPLINK, address, rule.address, both_ways=True)
        yield Route(INTERNET, address, (Hop(internet_device(rule.network), VPC_ROUTER),))


def membership(rule: Passthrough) -> Membership:
    """Say what a rule adds to its network: nobody else has its address, and it takes nothing but its own."""
    return Membership(
        rule.network, reserved=() if rule.external else (rule.address,), rules=tuple(_rules(rule))
    )


def _rules(rule: Passthrough) -> Iterator[EffectiveRule]:
    """Let the rule's own packets go on to the user's rules, and drop others for its address."""
    near = () if rule.external or rule.everywhere else (region_mark(rule.region),)
    ports = tuple(PortRange(first, last) for first, last in rule.ports)
    to = (host(rule.address),)
    label = f"forwarding-rule-{rule.rule.id}"
    own = Rule(
        "next",
        (Traffic(rule.protocol, ports),),
        address_sets=near,
        destinations=to,
        label=label,
        stage=_STAGE,
    )
    rest = Rule("deny", (Traffic(),), destinations=to, label=label, stage=_STAGE)
    for order, each in enumerate((own, rest)):
        yield EffectiveRule(
            rule.rule,
            rule.network,
            "INGRESS",
            frozenset(),
            each,
            (order, False, f"{rule.address} {rule.rule.path}"),
        )
