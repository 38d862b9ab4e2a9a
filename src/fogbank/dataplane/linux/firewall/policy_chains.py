"""A policy as chains of nft rules.

Port security jumps to a chain that stays and holds one rule: go to the policy's current body. A new body is
built beside the old one, in as many transactions as it needs, and then the one rule is exchanged: packets see
the old policy or the new one, never a half. Long policies become trees of chains and verdict maps (see
:mod:`decision_tree`).
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import groupby
from typing import Literal

from fogbank.dataplane.linux.firewall.decision_tree import (
    SHORT,
    WITH_PORTS,
    Dimension,
    Leaf,
    Line,
    Node,
    Span,
    Split,
    decide_by,
    lines_of,
    merge,
)
from fogbank.dataplane.linux.firewall.nftables import (
    PORTED,
    REFUSE,
    SOCKETS,
    TABLE,
    address_set_name,
    drop_counter,
    policy_chain,
    slug,
)
from fogbank.network.topology import FirewallPolicy, Rule

DEFAULT_DENY = "default-deny"

RULE_GROUP = 10
"""The kernel's log group of what logged rules decide."""
_DENIED = f"{SOCKETS} . inet_proto"
_THIS = "ip saddr . th sport . ip daddr . th dport . meta l4proto"
_AGAIN_SECONDS = 5
"""How often the same denial is reported (behaviour/vpc.md#firewall-logs)."""

_DENIALS = f"add set {TABLE} denied {{ type {_DENIED}; size 65536; flags dynamic,timeout; }}"
_ELEMENTS_A_COMMAND = 100

_KEYS: dict[Dimension, tuple[str, str]] = {
    "protocol": ("meta l4proto", "inet_proto"),
    "port": ("th dport", "inet_service"),
    "source": ("ip saddr", "ipv4_addr"),
    "destination": ("ip daddr", "ipv4_addr"),
}


@dataclass(frozen=True, slots=True)
class Body:
    """One version of a policy's rules: how it is built, and what of it must be deleted some day.

    ``chains`` has the entry first.
    """

    commands: tuple[str, ...]
    chains: tuple[str, ...]
    maps: tuple[str, ...]


def parse_prefix(text: str) -> tuple[str, Literal["allow", "deny"], int, str]:
    """Read the prefix of a report: policy, action, stage and label of the rule."""
    policy, action, stage, label = text.split(" ", 3)
    return policy, "allow" if action == "allow" else "deny", int(stage), label


def reasons(policy: FirewallPolicy) -> set[str]:
    """List the reasons under which the policy counts what it drops."""
    named = {rule.label or DEFAULT_DENY for rule in policy.rules if rule.action == "deny"}
    return named | ({DEFAULT_DENY} if policy.default == "deny" else set())


def render_body(policy: FirewallPolicy, version: int) -> Body:
    """Build the policy's rules in chains that nothing uses yet."""
    address_sets = sorted({address_set for rule in policy.rules for address_set in rule.address_sets})
    prepared = [
        *(f"add counter {TABLE} {drop_counter(reason)}" for reason in sorted(reasons(policy))),
        *(
            f"add set {TABLE} {address_set_name(address_set)} {{ type ipv4_addr; }}"
            for address_set in address_sets
        ),
        *([_DENIALS] if any(rule.logged and rule.action == "deny" for rule in policy.rules) else []),
    ]
    stem, drop = f"{slug(policy.name)}_{version}", _drop(policy)
    writer = _Writer(policy.name, stem, _verdict(policy.default, DEFAULT_DENY, drop), drop)
    entry = ""
    for stage in reversed(_stages(policy)):
        lines = tuple(lines_of(stage))
        entry = writer.chain(decide_by(lines) if len(lines) > SHORT else Leaf(lines))
        writer.default = f"goto {entry}"
    chains = (entry, *(each for each in reversed(writer.chains) if each != entry))
    return Body((*prepared, *writer.commands), chains, tuple(writer.maps))


def _stages(policy: FirewallPolicy) -> list[tuple[Rule, ...]]:
    """Divide the rules by their stages; there is always one, be it empty."""
    return [tuple(rules) for _, rules in groupby(policy.rules, lambda rule: rule.stage)] or [()]


def render_swing(policy: FirewallPolicy, body: Body) -> list[str]:
    """Make ``body`` the one that packets meet; must be one transaction."""
    chain = policy_chain(policy.name)
    return [
        f"add chain {TABLE} {chain}",
        f"flush chain {TABLE} {chain}",
        f"add rule {TABLE} {chain} goto {body.chains[0]}",
    ]


def render_no_body(body: Body) -> list[str]:
    """Remove a body that nothing uses any more."""
    return [
        *(f"flush chain {TABLE} {chain}" for chain in body.chains),
        *(f"delete map {TABLE} {name}" for name in reversed(body.maps)),
        *(f"delete chain {TABLE} {chain}" for chain in body.chains),
    ]


def render_no_policy(name: str) -> list[str]:
    """Remove a policy's lasting chain; refused while port security names it."""
    return [f"flush chain {TABLE} {policy_chain(name)}", f"delete chain {TABLE} {policy_chain(name)}"]


