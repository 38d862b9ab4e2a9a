"""Rows of the benchmark's table: what was measured, against what, and whether the aim is met.

A row's ratio is taken in one run and in several rounds, each of which measures baseline and subject one
after the other; the row keeps the median of the rounds' ratios. So a machine that is busy or slow changes the
figures and hardly the ratios.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Aim:
    """What a row is named, its ``unit``, and on which side of ``bound`` its ratio should be."""

    row: str
    unit: str
    side: Literal[">=", "<="]
    bound: float
    baseline: str

    def meets(self, ratio: float) -> bool:
        """Return whether ``ratio`` is good enough."""
        return ratio >= self.bound if self.side == ">=" else ratio <= self.bound


@dataclass(frozen=True, slots=True)
class Row:
    """One measured row: medians of both sides in the aim's unit, and the ratio that counts."""

    aim: Aim
    subject: float
    baseline: float
    ratio: float

    @property
    def met(self) -> bool:
        return self.aim.meets(self.ratio)


def compare(
    aim: Aim, subjects: Sequence[float], baselines: Sequence[float], *, less_is_better: bool = False
) -> Row:
    """Make the row of rounds that were measured in pairs.

    The ratio is subject to baseline; ``less_is_better`` turns it around, for times under an aim of at least
    so much of the baseline's speed.
    """
    pairs = zip(subjects, baselines, strict=True)
    ratios = [b / s if less_is_better else s / b for s, b in pairs]
    return Row(aim, median(subjects), median(baselines), median(ratios))


def render(rows: Iterable[Row]) -> str:
    """Lay the rows out as a table for people."""
    head = ("row", "subject", "baseline", "unit", "ratio", "aim", "met", "measured against")
    lines = [head] + [
        (
            row.aim.row,
            _number(row.subject),
            _number(row.baseline),
            row.aim.unit,
            f"{row.ratio:.3g}",
            f"{row.aim.side} {row.aim.bound:g}",
            "yes" if row.met else "NO",
            row.aim.baseline,
        )
        for row in rows
    ]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    numbers = {1, 2, 4}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if n in numbers else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def render_json(rows: Iterable[Row], facts: dict[str, Any]) -> str:
    """Render the rows for programs."""
    listed = [asdict(row.aim) | {k: getattr(row, k) for k in _MEASURED} for row in rows]
    return json.dumps({"machine": facts, "rows": listed}, indent=2)


_MEASURED = ("subject", "baseline", "ratio", "met")


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
