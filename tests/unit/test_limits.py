"""Which connections have to go, and which stay."""

from dataclasses import dataclass, field

import pytest

from fogbank.limits import NEW_SECONDS, ConnectionTable


@dataclass(eq=False)
class Connection:
    opened: float = 0.0
    waiting: bool = True
    held: int = 0
    late: bool = False
    dropped: bool = False
    ends: list = field(default_factory=list)

    def overdue(self, now):
        return self.late

    def drop(self):
        self.dropped = True

    def shutdown(self):
        self.ends.append("shutdown")


class Time:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def table(time):
    return ConnectionTable(most=4, most_new=2, held=100, now=time)


def served(table):
    made = Connection()
    table.add(made)
    table.prove(made)
    return made


def test_one_too_many_ends_the_oldest_that_never_asked(table):
    old, new = served(table), Connection()
    table.add(new)
    for _ in range(3):
        table.add(Connection())
    assert (old.dropped, new.dropped, len(table)) == (False, True, 4)


def test_among_those_that_asked_it_ends_one_without_a_request(table):
    busy, idle = served(table), served(table)
    busy.waiting = False
    served(table)
    served(table)
    served(table)
    assert (busy.dropped, idle.dropped) == (False, True)


def test_when_all_are_busy_the_newest_goes(table):
    busy = [served(table) for _ in range(4)]
    for each in busy:
        each.waiting = False
    late = Connection(waiting=False)
    table.add(late)
    assert late.dropped
    assert not any(each.dropped for each in busy)


def test_a_burst_of_new_connections_is_let_in_and_old_silent_ones_are_not_kept(table, time):
    silent = Connection()
    table.add(silent)
    for _ in range(2):
        table.add(Connection())
    assert not silent.dropped
    time.now = NEW_SECONDS + 0.1
    table.add(Connection(opened=time.now))
    assert silent.dropped


def test_a_check_ends_what_is_overdue(table):
    late, fine = Connection(late=True), Connection()
    table.add(late)
    table.add(fine)
    table.check()
    assert (late.dropped, fine.dropped, len(table)) == (True, False, 1)


def test_when_too_much_waits_for_readers_those_who_keep_most_are_ended(table):
    small, large = served(table), served(table)
    small.held, large.held = 40, 90
    table.check()
    assert (small.dropped, large.dropped) == (False, True)
