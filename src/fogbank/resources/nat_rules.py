"""Rules of Cloud NAT gateways: the destinations that choose other addresses.

A match is a CEL expression; of CEL Google takes only what names destinations (behaviour/cloud-nat.md#rules).
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fogbank.resources.names import ResourceName

_QUOTED = r"""(?:'([^']*)'|"([^"]*)")"""
_IN_RANGE = re.compile(rf"inIpRange\(\s*destination\.ip\s*,\s*{_QUOTED}\s*\)")
_EQUALS = re.compile(rf"destination\.ip\s*==\s*{_QUOTED}")


@dataclass(frozen=True, slots=True)
class NatRule:
    """Flows to ``destinations`` use ``addresses`` (URLs' resources) and those alone."""

    number: int
    destinations: tuple[IPv4Network, ...]
    addresses: tuple[ResourceName, ...]
    draining: tuple[ResourceName, ...]

    @property
    def outsides(self) -> tuple[ResourceName, ...]:
        """Every address resource that its flows may carry."""
        return self.addresses + self.draining


def parse_match(text: str) -> tuple[IPv4Network, ...]:
    """Read ``inIpRange(destination.ip, '1.1.0.0/16') || destination.ip == '8.8.8.8'``.

    ValueError says which part is something else.
    """
    return tuple(_destination(part.strip()) for part in text.split("||"))


def _destination(part: str) -> IPv4Network:
    ranged, equal = _IN_RANGE.fullmatch(part), _EQUALS.fullmatch(part)
    if ranged:
        return IPv4Network(ranged[1] or ranged[2] or "")
    if equal:
        return IPv4Network(IPv4Address(equal[1] or equal[2] or ""))
    raise ValueError(
        f"'{part}' is neither inIpRange(destination.ip, 'RANGE') nor destination.ip == 'ADDRESS'"
    )
