"""Requests take turns."""

import asyncio
from functools import partial

from fogbank.frontend.http.turns import STARTS_PER_TURN, Turns


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_no_more_begin_in_one_turn_of_the_loop_and_all_begin():
    made = Turns()
    started: list[int] = []
    for number in range(10):
        made.add("a", partial(started.append, number))
    await turns(1)
    assert len(started) <= STARTS_PER_TURN
    await turns(5)
    assert started == list(range(10))


async def test_a_late_owner_does_not_wait_for_all_of_an_early_one():
    made, started = Turns(), []
    for _ in range(100):
        made.add("early", lambda: started.append("early"))
    made.add("late", lambda: started.append("late"))
    await turns(30)
    assert started.index("late") <= 1
    assert len(started) == 101


async def test_what_is_forgotten_does_not_begin():
    made, started = Turns(), []
    made.add("a", lambda: started.append("a"))
    made.forget("a")
    await turns(3)
    assert started == []
