"""What is known about one namespace's rules table beside the elements in it."""

from collections import defaultdict
from dataclasses import dataclass, field

from fogbank.dataplane.linux.firewall import policy_chains
from fogbank.dataplane.linux.firewall.libnft import Nft
from fogbank.dataplane.linux.net.netlink import Netlink
from fogbank.network.topology import DeviceName, Element, Key, NatTimeouts, NetnsName, PortBlock

Group = list[str]
"""Commands that must stay in one transaction."""


@dataclass(slots=True)
class TableState:
    """The table of ``netns``: its connections to the kernel, and what is prepared and built in it.

    ``generation`` is the kernel's number of our last change; ``stale`` when somebody else made one since.
    ``numbers`` are those of the ranges of each translation that hands its first packets over.
    """

    netns: NetnsName
    nft: Nft
    flows: Netlink
    built: dict[Key, Element] = field(default_factory=dict)
    generation: int = -1
    stale: bool = False
    devices: set[DeviceName] = field(default_factory=set)
    slices: set[DeviceName] = field(default_factory=set)
    arrivals: set[DeviceName] = field(default_factory=set)
    timers: set[NatTimeouts] = field(default_factory=set)
    holds: set[tuple[DeviceName, int]] = field(default_factory=set)
    handovers: set[DeviceName] = field(default_factory=set)
    numbers: defaultdict[Key, dict[PortBlock, int]] = field(default_factory=lambda: defaultdict(dict))
    numbered: int = 0
    bodies: dict[str, policy_chains.Body] = field(default_factory=dict)
    abandoned: dict[str, policy_chains.Body] = field(default_factory=dict)
    versions: int = 0
    tracks: bool = False
    reasons: dict[str, str] = field(default_factory=dict)

    def unprepare(self) -> None:
        """Prepare everything again before its next use."""
        self.devices.clear()
        self.slices.clear()
        self.handovers.clear()
        self.arrivals.clear()
        self.timers.clear()
        self.holds.clear()

    def close(self) -> None:
        """Close the connections to the kernel."""
        self.nft.close()
        self.flows.close()