@dataclass(slots=True)
class _Writer:
    """Writes trees' chains, leaves first: a chain must exist before another goes there.

    ``default`` is what a rule of the next tree does without a match, or to go on with the next stage.
    """

    policy: str
    stem: str
    default: str
    drop: str
    commands: list[str] = field(default_factory=list)
    chains: list[str] = field(default_factory=list)
    maps: list[str] = field(default_factory=list)
    _mapped: dict[tuple[str, ...], str] = field(default_factory=dict)
    _written: dict[tuple[str, ...], str] = field(default_factory=dict)

    def chain(self, node: Node) -> str:
        """Write ``node`` and give its chain; nodes that read the same share one."""
        rules = tuple(self._leaf(node) if isinstance(node, Leaf) else self._split(node))
        return self._put(rules)

    def _put(self, rules: tuple[str, ...]) -> str:
        known = self._written.get(rules)
        if known is not None:
            return known
        name = self._written[rules] = f"body_{self.stem}_{len(self.chains)}"
        self.chains.append(name)
        self.commands.append(f"add chain {TABLE} {name}")
        self.commands += [f"add rule {TABLE} {name} {rule}" for rule in rules]
        return name

    def _leaf(self, leaf: Leaf) -> list[str]:
        rules = [self._rule(line) for line in leaf.lines]
        closed = bool(leaf.lines) and leaf.lines[-1].unconditional
        return rules if closed else [*rules, self.default]

    def _rule(self, line: Line) -> str:
        rule = line.rule
        if rule.action == "next":
            verdict = self.default
        elif rule.logged:
            verdict = f"goto {self._put(_logged(self.policy, rule, self.drop))}"
        else:
            verdict = _verdict(rule.action, rule.label or DEFAULT_DENY, self.drop)
        return " ".join(word for word in (*_conditions(line), verdict) if word)

    def _split(self, split: Split) -> list[str]:
        key, kind = _KEYS[split.dimension]
        targets: dict[str, list[Span]] = {}
        for span, node in split.branches:
            targets.setdefault(self.chain(node), []).append(span)
        verdicts = tuple(
            f"{_span(split.dimension, span)} : goto {chain}"
            for chain, spans in targets.items()
            for span in merge(spans)
        )
        otherwise = self.chain(split.otherwise)
        return [f"{key} vmap @{self._map(kind, verdicts)}", f"goto {otherwise}"]

    def _map(self, kind: str, verdicts: tuple[str, ...]) -> str:
        known = self._mapped.get(verdicts)
        if known is not None:
            return known
        name = self._mapped[verdicts] = f"map_{self.stem}_{len(self.maps)}"
        self.maps.append(name)
        self.commands.append(f"add map {TABLE} {name} {{ type {kind} : verdict; flags interval; }}")
        for start in range(0, len(verdicts), _ELEMENTS_A_COMMAND):
            some = ", ".join(verdicts[start : start + _ELEMENTS_A_COMMAND])
            self.commands.append(f"add element {TABLE} {name} {{ {some} }}")
        return name


def _conditions(line: Line) -> tuple[str, ...]:
    return (
        f"ip saddr @{address_set_name(line.address_set)}" if line.address_set is not None else "",
        _match("source", line.source),
        _match("destination", line.destination),
        _match_traffic(line),
    )


def _drop(policy: FirewallPolicy) -> str:
    return f"goto {REFUSE}" if policy.counted else "drop"


def _verdict(action: str, reason: str, drop: str) -> str:
    return "return" if action == "allow" else f"counter name {drop_counter(reason)} {drop}"


def _logged(policy: str, rule: Rule, drop: str) -> tuple[str, ...]:
    """Write what a logged rule does: report a connection's first packet, or a denial that is not repeated."""
    log = f'log prefix "{policy} {rule.action} {rule.stage} {rule.label}" group {RULE_GROUP} snaplen 68'
    if rule.action == "allow":
        return f"{PORTED} ct status & confirmed == 0 {log}", "return"
    return (
        f"counter name {drop_counter(rule.label or DEFAULT_DENY)}",
        f"{PORTED} {_THIS} @denied {drop}",
        f"{PORTED} add @denied {{ {_THIS} timeout {_AGAIN_SECONDS}s }} {log}",
        drop,
    )


def _match_traffic(line: Line) -> str:
    """Match protocol and ports: ports alone where a look-up has settled the protocol."""
    protocol = line.protocol[0][0] if line.protocol else None
    if not line.port:
        return "" if protocol is None else f"meta l4proto {protocol}"
    name = "th" if protocol is None else WITH_PORTS[protocol]
    return f"{name} dport {_set('port', line.port)}"


def _match(dimension: Dimension, spans: tuple[Span, ...]) -> str:
    return f"{_KEYS[dimension][0]} {_set(dimension, spans)}" if spans else ""


def _set(dimension: Dimension, spans: tuple[Span, ...]) -> str:
    texts = [_span(dimension, span) for span in spans]
    return texts[0] if len(texts) == 1 else f"{{ {', '.join(texts)} }}"


def _span(dimension: Dimension, span: Span) -> str:
    first, last = span
    if dimension in ("source", "destination"):
        start, size = IPv4Address(first), last - first + 1
        if size & (size - 1) == 0 and first % size == 0:
            prefix = 33 - size.bit_length()
            return str(start) if prefix == 32 else f"{start}/{prefix}"
        return f"{start}-{IPv4Address(last)}"
    return str(first) if first == last else f"{first}-{last}"
