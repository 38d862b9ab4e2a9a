"""A policy as chains of nft rules.

Guards jump to a chain that stays and holds one rule: go to the policy's current body. A new body is built
beside the old one, in as many transactions as it needs, and then the one rule is exchanged: packets see the
old policy or the new one, never a half.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, collapse_addresses

from fogbank.dataplane.linux.nftables import TABLE, drop_counter, group_set, policy_chain, slug
from fogbank.network.topology import Policy, PortRange, Rule, Traffic

DEFAULT_DENY = "default-deny"

_WITH_PORTS = {6: "tcp", 17: "udp", 132: "sctp"}


def body_chain(name: str, version: int) -> str:
    """Name the chain that holds version ``version`` of a policy's rules."""
    return f"body_{slug(name)}_{version}"


def reasons(policy: Policy) -> set[str]:
    """List the reasons under which the policy counts what it drops."""
    named = {rule.label or DEFAULT_DENY for rule in policy.rules if rule.action == "deny"}
    return named | ({DEFAULT_DENY} if policy.default == "deny" else set())


def render_body(policy: Policy, version: int) -> list[str]:
    """Build the policy's rules in a chain that nothing uses yet."""
    body = body_chain(policy.name, version)
    lines = [f"add counter {TABLE} {drop_counter(reason)}" for reason in sorted(reasons(policy))]
    lines += [
        f"add set {TABLE} {group_set(group)} {{ type ipv4_addr; }}"
        for group in sorted({group for rule in policy.rules for group in rule.groups})
    ]
    lines.append(f"add chain {TABLE} {body}")
    for rule in policy.rules:
        lines += [f"add rule {TABLE} {body} {text}" for text in _rule_lines(rule)]
    end = f"counter name {drop_counter(DEFAULT_DENY)} drop" if policy.default == "deny" else "return"
    return [*lines, f"add rule {TABLE} {body} {end}"]


def render_swing(policy: Policy, version: int) -> list[str]:
    """Make the body the one that packets meet; must be one transaction."""
    chain = policy_chain(policy.name)
    return [
        f"add chain {TABLE} {chain}",
        f"flush chain {TABLE} {chain}",
        f"add rule {TABLE} {chain} goto {body_chain(policy.name, version)}",
    ]


def render_no_body(name: str, version: int) -> list[str]:
    """Remove a body that nothing uses any more."""
    body = body_chain(name, version)
    return [f"flush chain {TABLE} {body}", f"delete chain {TABLE} {body}"]


def render_no_policy(name: str, version: int) -> list[str]:
    """Remove a policy that no guard names any more."""
    chain = policy_chain(name)
    return [f"flush chain {TABLE} {chain}", f"delete chain {TABLE} {chain}", *render_no_body(name, version)]


def _rule_lines(rule: Rule) -> Iterator[str]:
    verdict = "return"
    if rule.action == "deny":
        verdict = f"counter name {drop_counter(rule.label or DEFAULT_DENY)} drop"
    for traffic in _distinct(rule.traffic):
        for source in _sources(rule):
            words = (source, _networks("daddr", rule.destinations), _traffic(traffic), verdict)
            yield " ".join(word for word in words if word)


def _distinct(traffic: tuple[Traffic, ...]) -> tuple[Traffic, ...]:
    """Reduce to all traffic when one alternative is all; ports of a protocol without ports match nothing."""
    everything = Traffic()
    if everything in traffic:
        return (everything,)
    return tuple(t for t in dict.fromkeys(traffic) if not t.ports or t.protocol in {None, *_WITH_PORTS})


def _sources(rule: Rule) -> list[str]:
    found = [_networks("saddr", rule.sources)] if rule.sources else []
    found += [f"ip saddr @{group_set(group)}" for group in rule.groups]
    return found or [""]


def _networks(side: str, networks: tuple[IPv4Network, ...]) -> str:
    if not networks:
        return ""
    merged = [str(network) for network in collapse_addresses(networks)]
    if merged == ["0.0.0.0/0"]:
        return ""
    return f"ip {side} {merged[0]}" if len(merged) == 1 else f"ip {side} {{ {', '.join(merged)} }}"


def _traffic(traffic: Traffic) -> str:
    if not traffic.ports:
        return "" if traffic.protocol is None else f"meta l4proto {traffic.protocol}"
    if traffic.protocol is None:
        name = f"meta l4proto {{ {', '.join(_WITH_PORTS.values())} }} th"
    else:
        name = _WITH_PORTS[traffic.protocol]
    merged = [_ports(ports) for ports in _merge(traffic.ports)]
    return f"{name} dport {merged[0]}" if len(merged) == 1 else f"{name} dport {{ {', '.join(merged)} }}"


def _ports(ports: PortRange) -> str:
    return str(ports.first) if ports.first == ports.last else str(ports)


def _merge(ports: tuple[PortRange, ...]) -> list[PortRange]:
    """Join ranges that touch or overlap: nft refuses overlapping ones."""
    merged: list[PortRange] = []
    for one in sorted(ports):
        if merged and one.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, one.last))
        else:
            merged.append(one)
    return merged
