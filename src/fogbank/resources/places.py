"""Places: Google's regions, their zones, and the range that each has in an auto-mode network.

The ranges were recorded (behaviour/vpc.md#networks). Zones are a, b and c nearly everywhere. A project has to
ask for me-central2: others see its name, and their auto-mode networks have no subnet there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network


@dataclass(frozen=True, slots=True)
class RegionInfo:
    """A region: its ``zones`` (full names, in order) and its subnet in an auto-mode network, if any."""

    name: str
    zones: tuple[str, ...]
    auto_range: IPv4Network | None


def _region(name: str, second_octet: int | None, letters: str = "abc") -> RegionInfo:
    zones = tuple(f"{name}-{letter}" for letter in letters)
    return RegionInfo(name, zones, IPv4Network(f"10.{second_octet}.0.0/20") if second_octet else None)


_ALL = (
    _region("africa-south1", 218),
    _region("asia-east1", 140),
    _region("asia-east2", 170),
    _region("asia-northeast1", 146),
    _region("asia-northeast2", 174),
    _region("asia-northeast3", 178),
    _region("asia-south1", 160),
    _region("asia-south2", 190),
    _region("asia-southeast1", 148),
    _region("asia-southeast2", 184),
    _region("asia-southeast3", 232),
    _region("australia-southeast1", 152),
    _region("australia-southeast2", 192),
    _region("europe-central2", 186),
    _region("europe-north1", 166),
    _region("europe-north2", 226),
    _region("europe-southwest1", 204),
    _region("europe-west1", 132, "bcd"),
    _region("europe-west10", 214),
    _region("europe-west12", 210),
    _region("europe-west2", 154),
    _region("europe-west3", 156),
    _region("europe-west4", 164),
    _region("europe-west6", 172),
    _region("europe-west8", 198),
    _region("europe-west9", 200),
    _region("me-central1", 212),
    _region("me-central2", None),
    _region("me-west1", 208),
    _region("northamerica-northeast1", 162),
    _region("northamerica-northeast2", 188),
    _region("northamerica-south1", 224),
    _region("southamerica-east1", 158),
    _region("southamerica-west1", 194),
    _region("us-central1", 128, "abcf"),
    _region("us-east1", 142, "bcd"),
    _region("us-east4", 150),
    _region("us-east5", 202),
    _region("us-south1", 206),
    _region("us-west1", 138),
    _region("us-west2", 168),
    _region("us-west3", 180),
    _region("us-west4", 182),
)

REGIONS: Mapping[str, RegionInfo] = {region.name: region for region in _ALL}
"""Every region, by name, in alphabetical order."""

ZONES: Mapping[str, RegionInfo] = {zone: region for region in _ALL for zone in region.zones}
"""Every zone's region."""
