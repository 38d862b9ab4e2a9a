"""Machine types: how many CPUs and how much memory a name means.

The predefined ones follow from each family's rule, custom ones say it in their names
(https://cloud.google.com/compute/docs/machine-resource).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_CUSTOM = re.compile(
    r"(?:(?P<family>[a-z][a-z0-9]*)-)?custom-(?P<cpus>\d+)-(?P<memory>\d+)(?P<extended>-ext)?"
)
_GIB = 1024


@dataclass(frozen=True, slots=True)
class MachineType:
    """A machine type: virtual CPUs and memory in MiB; a ``shared`` one has a part of a core."""

    name: str
    cpus: int
    memory_mb: int
    shared: bool = False

    @property
    def description(self) -> str:
        """What Google's lists say of it."""
        return f"{self.cpus} vCPU{'s' if self.cpus > 1 else ''}, {self.memory_mb / _GIB:g} GB RAM"

    @property
    def family(self) -> str:
        """The part before the first hyphen: ``e2``."""
        return self.name.partition("-")[0]


_SHARED = (
    MachineType("e2-micro", 2, 1 * _GIB, shared=True),
    MachineType("e2-small", 2, 2 * _GIB, shared=True),
    MachineType("e2-medium", 2, 4 * _GIB, shared=True),
    MachineType("f1-micro", 1, 614, shared=True),
    MachineType("g1-small", 1, 1740, shared=True),
)

_FAMILIES: Mapping[str, tuple[tuple[int, ...], Mapping[str, float]]] = {
    "c2": ((4, 8, 16, 30, 60), {"standard": 4}),
    "c2d": ((2, 4, 8, 16, 32, 56, 112), {"standard": 4, "highmem": 8, "highcpu": 2}),
    "c3": ((4, 8, 22, 44, 88, 176), {"standard": 4, "highmem": 8, "highcpu": 2}),
    "e2": ((2, 4, 8, 16, 32), {"standard": 4, "highmem": 8, "highcpu": 1}),
    "n1": ((1, 2, 4, 8, 16, 32, 64, 96), {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9}),
    "n2": ((2, 4, 8, 16, 32, 48, 64, 80, 96, 128), {"standard": 4, "highmem": 8, "highcpu": 1}),
    "n2d": ((2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224), {"standard": 4, "highmem": 8, "highcpu": 1}),
    "n4": ((2, 4, 8, 16, 32, 48, 64, 80), {"standard": 4, "highmem": 8, "highcpu": 2}),
    "t2d": ((1, 2, 4, 8, 16, 32, 48, 60), {"standard": 4}),
}
"""Families: how many CPUs their machines have, and the GiB of memory for each CPU by class."""

_ODD = {("n1", "highcpu"): 2, ("n1", "highmem"): 2, ("e2", "highmem"): 2, ("e2", "highcpu"): 2}
"""Classes whose smallest machine has more CPUs than the family's."""


def _predefined() -> Iterator[MachineType]:
    yield from _SHARED
    for family, (sizes, classes) in _FAMILIES.items():
        for kind, per_cpu in classes.items():
            for cpus in sizes:
                if cpus < _ODD.get((family, kind), 0) or (family, kind, cpus) == ("e2", "highmem", 32):
                    continue
                yield MachineType(f"{family}-{kind}-{cpus}", cpus, round(cpus * per_cpu * _GIB))


MACHINE_TYPES: Mapping[str, MachineType] = {
    each.name: each for each in sorted(_predefined(), key=lambda each: each.name)
}
"""The predefined machine types, by name; every zone has all of them."""


def machine_type(name: str) -> MachineType | None:
    """Find what ``name`` means, also a custom type such as ``e2-custom-2-4096``; None for anything else."""
    if name in MACHINE_TYPES:
        return MACHINE_TYPES[name]
    read = _CUSTOM.fullmatch(name)
    if read is None or (read["family"] or "n1") not in _FAMILIES:
        return None
    cpus, memory = int(read["cpus"]), int(read["memory"])
    return MachineType(name, cpus, memory) if 1 <= cpus <= 224 and memory and not memory % 256 else None
