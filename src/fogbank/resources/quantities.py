"""Kubernetes quantities, as Cloud Run writes CPU and memory: ``1000m``, ``512Mi``, ``2``."""

import re
from decimal import Decimal

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|K|Ki|M|Mi|G|Gi|T|Ti)?")
_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "K": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}


def parse_quantity(text: str) -> Decimal:
    """Read a quantity; ValueError when it is none."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"not a quantity: {text!r}")
    return Decimal(match[1]) * _FACTORS[match[2] or ""]


def cpu_millis(text: str) -> int:
    """Read a CPU limit in thousandths of a CPU: ``1`` and ``1000m`` are 1000."""
    return int(parse_quantity(text) * 1000)


def memory_bytes(text: str) -> int:
    """Read a memory limit in bytes: ``512Mi`` is 536870912."""
    return int(parse_quantity(text))
