"""What elements are made of: addresses, names of namespaces and devices, ports.

Other modules take these names from :mod:`fogbank.network.topology`.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import NewType

IpAddress = IPv4Address
IpInterface = IPv4Interface
IpNetwork = IPv4Network
"""What elements hold: only IPv4 is built. IPv6 would widen these three; the type checker finds the rest."""

NetnsName = NewType("NetnsName", str)
"""A network namespace: ``vpc/demo/default``, ``instance/production-00001-abc/0``, ``internet``."""

DeviceName = NewType("DeviceName", str)
"""An interface inside a namespace: at most 15 characters, ``lo`` included."""


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """An inclusive range of ports: ``first <= last``."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last <= 65535:
            raise ValueError(f"not a port range: {self.first}-{self.last}")

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """One end of a link: ``device`` as seen inside ``netns``."""

    netns: NetnsName
    device: DeviceName
