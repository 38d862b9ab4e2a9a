"""The figures of an attack: what stays and what waits is found, what happens once is not taken for it."""

import pytest
from tests.attacks.table import Attack, Row, Tally
from tests.attacks.target import MORE_MEMORY, MORE_WAIT, suffer

ATTACK = Attack("API", "example", lambda _target, _tally: None, quick=True)


def rows(*figures: tuple[float, float]):
    left = iter(figures)

    def once(attack: Attack) -> tuple[Row, Tally]:
        wait, memory = next(left)
        return Row(attack.door, attack.name, 1, 0, 0.1, wait, wait, memory), Tally(1)

    return once


def test_memory_that_is_taken_once_is_no_leak():
    row, _ = suffer(rows((0.0, 40.0), (0.0, 1.0)), ATTACK)
    assert row.more_memory == 1.0


@pytest.mark.parametrize(("wait", "memory"), [(0.0, MORE_MEMORY + 1), (MORE_WAIT + 1, 0.0)])
def test_what_comes_each_time_is_found(wait, memory):
    row, _ = suffer(rows(*[(wait, memory)] * 3), ATTACK)
    assert (row.more_wait, row.more_memory) == (wait, memory)


def test_an_attack_that_got_through_is_not_tried_again():
    tally = Tally(1, ["a way in"])
    row, found = suffer(lambda a: (Row(a.door, a.name, 1, 1, 0.1, 90.0, 90.0, 90.0), tally), ATTACK)
    assert found is tally
    assert row.more_wait == 90.0
