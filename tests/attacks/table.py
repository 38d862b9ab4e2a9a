"""The table of attacks: one function each, which tells how often it tried and what got through.

An attack is registered with :func:`attack` under the door that it goes for. It gets a
:class:`tests.attacks.target.Target` and a :class:`Tally`. Other modules (ways out of a container, roles) add
their own: import them in ``tests/attacks/test_attacks.py``.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Tally:
    """What an attack tried, and what got through: a sentence for each."""

    tried: int = 0
    through: list[str] = field(default_factory=list)

    def expect(self, held: bool, what: str) -> None:
        """Count one try; ``held`` says that it was refused as it should be."""
        self.tried += 1
        if not held:
            self.through.append(what[:300])


@dataclass(frozen=True)
class Attack:
    """One row: ``quick`` ones are part of ``make test``."""

    door: str
    name: str
    run: Callable[[Any, Tally], None]
    quick: bool

    def __str__(self) -> str:
        return f"{self.door}: {self.name}"


ATTACKS: list[Attack] = []


def attack(*doors: str, quick: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function for each of ``doors``, whose name it gets as its third argument."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        name = function.__name__.replace("_", " ")
        for door in doors:

            def run(target: Any, tally: Tally, door: str = door) -> None:
                function(target, tally, door)

            ATTACKS.append(Attack(door, name, run, quick))
        return function

    return register


@dataclass(frozen=True)
class Row:
    """The figures of one attack: waits in milliseconds, memory in MiB."""

    door: str
    attack: str
    tried: int
    through: int
    seconds: float
    more_wait: float
    worst_wait: float
    more_memory: float


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def as_table(rows: list[Row]) -> str:
    """Write the rows as a Markdown table."""
    lines = [
        "| door | attack | tried | got through | others wait longer (ms) | memory kept (MiB) |",
        "|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r.door} | {r.attack} | {r.tried:,} | {r.through} | {r.more_wait:.1f} | {r.more_memory:.1f} |"
        for r in rows
    ]
    total = sum(row.tried for row in rows)
    return "\n".join([*lines, f"| all | | {total:,} | {sum(row.through for row in rows)} | | |"])
