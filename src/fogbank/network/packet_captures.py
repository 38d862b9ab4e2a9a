"""Sightings: where a real packet was seen on its way, and how it looked there.

The data plane collects them for one probing packet, `paths` compares them with its prediction.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from fogbank.network.topology import DeviceName, NetnsName


@dataclass(frozen=True, slots=True)
class CapturedPacket:
    """The packet as it passed ``device`` of ``netns``, ``seconds`` after the probe began."""

    netns: NetnsName
    device: DeviceName
    direction: Literal["in", "out"]
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One real connection attempt: every sighting in order of time, and how it ended for the sender."""

    captured_packets: tuple[CapturedPacket, ...]
    verdict: Literal["connected", "refused", "timeout", "unreachable"]
    source_port: int
    seconds: float
