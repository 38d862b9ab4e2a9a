"""What is met again is not made again, and what is not met any more is let go."""

from collections.abc import Callable

from fogbank.lowering.memoize import begin_generation, interned, memoized


class Thing:
    """Compared by identity only, like a resource's body."""


def counted() -> tuple[Callable[[Thing], Thing], list[Thing]]:
    made: list[Thing] = []

    @memoized
    def make(thing: Thing) -> Thing:
        made.append(thing)
        return Thing()

    return make, made


def test_the_same_argument_gives_the_same_result():
    make, made = counted()
    thing = Thing()
    assert make(thing) is make(thing)
    assert made == [thing]


def test_nothing_that_a_pass_meets_is_made_twice_however_much_there_is():
    make, made = counted()
    things = [Thing() for _ in range(5000)]
    for _ in range(4):
        begin_generation()
        for thing in things:
            make(thing)
    assert len(made) == len(things)


def test_what_two_passes_do_not_meet_is_made_anew_once_as_much_again_has_come():
    make, made = counted()
    old = [Thing() for _ in range(200)]
    for thing in old:
        make(thing)
    for _ in range(2):
        begin_generation()
    for thing in [Thing() for _ in range(1000)]:
        make(thing)
    made.clear()
    make(old[0])
    assert made == [old[0]]


def test_what_something_found_again_was_made_of_is_not_forgotten():
    make, made = counted()

    @memoized
    def whole(*things: Thing) -> list[Thing]:
        return [make(thing) for thing in things]

    things = [Thing() for _ in range(20)]
    for _ in range(5):
        begin_generation()
        whole(*things)
    for thing in [Thing() for _ in range(1000)]:
        make(thing)
    made.clear()
    whole(*things, Thing())
    assert len(made) == 1


def test_what_two_share_is_not_forgotten_when_one_of_them_goes():
    make, made = counted()
    one = memoized(lambda thing: [make(thing)])
    other = memoized(lambda thing: {1: make(thing)})
    things = [Thing() for _ in range(20)]
    for thing in things:
        one(thing), other(thing)
    for _ in range(3):
        begin_generation()
        for thing in things:
            one(thing)
    for thing in [Thing() for _ in range(100)]:
        make(thing)
    made.clear()
    for thing in things:
        make(thing)
    assert made == []


def test_equal_but_other_arguments_are_other_arguments():
    copied = memoized(lambda numbers: [*numbers])
    assert copied([1]) is not copied([1])


def test_the_same_members_are_the_same_tuple():
    one, other = Thing(), Thing()
    assert interned(one, other) is interned(one, other)
    assert interned(one, other) == (one, other)
    assert interned(other, one) == (other, one)
    assert interned() == ()
